"""The vectorized assignment against the same rules written as plain loops."""

import math

import pytest
import torch
from torchvision.ops import box_iou

from vision_app.detection.model.yolo import TorchGrid
from vision_app.detection.train.assign import assign, ignore_weight

pytestmark = pytest.mark.slow

ANCHORS = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
SIZE, CLASSES = 128, 4
STRIDES = (8, 16, 32)


@pytest.fixture
def grid() -> TorchGrid:
    return TorchGrid.make(SIZE, SIZE, STRIDES, ANCHORS)


def scene(seed: int, objects: int, grid: TorchGrid):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(objects, 2, 2, generator=generator) * SIZE
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1) + 4], dim=1)
    labels = torch.randint(CLASSES, (objects,), generator=generator)
    predicted = grid.decode(torch.randn(len(grid.cells), 4, generator=generator) * 0.4)
    return boxes, labels, predicted, torch.randn(len(grid.cells), 1 + CLASSES, generator=generator)


def best_anchor(box, scale: int) -> int:
    w, h = (box[2] - box[0]).item(), (box[3] - box[1]).item()
    ious = [min(w, a) * min(h, b) / (w * h + a * b - min(w, a) * min(h, b)) for a, b in ANCHORS[scale]]
    return ious.index(max(ious))


def reference(boxes, labels, predicted, logits, grid) -> dict[int, int]:
    """Row -> object, by the rules in `assign`'s docstring."""
    wanted: dict[int, list[tuple[float, int]]] = {}
    for j, (box, label) in enumerate(zip(boxes, labels.tolist(), strict=True)):
        candidates = []
        for row in range(len(predicted)):
            stride = grid.strides[row].item()
            scale = (8, 16, 32).index(int(stride))
            x, y = ((grid.cells[row] + 0.5) * stride).tolist()
            inside = box[0] < x < box[2] and box[1] < y < box[3]
            cx, cy = ((box[0] + box[2]) / 2).item(), ((box[1] + box[3]) / 2).item()
            near = max(abs(x - cx), abs(y - cy)) < 1.5 * stride
            if not (inside or near) or grid.slot[row] != best_anchor(box, scale):
                continue
            iou = box_iou(box[None], predicted[row][None]).item()
            entropy = 0.0
            for c in range(CLASSES):
                p = math.sqrt(logits[row, 0].sigmoid().item() * logits[row, 1 + c].sigmoid().item())
                entropy -= math.log(p) if c == label else math.log(1 - p)
            cost = entropy - 3 * math.log(iou + 1e-8) + (0 if inside and near else 1e5)
            candidates.append((cost, row, iou))
        count = max(1, int(sum(sorted((iou for *_, iou in candidates), reverse=True)[:10])))
        for cost, row, _ in sorted(candidates)[:count]:
            wanted.setdefault(row, []).append((cost, j))
    return {row: min(wishes)[1] for row, wishes in wanted.items()}


@pytest.mark.parametrize(("seed", "objects"), [(0, 1), (1, 3), (2, 6), (3, 12), (4, 25)])
def test_assignment_equals_the_plain_loop(seed, objects, grid):
    boxes, labels, predicted, logits = scene(seed, objects, grid)
    found = assign(boxes, labels, predicted, logits, grid)
    assert dict(zip(found.rows.tolist(), found.objects.tolist(), strict=True)) == reference(
        boxes, labels, predicted, logits, grid
    )
    assert len(found.rows.unique()) == len(found.rows)
    expected = box_iou(predicted[found.rows], boxes[found.objects]).diagonal()
    torch.testing.assert_close(found.ious, expected)


def test_an_object_alone_always_gets_an_anchor_however_small(grid):
    _, _, predicted, logits = scene(0, 1, grid)
    found = assign(torch.tensor([[61.0, 61.0, 62.0, 62.0]]), torch.tensor([2]), predicted, logits, grid)
    assert len(found.rows) >= 1


def test_no_objects_no_positives(grid):
    _, _, predicted, logits = scene(0, 1, grid)
    found = assign(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), predicted, logits, grid)
    assert len(found.rows) == len(found.objects) == len(found.ious) == 0


def test_predictions_on_unknown_ground_weigh_nothing():
    predicted = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 4.0], [50.0, 50.0, 60.0, 60.0]])
    unknown = torch.tensor([[0.0, 0.0, 10.0, 10.0]])  # IoU 1, 0.4, 0
    assert ignore_weight(predicted, unknown).tolist() == [0, 1, 1]
    assert ignore_weight(predicted, torch.zeros(0, 4)).tolist() == [1, 1, 1]
