"""The rules by which detections find objects, case by case."""

import contextlib
import io

import numpy as np
import pytest
from detection_tables import as_coco, as_set, by_hand, made_up, table_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import COCOeval

from vision_app.core.boxes import iou_matrix, xyxy_to_xywh
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.detection.evaluate.curves import precision_curves
from vision_app.detection.evaluate.matching import landmark_error, landmark_errors, match
from vision_app.detection.evaluate.table import rows_in_order

BOX, FAR = (0, 0, 10, 10), (100, 100, 110, 110)


@pytest.mark.parametrize(
    ("true", "found", "truth", "counts"),
    [
        # The better score takes the object, though the other one lies better.
        ([("cat", BOX)], [("cat", (0, 0, 10, 8), 0.9), ("cat", BOX, 0.8)], [0, -1], [True, True]),
        # Of two objects the one with more overlap is found, and then the other one.
        ([("cat", BOX), ("cat", (0, 2, 10, 12))], [("cat", (0, 2, 10, 12), 0.9), ("cat", (0, 2, 10, 12), 0.8)],
         [1, 0], [True, True]),
        # Boxes of other classes and images are none of its business.
        ([("cat", BOX), ("dog", BOX)], [("dog", BOX, 0.9), ("cat", BOX, 0.8, 1)], [1, -1], [True, True]),
        # IoU 0.5 is enough, less is not.
        ([("cat", BOX)], [("cat", (0, 0, 10, 5), 0.9)], [0], [True]),
        ([("cat", BOX)], [("cat", (0, 0, 10, 4.9), 0.9)], [-1], [True]),
        # A small box in a crowd does not count, however small; half outside is enough, and more is wrong.
        ([("cat", BOX, "ignored")], [("cat", (1, 1, 2, 2), 0.9)], [-1], [False]),
        ([("cat", BOX, "ignored")], [("cat", (0, 5, 10, 15), 0.9)], [-1], [False]),
        ([("cat", BOX, "ignored")], [("cat", (0, 5.1, 10, 15.1), 0.9)], [-1], [True]),
        ([("cat", BOX, "ignored")], [("dog", BOX, 0.9)], [-1], [True]),
        # An object that counts comes before a crowd around it; once it is found, the next box is the crowd's.
        ([("cat", BOX), ("cat", (0, 0, 20, 20), "ignored")], [("cat", BOX, 0.9), ("cat", BOX, 0.8)],
         [0, -1], [True, False]),
        ([], [("cat", BOX, 0.9)], [-1], [True]),
        ([("cat", BOX)], [], [], []),
    ],
)  # fmt: skip
def test_a_box_takes_the_object_that_the_rules_of_coco_give_it(true, found, truth, counts):
    matches = match(by_hand(true, found))
    assert matches.matched.tolist() == truth
    assert matches.counted.tolist() == counts
    assert matches.false_positives.tolist() == [c and t < 0 for t, c in zip(truth, counts, strict=True)]


def test_without_classes_a_dog_finds_a_cat():
    table = by_hand([("cat", BOX), ("dog", FAR)], [("dog", BOX, 0.9), ("dog", FAR, 0.8)])
    assert match(table).matched.tolist() == [-1, 1]
    assert match(table, by_class=False).matched.tolist() == [0, 1]


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 0.75]))
def test_every_object_is_found_at_most_once_and_by_a_box_that_fits(seed, overlap):
    table = table_of(*made_up(seed))
    matches = match(table, overlap)
    right, truth = matches.true_positives, matches.matched[matches.true_positives]
    assert len(set(truth.tolist())) == len(truth)
    assert not table.ground_truth.ignored[truth].any()
    assert (table.detections.labels[right] == table.ground_truth.labels[truth]).all()
    assert (table.detection_images[right] == table.ground_truth_images[truth]).all()
    ious = iou_matrix(table.detections.xyxy[right], table.ground_truth.xyxy[truth])
    assert (ious.diagonal() >= overlap).all()
    lowered = table.keep(detections=table.detections.scores >= 0.5)  # what comes later changes nothing before it
    assert match(lowered, overlap).matched.tolist() == matches.matched[: len(lowered.detections)].tolist()


