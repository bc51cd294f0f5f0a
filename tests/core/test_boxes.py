"""Boxes against brute force, against torchvision, and against a table of cases worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchvision import ops

from vision_app.core import boxes as bx

pytestmark = pytest.mark.slow


def box_sets():
    """(N, 4) float64 boxes on a coarse grid, so that overlaps, touching edges and empty boxes are common."""
    corners_and_sides = st.integers(0, 20).flatmap(
        lambda count: arrays(np.int64, (count, 4), elements=st.integers(0, 20))
    )
    return corners_and_sides.map(lambda rows: np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:] / 2]))


@st.composite
def nms_cases(draw):
    """Boxes with distinct scores and integer labels."""
    boxes = draw(box_sets())
    scores = (np.array(draw(st.permutations(range(len(boxes)))), dtype=np.float64) + 1) / (len(boxes) + 1)
    labels = draw(arrays(np.int64, len(boxes), elements=st.integers(0, 2)))
    return boxes, scores, labels


def iou_of_two(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def textbook_nms(boxes, scores, labels, score_threshold, iou_threshold):
    """Non-max suppression written as it is told: take the best, discard what overlaps it, repeat."""
    left = [i for i in range(len(boxes)) if scores[i] >= score_threshold]
    kept = []
    while left:
        best = max(left, key=lambda i: (scores[i], -i))
        kept.append(best)
        left = [
            i
            for i in left
            if i != best and (labels[i] != labels[best] or iou_of_two(boxes[i], boxes[best]) < iou_threshold)
        ]
    return kept


def away_from(threshold, boxes):
    """Whether no pair of boxes overlaps by the threshold, where torchvision keeps and the textbook discards."""
    overlaps = bx.iou_matrix(boxes, boxes)
    return (np.abs(overlaps - threshold) > 1e-6).all()


@given(box_sets(), box_sets())
def test_iou_matrix_equals_a_plain_loop(a, b):
    expected = [[iou_of_two(one, other) for other in b] for one in a]
    assert bx.iou_matrix(a, b) == pytest.approx(np.array(expected).reshape(len(a), len(b)))


@given(box_sets(), box_sets())
def test_area_and_iou_agree_with_torchvision(a, b):
    a, b = a[bx.area(a) > 0], b[bx.area(b) > 0]  # torchvision answers nan for two empty boxes
    assert bx.area(a) == pytest.approx(ops.box_area(torch.tensor(a)).numpy())
    assert bx.iou_matrix(a, b) == pytest.approx(ops.box_iou(torch.tensor(a), torch.tensor(b)).numpy())


def test_empty_boxes_overlap_nothing():
    empty = np.array([[3.0, 3.0, 3.0, 3.0], [5.0, 5.0, 4.0, 6.0]])
    assert bx.area(empty).tolist() == [0, 0]
    assert bx.iou_matrix(empty, np.array([[3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 9.0, 9.0]])).tolist() == [[0, 0], [0, 0]]


@given(box_sets())
def test_the_conversion_agrees_with_torchvision(boxes):
    converted = ops.box_convert(torch.tensor(boxes), "xyxy", "xywh").numpy()
    assert bx.xyxy_to_xywh(boxes) == pytest.approx(converted)


@given(box_sets(), st.integers(1, 20), st.integers(1, 20))
def test_clip_agrees_with_torchvision(boxes, width, height):
    expected = ops.clip_boxes_to_image(torch.tensor(boxes - 5), (height, width)).numpy()
    assert (bx.clip(boxes - 5, width, height) == expected).all()


def test_functions_of_float32_boxes_return_float32():
    boxes = np.array([[1, 2, 3, 4]], dtype=np.float32)
    results = [bx.iou_matrix(boxes, boxes), bx.xyxy_to_xywh(boxes), bx.clip(boxes, 2, 2), bx.area(boxes)]
    assert {result.dtype for result in results} == {np.dtype(np.float32)}


@given(nms_cases(), st.sampled_from([0.0, 0.3, 0.6]), st.sampled_from([0.2, 0.5, 0.8]))
def test_nms_equals_the_textbook(case, score_threshold, iou_threshold):
    boxes, scores, labels = case
    options = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
    one_class = np.zeros_like(labels)
    per_class = textbook_nms(boxes, scores, labels, score_threshold, iou_threshold)
    across = textbook_nms(boxes, scores, one_class, score_threshold, iou_threshold)
    assert bx.nms(boxes, scores, labels, **options).tolist() == per_class
    assert bx.nms(boxes, scores, labels, agnostic=True, **options).tolist() == across
    assert bx.nms(boxes, scores, **options).tolist() == across


@given(nms_cases(), st.sampled_from([0.2071, 0.5052, 0.8083]))
def test_nms_agrees_with_torchvision_away_from_ties(case, iou_threshold):
    boxes, scores, labels = case
    nonempty = bx.area(boxes) > 0  # torchvision answers nan for two empty boxes
    boxes, scores, labels = boxes[nonempty], scores[nonempty], labels[nonempty]
    assume(away_from(iou_threshold, boxes))
    tensors = torch.tensor(boxes), torch.tensor(scores)
    options = {"score_threshold": 0.0, "iou_threshold": iou_threshold}
    assert bx.nms(boxes, scores, **options).tolist() == ops.nms(*tensors, iou_threshold).tolist()
    expected = ops.batched_nms(*tensors, torch.tensor(labels), iou_threshold).tolist()
    assert bx.nms(boxes, scores, labels, **options).tolist() == expected


@pytest.mark.parametrize("agnostic", [False, True])
def test_nms_of_hundreds_of_boxes_equals_the_textbook(agnostic):
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 60, (400, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(5, 40, (400, 2))], axis=1)
    scores, labels = generator.permutation(400) / 400, generator.integers(0, 2, 400)
    expected = textbook_nms(boxes, scores, 0 * labels if agnostic else labels, 0.1, 0.4)
    assert len(expected) > 30 and np.argsort(-scores).tolist().index(expected[-1]) > 200
    options = {"score_threshold": 0.1, "iou_threshold": 0.4, "max_detections": 400, "agnostic": agnostic}
    assert bx.nms(boxes, scores, labels, **options).tolist() == expected


@given(nms_cases(), st.integers(0, 5))
def test_max_detections_keeps_the_best(case, count):
    boxes, scores, labels = case
    everything = bx.nms(boxes, scores, labels, score_threshold=0.0)
    assert (
        bx.nms(boxes, scores, labels, score_threshold=0.0, max_detections=count).tolist() == everything[:count].tolist()
    )


BIG, TOP_HALF, FAR = [0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30]  # BIG and TOP_HALF overlap by exactly 0.5


@pytest.mark.parametrize(
    ("boxes", "scores", "labels", "expected"),
    [
        pytest.param([BIG, TOP_HALF], [0.9, 0.8], None, [0], id="IoU of exactly 0.5 is discarded"),
        pytest.param([BIG, [0, 0, 10, 4.99]], [0.9, 0.8], None, [0, 1], id="IoU just under 0.5 is kept"),
        pytest.param([BIG, FAR], [0.6, 0.59], None, [0], id="a score of exactly 0.6 stays, less goes"),
        pytest.param([BIG, BIG, FAR], [0.7, 0.7, 0.9], None, [2, 0], id="of equal scores the lower index wins"),
        pytest.param([BIG, BIG], [0.7, 0.9], [0, 1], [1, 0], id="other classes do not compete"),
        pytest.param(
            [[0, 0, 10, 10], [0, 4, 10, 14], [0, 8, 10, 18]],
            [0.9, 0.8, 0.7],
            None,
            [0, 1, 2],
            id="overlaps under the threshold all stay",
        ),
        pytest.param(
            [[0, 0, 10, 10], [0, 2, 10, 12], [0, 5, 10, 15]],
            [0.9, 0.8, 0.7],
            None,
            [0, 2],
            id="a discarded box discards nothing",
        ),
        pytest.param(np.zeros((0, 4)), [], None, [], id="nothing in, nothing out"),
    ],
)
def test_nms_keeps_the_boxes_that_were_found_by_hand(boxes, scores, labels, expected):
    labels = None if labels is None else np.array(labels)
    kept = bx.nms(np.array(boxes, dtype=np.float32), np.array(scores), labels)
    assert kept.dtype == np.int64
    assert kept.tolist() == expected


def test_many_equal_scores_keep_their_order():
    corners = np.arange(0, 5000, 10.0)[:, None]
    boxes = np.concatenate([corners, corners, corners + 5, corners + 5], axis=1)
    scores = np.where(np.arange(500) % 3 == 0, 0.9, 0.8)
    expected = [*range(0, 500, 3), *(i for i in range(500) if i % 3)]
    assert bx.nms(boxes, scores, max_detections=500).tolist() == expected
