"""The loss of landmarks against a plain calculation, and what a head learns from it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labeled import boxes as labeled
from PIL import Image, ImageDraw

from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.detection.model.heads import DecoupledHead, DistributionHead
from vision_app.detection.model.yolo import Targets, TorchGrid
from vision_app.detection.train.assign import assign
from vision_app.detection.train.loss import detection_loss, landmark_distance

pytestmark = pytest.mark.slow

STRIDES = (8, 16, 32)
ANCHORS = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
CLASSES, K = 3, 2
NAN = float("nan")


def smooth_l1(distance):
    return distance**2 / (2 * 0.05) if abs(distance) < 0.05 else abs(distance) - 0.05 / 2


coordinates = st.floats(-50, 50, width=32)
points = st.lists(st.tuples(coordinates, coordinates), min_size=K, max_size=K)


@given(predicted=points, true=points, known=st.lists(st.booleans(), min_size=K, max_size=K), side=st.integers(4, 60))
def test_the_distance_is_a_plain_mean_over_known_points(predicted, true, known, side):
    wanted = [
        smooth_l1((x - u) / (2 * side)) + smooth_l1((y - v) / (2 * side))
        for (x, y), (u, v), is_known in zip(predicted, true, known, strict=True)
        if is_known
    ]
    true = [point if is_known else (NAN, NAN) for point, is_known in zip(true, known, strict=True)]
    boxes = torch.tensor([[0.0, 0.0, side, 4 * side]])
    found = landmark_distance(torch.tensor([predicted]), torch.tensor([true]), boxes)
    assert found.item() == pytest.approx(sum(wanted) / max(len(wanted), 1), rel=1e-4, abs=1e-5)


def scene():
    generator = torch.Generator().manual_seed(0)
    grid = TorchGrid.make(64, 96, STRIDES, ANCHORS)
    raw = torch.randn(2, len(grid.cells), 5 + CLASSES + 2 * K, generator=generator) * 0.5
    boxes = [[5, 6, 30, 25], [40, 10, 90, 60], [2, 30, 30, 60]]
    marks = [[[9, 9], [NAN, NAN]], [[45, 20], [80, 50]], [[NAN, NAN], [NAN, NAN]]]
    first = labeled(boxes, [2, 0, 1], [1, 0.4, 1], landmarks=marks)
    return raw, [Targets.of(first), Targets.of(LabeledBoxes.empty(K))], grid


def test_the_loss_sums_distances_over_positives_and_leaves_the_other_terms_alone():
    raw, (target, nothing), grid = scene()
    losses = detection_loss(raw, [target, nothing], grid)
    output = raw[0, :, : 5 + CLASSES]
    logits = torch.cat([output[:, :1], output[:, 5:]], dim=1)
    found = assign(target.boxes, target.labels, grid.decode(output[:, 1:5]), logits, grid)
    expected = 0.0
    for row, owner in zip(found.rows.tolist(), found.objects.tolist(), strict=True):
        x1, y1, x2, y2 = target.boxes[owner].tolist()
        size, parts = math.sqrt((x2 - x1) * (y2 - y1)), []
        for k, (u, v) in enumerate(target.landmarks[owner].tolist()):
            l_x, l_y = raw[0, row, 5 + CLASSES + 2 * k :][:2].tolist()
            (cx, cy), (a_w, a_h) = grid.centers[row].tolist(), grid.anchors[row].tolist()
            if not math.isnan(u):
                parts.append(smooth_l1((cx + l_x * a_w - u) / size) + smooth_l1((cy + l_y * a_h - v) / size))
        expected += target.scores[owner].item() * sum(parts) / max(len(parts), 1)
    assert expected > 1 and losses.landmarks.item() == pytest.approx(expected, rel=1e-4)
    assert list(losses.parts) == ["box", "score", "landmarks"]
    plain = [replace(one, landmarks=one.landmarks[:, :0]) for one in (target, nothing)]
    without = detection_loss(raw[..., : 5 + CLASSES], plain, grid)
    assert list(without.parts) == ["box", "score"] and without.landmarks is None
    assert (without.box, without.score) == (losses.box, losses.score)
    assert losses.total.item() == pytest.approx(without.total.item() + 2 * expected, rel=1e-5)


def test_points_that_are_not_known_teach_nothing():
    raw, targets, grid = scene()
    raw.requires_grad_()
    detection_loss(raw, targets, grid).landmarks.backward()
    gradient = raw.grad[..., 5 + CLASSES :]
    assert torch.isfinite(raw.grad).all() and (gradient != 0).any() and not (raw.grad[..., : 5 + CLASSES] != 0).any()
    raw.grad = None
    unknown = [replace(target, landmarks=torch.full_like(target.landmarks, NAN)) for target in targets]
    losses = detection_loss(raw, unknown, grid)
    losses.total.backward()
    assert losses.landmarks.item() == 0 and not (raw.grad[..., 5 + CLASSES :] != 0).any()


@pytest.mark.parametrize("kind", [DecoupledHead, DistributionHead])
def test_a_head_learns_the_corners_of_two_triangles_by_heart(kind):
    torch.manual_seed(0)
    anchors = ((20.0, 20.0),)
    head, grid = kind(192, 16, 1, anchors, 8, landmarks=3), TorchGrid.make(32, 32, (8,), (anchors,))
    images, targets = [], []
    for corners in ([(3, 4), (24, 8), (11, 28)], [(12, 8), (29, 25), (9, 29)]):
        image = Image.new("RGB", (32, 32), (90, 90, 90))
        ImageDraw.Draw(image).polygon(corners, fill=(220, 40, 40))
        images.append(torch.from_numpy(np.asarray(image) / np.float32(255)).permute(2, 0, 1))
        box = [*np.min(corners, axis=0), *np.max(corners, axis=0)]
        targets.append(Targets.of(labeled([box], [0], landmarks=[corners])))
    cells, steps = torch.nn.functional.pixel_unshuffle(torch.stack(images), 8), 80  # (2, 192, 4, 4)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = detection_loss(head(cells), targets, grid)
        (loss.total / loss.positives).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        raw = head(cells)
    for output, target in zip(raw, targets, strict=True):
        best = (output[:, 0].sigmoid() * output[:, 5].sigmoid()).argmax()[None]
        found = grid.landmarks(output[best, 6:], best)[0]
        assert (found - target.landmarks[0]).norm(dim=1).max() < 1  # of 32 pixels