@pytest.mark.parametrize("seed", range(4))
def test_precision_by_recall_equals_pycocotools(seed):
    """Point by point, for every class, and so its area, too."""
    truth, rows = made_up(seed)
    table = table_of(truth, rows)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = as_coco(truth)
        found = table.detections
        columns = table.detection_images, found.labels + 1, found.scores, xyxy_to_xywh(found.xyxy)
        names = "image_id", "category_id", "score", "bbox"
        lists = zip(*(column.tolist() for column in columns), strict=True)
        evaluation = COCOeval(coco, coco.loadRes([dict(zip(names, row, strict=True)) for row in lists]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    for overlap, place in ((0.5, 0), (0.75, 5)):
        expected = evaluation.eval["precision"][place, :, :, 0, -1].T  # (K, 101)
        np.testing.assert_allclose(precision_curves(table, match(table, overlap)), expected, atol=1e-9)


NAN = [np.nan, np.nan]
BOXES = np.array([[0, 0, 20, 5], [40, 40, 60, 60], [80, 0, 90, 10]], float)  # sizes 10, 20 and 10
POINTS = np.array([[[1, 1], [9, 4]], [[45, 45], NAN], [[81, 1], [82, 2]]])


def errors(found_boxes, found_labels, found_points, scores=None):
    scores = np.ones(len(found_boxes)) if scores is None else scores
    parts = (np.array(part, float) for part in (found_boxes, found_labels, scores, found_points))
    truth = LabeledBoxes.make(BOXES, np.array([0, 1, 0]), landmarks=POINTS)
    return landmark_errors(truth, LabeledBoxes.make(*parts)).tolist()


def test_distances_are_parts_of_the_size_of_the_objects_that_were_found():
    found = [[0, 0, 20, 5], [41, 40, 60, 60], [80, 0, 90, 10]]  # the last one as another class
    points = [[[1, 1], [9, 9]], [[48, 49], [0, 0]], [[81, 1], [82, 2]]]
    assert errors(found, [0, 1, 1], points) == pytest.approx([0, 0.5, 0.25])


def test_the_best_box_that_overlaps_an_object_speaks_for_it():
    """Not the one that overlaps it most."""
    found, points = [[40, 40, 60, 60], [40, 40, 60, 56], [40, 40, 60, 48]], [[NAN, NAN], [[45, 47], NAN], [NAN, NAN]]
    assert errors(found, [1, 1, 1], points, [0.2, 0.3, 0.9]) == pytest.approx([0.1])
    assert errors(found, [1, 1, 1], points, [0.3, 0.2, 0.9]) == []
    assert errors(found[2:], [1], points[:1]) == []  # IoU 0.4
    assert errors(np.zeros((0, 4)), [], np.zeros((0, 2, 2))) == []


def test_the_error_of_rows_against_a_truth():
    truth = {
        "categories": [{"id": 5, "name": "kite"}],
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(3)],
        "annotations": [
            {"image_id": image, "category_id": 5, "bbox": box, "keypoints": points, "num_keypoints": known}
            for image, box, points, known in (
                (0, [0, 0, 20, 5], [1, 1, 2, 9, 4, 1], 2),
                (1, [40, 40, 20, 20], [45, 45, 2, 0, 0, 0], 1),
                (2, [0, 0, 20, 20], [0] * 6, 0),
            )
        ]
        + [{"image_id": 2, "category_id": 5, "bbox": [0, 0, 9, 9], "iscrowd": 1, "keypoints": [0] * 6}],
    }
    one = {"label": "kite", "score": 0.9, "box": [0, 0, 20, 5], "landmarks": [[1, 2], [9, 4]]}
    other = {"label": "kite", "score": 0.8, "box": [40, 40, 60, 60], "landmarks": [[51, 53], [0, 0]]}
    doubtful = other | {"score": 0.1, "landmarks": [[45, 45], [0, 0]]}
    rows = [{"file": "1.png", "detections": [doubtful, other, {"label": "buoy", "score": 1, "box": [40, 40, 60, 60]}]}]
    rows += [{"file": "0.png", "detections": [one]}, {"file": "2.png", "detections": [one]}]
    data = as_set(truth)
    assert landmark_error(data, rows_in_order(data, rows)) == pytest.approx((0.1 + 0 + 0.5) / 3)
    assert landmark_error(data, [{"detections": []}] * 3) is None
