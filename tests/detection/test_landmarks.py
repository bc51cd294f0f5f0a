"""Landmarks in the network, its rows, its loss and its training, each against a plain calculation."""

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
from vision_app.detection.grid import make_grid
from vision_app.detection.model.heads import DecoupledHead, DistributionHead
from vision_app.detection.model.yolo import LAYOUTS, YOLO, Targets, TorchGrid, YOLOConfig
from vision_app.detection.train.assign import assign
from vision_app.detection.train.loss import detection_loss, landmark_distance

pytestmark = pytest.mark.slow

STRIDES = (8, 16, 32)
ANCHORS = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
CLASSES, K = 3, 2
TINY = {"width": 4, "depths": (1, 1, 1, 1)}
NAN = float("nan")


def test_points_are_decoded_from_their_cell_s_center_in_sizes_of_the_anchor():
    grid = make_grid(64, 96, STRIDES, ANCHORS)
    offsets = np.random.default_rng(0).normal(size=(len(grid.cells), 2 * K)).astype(np.float32)
    points = grid.landmarks(offsets)
    assert points.shape == (len(offsets), K, 2) and points.dtype == np.float32
    for row, (column, line), s, (a_w, a_h), found in zip(
        offsets, grid.cells, grid.strides[:, 0], grid.anchors, points, strict=True
    ):
        for (l_x, l_y), (x, y) in zip(row.reshape(K, 2), found, strict=True):
            assert x == pytest.approx((column + 0.5) * s + l_x * a_w, rel=1e-5, abs=1e-3)
            assert y == pytest.approx((line + 0.5) * s + l_y * a_h, rel=1e-5, abs=1e-3)
    rows = np.array([5, 3, len(offsets) - 1])
    np.testing.assert_array_equal(grid.landmarks(offsets[rows], rows), points[rows])
    assert grid.landmarks(offsets[:, :0]).shape == (len(offsets), 0, 2)
    assert grid.landmarks(offsets[:0], rows[:0]).shape == (0, K, 2)


def test_tensors_and_arrays_decode_alike():
    grid, tensors = make_grid(64, 96, STRIDES, ANCHORS), TorchGrid.make(64, 96, STRIDES, ANCHORS)
    offsets = np.random.default_rng(1).normal(size=(40, 2 * K)).astype(np.float32)
    rows = np.random.default_rng(2).permutation(len(grid.cells))[:40]
    found = tensors.landmarks(torch.from_numpy(offsets), torch.from_numpy(rows))
    np.testing.assert_allclose(found, grid.landmarks(offsets, rows), rtol=1e-5, atol=1e-4)


def network(backbone, landmarks, seed=0):
    torch.manual_seed(seed)
    anchors = ANCHORS[:1] * len(LAYOUTS[backbone].neck.strides)
    depths = {"shuffle": (1, 1, 1)}.get(backbone, (1, 1, 1, 1))
    return YOLO(YOLOConfig(CLASSES, anchors, backbone, width=8, depths=depths, landmarks=landmarks)).eval()


@pytest.mark.parametrize("backbone", ["csp", "shuffle"])
def test_points_are_columns_after_the_classes_and_change_no_others(backbone):
    plain, pointed = network(backbone, 0), network(backbone, K, seed=1)
    assert not any("landmarks" in name for name in plain.state_dict())
    added = set(pointed.state_dict()) - set(plain.state_dict())
    assert added == {f"heads.{i}.landmarks.{part}" for i in range(len(plain.heads)) for part in ("weight", "bias")}
    pointed.load_state_dict(plain.state_dict(), strict=False)
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = plain(images), pointed(images)
        for i, head in enumerate(pointed.heads):
            head.landmarks.weight.zero_()
            head.landmarks.bias.copy_(i + torch.arange(head.k * 2 * K) / 100)
        counted = pointed(images)[0, :, 5 + CLASSES :]
    assert found.shape == (*expected.shape[:2], 5 + CLASSES + 2 * K)
    assert torch.equal(found[..., : 5 + CLASSES], expected)
    scales = torch.from_numpy(make_grid(64, 96, plain.config.strides, plain.config.anchors).strides[:, 0])
    index = torch.tensor([plain.config.strides.index(int(s)) for s in scales])
    slots = torch.arange(len(counted)) % 2  # of two anchors a cell, one after the other
    wanted = index[:, None] + (slots[:, None] * 2 * K + torch.arange(2 * K)) / 100
    torch.testing.assert_close(counted, wanted)


def test_a_configuration_without_points_is_written_as_ever():
    plain, pointed = (YOLOConfig(CLASSES, ANCHORS, **TINY, landmarks=count) for count in (0, K))
    assert "landmarks" not in plain.to_dict() and pointed.to_dict()["landmarks"] == K
    assert YOLOConfig.from_dict(plain.to_dict()) == plain and YOLOConfig.from_dict(pointed.to_dict()) == pointed


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
        picture = Image.new("RGB", (32, 32), (90, 90, 90))
        ImageDraw.Draw(picture).polygon(corners, fill=(220, 40, 40))
        images.append(torch.from_numpy(np.asarray(picture) / np.float32(255)).permute(2, 0, 1))
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
