import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labeled import boxes as labeled
from torchvision.ops import generalized_box_iou

from vision_app.detection.model.yolo import YOLO, Targets, TorchGrid, YOLOConfig
from vision_app.detection.train.assign import assign
from vision_app.detection.train.loss import detection_loss, giou

STRIDES = (8, 16, 32)
ANCHORS = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
CLASSES = 3

numbers = st.floats(0, 100, width=32)
boxes = st.tuples(numbers, numbers, st.floats(0.5, 100, width=32), st.floats(0.5, 100, width=32)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(st.lists(st.tuples(boxes, boxes), min_size=1, max_size=8))
def test_giou_equals_torchvision(pairs):
    a, b = (torch.tensor([pair[i] for pair in pairs], dtype=torch.float64) for i in (0, 1))
    torch.testing.assert_close(giou(a, b), generalized_box_iou(a, b).diagonal(), atol=1e-5, rtol=1e-5)


def scene(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    grid = TorchGrid.make(64, 96, STRIDES, ANCHORS)
    raw = torch.randn(2, len(grid.cells), 5 + CLASSES, generator=generator) * 0.5
    first = labeled([[5, 6, 30, 25], [40, 10, 90, 60]], [2, 0], [1, 0.4], ignored=[[0, 40, 30, 64]])
    return raw, [Targets.of(first), Targets.of(labeled())], grid


def varifocal(score: float, wanted: float) -> float:
    if wanted == 0:
        return -0.75 * score**2 * math.log(1 - score)
    return -wanted * (wanted * math.log(score) + (1 - wanted) * math.log(1 - score))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_equals_a_plain_loop_over_anchors(smoothing):
    raw, targets, grid = scene()
    box = score = positives = 0.0
    for output, target in zip(raw, targets, strict=True):
        predicted = grid.decode(output[:, 1:5])
        found = assign(target.boxes, target.labels, predicted, torch.cat([output[:, :1], output[:, 5:]], 1), grid)
        owner = dict(zip(found.rows.tolist(), found.objects.tolist(), strict=True))
        positives += len(owner)
        for row in range(len(output)):
            scores = (output[row, 0].sigmoid() * output[row, 5:].sigmoid()).tolist()
            wanted = [0.0] * CLASSES
            if row in owner:
                j = owner[row]
                o = target.scores[j].item()
                pair = predicted[row][None], target.boxes[j][None]
                box += o * (1 - generalized_box_iou(*pair).item())
                iou = found.ious[found.rows.tolist().index(row)].item()
                wanted[target.labels[j].item()] = o * iou
                wanted = [(1 - smoothing) * q + smoothing / CLASSES for q in wanted]
            elif any(_iou(predicted[row].tolist(), u.tolist()) > 0.5 for u in target.ignored):
                continue
            score += sum(varifocal(s, q) for s, q in zip(scores, wanted, strict=True))
    losses = detection_loss(raw, targets, grid, label_smoothing=smoothing)
    assert losses.positives == positives > 3
    assert losses.box.item() == pytest.approx(box, rel=1e-4)
    assert losses.score.item() == pytest.approx(score, rel=1e-4)
    assert losses.total.item() == pytest.approx(2 * box + score, rel=1e-4)


def test_scores_near_zero_and_one_keep_the_loss_finite():
    raw, targets, grid = scene()
    for logit in (-60.0, 60.0):
        extreme = torch.cat([raw[..., :1] * 0 + logit, raw[..., 1:5], raw[..., 5:] * 0 + logit], dim=2).requires_grad_()
        total = detection_loss(extreme, targets, grid).total
        total.backward()
        assert torch.isfinite(total) and torch.isfinite(extreme.grad).all()
        assert total.item() > 1


def _iou(a: list[float], b: list[float]) -> float:
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (area - w * h)


def test_gradients_agree_with_finite_differences():
    raw, targets, grid = scene(1)
    generator = torch.Generator().manual_seed(5)
    raw = raw.double().requires_grad_()
    detection_loss(raw, targets, grid).total.backward()
    direction = torch.randn(raw.shape, generator=generator, dtype=torch.float64)
    direction[..., 1:5] *= 0.1
    # the assignment and the IoU targets are constants of the gradient: take the direction where they hardly matter
    for columns in (slice(0, 1), slice(5, None)):
        part = torch.zeros_like(direction)
        part[..., columns] = direction[..., columns]
        step = 1e-6
        with torch.no_grad():
            up = detection_loss(raw + step * part, targets, grid).total
            down = detection_loss(raw - step * part, targets, grid).total
        assert ((up - down) / (2 * step)).item() == pytest.approx((raw.grad * part).sum().item(), rel=1e-4)


def test_giou_gradients_agree_with_finite_differences():
    generator = torch.Generator().manual_seed(2)
    corner, size = torch.rand(2, 6, 2, generator=generator, dtype=torch.float64) * 10
    a = torch.cat([corner, corner + size + 1], dim=1).requires_grad_()
    b = torch.cat([corner + 0.7, corner + size + 2.5], dim=1)
    assert torch.autograd.gradcheck(lambda x: giou(x, b), (a,))


@pytest.mark.training
def test_a_small_network_learns_two_images_by_heart():
    torch.manual_seed(0)
    config = YOLOConfig(CLASSES, (((12.0, 12.0),), ((24.0, 24.0),), ((48.0, 48.0),)), width=4, depths=(1, 1, 1, 1))
    network, grid = YOLO(config).train(), TorchGrid.make(64, 64, config.strides, config.anchors)
    images = torch.rand(2, 3, 64, 64)
    images[0, 0, 10:34, 8:40] = 1.0
    images[1, 2, 30:60, 20:44] = 1.0
    targets = [Targets.of(labeled([box], [label])) for box, label in (((8, 10, 40, 34), 0), ((20, 30, 44, 60), 2))]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=250)
    start = detection_loss(network(images), targets, grid)
    for _ in range(250):
        optimizer.zero_grad()
        loss = detection_loss(network(images), targets, grid)
        (loss.total / loss.positives).backward()
        optimizer.step()
        schedule.step()
        if loss.total.item() / loss.positives < 0.09 * start.total.item() / start.positives:
            break  # about a hundred steps are enough, but not on every processor
    assert loss.total.item() / loss.positives < 0.1 * start.total.item() / start.positives
    with torch.no_grad():
        raw = network(images)
    for output, target in zip(raw, targets, strict=True):
        score = output[:, 0].sigmoid()[:, None] * output[:, 5:].sigmoid()
        row, label = divmod(score.argmax().item(), CLASSES)
        assert label == target.labels.item()
        box = grid.decode(output[:, 1:5])[row]
        assert _iou(box.tolist(), target.boxes[0].tolist()) > 0.8
