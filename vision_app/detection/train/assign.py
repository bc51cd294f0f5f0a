"""Assignment of objects to anchors: one anchor shape a scale, then the dynamic top-k of SimOTA.

Source: OTA (Ge et al., 2021) in the simplified form of YOLOX (Ge et al., 2021, section 2.1).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from vision_app.detection.model.yolo import TorchGrid

CENTER_RADIUS = 1.5  # cells around an object's center that may answer for it, also outside its box
TOP_IOUS = 10  # an object gets as many anchors as the sum of its ten best IoUs
IOU_COST = 3.0
OUTSIDE = 1e5  # cost of an anchor that is not both inside the box and near its center


@dataclass(frozen=True)
class Assignment:
    """Positives of one image.

    Attributes:
        rows: (P,) indices of the positive anchors, no index twice.
        objects: (P,) which object each is assigned to.
        ious: (P,) IoU of the predicted box with that object.
    """

    rows: Tensor
    objects: Tensor
    ious: Tensor


@torch.no_grad()
def assign(boxes: Tensor, labels: Tensor, predicted: Tensor, logits: Tensor, grid: TorchGrid) -> Assignment:
    """Match the objects of one image to anchors.

    An anchor may answer for an object if its shape has the best IoU with the object's among the anchors of its cell,
    and its cell's center lies inside the object's box or within 1.5 cells of its center. Among those, the cost
    BCE(class) + 3 (-ln IoU) decides; an object takes the k cheapest, k being the sum of its ten highest IoUs; an anchor
    wanted by several objects goes to the cheapest.

    Args:
        boxes: (M, 4) objects, xyxy in input pixels.
        labels: (M,) class indices.
        predicted: (N, 4) boxes that the network predicts, xyxy in input pixels.
        logits: (N, 1 + p) objectness and class logits.
        grid: The same N anchors.
    """
    if not len(boxes):
        empty = boxes.new_zeros(0, dtype=torch.long)
        return Assignment(empty, empty, boxes.new_zeros(0))
    inside, near = _inside(boxes, grid), _near(boxes, grid)
    allowed = (inside | near) & _best_shape(boxes, grid)
    rows = allowed.any(dim=0).nonzero().squeeze(1)  # (R,), the only anchors worth a cost
    allowed, preferred = allowed[:, rows], (inside & near)[:, rows]

    ious = box_iou(boxes, predicted[rows])  # (M, R)
    cost = _class_cost(logits[rows], labels) - IOU_COST * (ious + 1e-8).log() + OUTSIDE * ~preferred
    cost = cost.masked_fill(~allowed, torch.inf)

    best_ious = ious.masked_fill(~allowed, 0).topk(min(TOP_IOUS, len(rows)), dim=1).values
    counts = best_ious.sum(dim=1).int().clamp(min=1)  # (M,) anchors for each object
    order = cost.argsort(dim=1, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(len(rows), device=order.device).expand_as(order))
    taken = (rank < counts[:, None]) & allowed  # (M, R)

    owner = cost.masked_fill(~taken, torch.inf).argmin(dim=0)  # the cheapest object that wants the anchor
    chosen = taken.any(dim=0).nonzero().squeeze(1)
    return Assignment(rows[chosen], owner[chosen], ious[owner[chosen], chosen])


def _inside(boxes: Tensor, grid: TorchGrid) -> Tensor:
    """Return (M, N), whether the center of an anchor's cell is inside a box."""
    x, y = grid.centers.T
    left, top, right, bottom = boxes.T[:, :, None]
    inside: Tensor = (x > left) & (x < right) & (y > top) & (y < bottom)
    return inside


def _near(boxes: Tensor, grid: TorchGrid) -> Tensor:
    """Return (M, N), whether it is within CENTER_RADIUS cells of a box's center."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = (grid.centers[None] - centers[:, None]).abs().amax(dim=2)
    near: Tensor = distance < CENTER_RADIUS * grid.strides.T
    return near


def _best_shape(boxes: Tensor, grid: TorchGrid) -> Tensor:
    """Return (M, N), whether an anchor has the best shape for a box among the anchors of its cell."""
    shapes = (boxes[:, 2:] - boxes[:, :2])[:, None, None]  # (M, 1, 1, 2)
    smaller = torch.minimum(shapes, grid.table).prod(dim=3)  # (M, S, k)
    iou = smaller / (shapes.prod(dim=3) + grid.table.prod(dim=2) - smaller)
    best: Tensor = iou.argmax(dim=2)[:, grid.scale] == grid.slot
    return best


def _class_cost(logits: Tensor, labels: Tensor) -> Tensor:
    """Return (M, R) binary cross-entropy of sqrt(p_c c_i), from (R, 1 + p) logits, against each object's one-hot."""
    probability = (logits[:, :1].sigmoid() * logits[:, 1:].sigmoid()).sqrt().clamp(1e-7, 1 - 1e-7)
    absent = -torch.log1p(-probability)  # (R, p)
    own = probability[:, labels].T  # (M, R)
    return absent.sum(dim=1)[None] - absent[:, labels].T - own.log()


def ignore_weight(predicted: Tensor, ignored: Tensor, threshold: float = 0.5) -> Tensor:
    """Return (N,) 0 for predictions (N, 4) in one of the ignore regions (U, 4), by IoU; 1 elsewhere."""
    if not len(ignored):
        return predicted.new_ones(len(predicted))
    weight: Tensor = 1.0 - (box_iou(predicted, ignored).amax(dim=1) > threshold).float()
    return weight
