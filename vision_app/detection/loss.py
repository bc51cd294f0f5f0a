"""The detector's loss: box, objectness and class terms, each divided by the number of positives."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vision_app.detection.assign import Assignment, assign, weight_of_unknown
from vision_app.detection.yolo import TorchGrid

BOX_WEIGHT = 5.0


@dataclass(frozen=True)
class Targets:
    """What is true of one image.

    Attributes:
        boxes: (M, 4) xyxy in input pixels.
        labels: (M,) class indices.
        confidences: (M,) 1 for a box that a person drew, less for one that a teacher proposed.
        unknown: (U, 4) boxes that are neither right nor wrong: predictions on them are not punished.
    """

    boxes: Tensor
    labels: Tensor
    confidences: Tensor
    unknown: Tensor

    def to(self, device: torch.device | str) -> "Targets":
        return Targets(*(tensor.to(device) for tensor in vars(self).values()))


@dataclass(frozen=True)
class Losses:
    """Sums over a batch, divided by the number of positives; `total` is what is minimized."""

    box: Tensor
    objectness: Tensor
    classes: Tensor
    positives: int

    @property
    def total(self) -> Tensor:
        return BOX_WEIGHT * self.box + self.objectness + self.classes


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalized IoU of pairs of boxes, (P, 4) and (P, 4) xyxy -> (P,) in -1..1.

    IoU - |C \\ (A u B)| / |C| with C the smallest box around both (Rezatofighi et al., 2019, algorithm 1).
    """
    size = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    intersection = size.prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - intersection
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    return intersection / (union + 1e-7) - (hull - union) / (hull + 1e-7)


def detection_loss(raw: Tensor, targets: list[Targets], grid: TorchGrid) -> Losses:
    """The loss of a batch.

    Positives come from `assign`. With o an object's confidence and q the IoU of the predicted box with it:
    box = sum 1 - GIoU; objectness = BCE(p_c, o) over all anchors, 0 for those that answer for nothing, without those
    on unknown boxes; class = BCE(c, q one-hot) over the positives, so that p_c c_i comes to mean "this class, and
    this well localized" (the IoU-aware target of YOLOX). Box terms count by confidence.

    Args:
        raw: (B, N, 5 + p) network output.
        targets: one per image.
        grid: of the N anchors.
    """
    raw = raw.float() if raw.dtype in (torch.bfloat16, torch.float16) else raw
    predicted = grid.decode(raw[..., 1:5])
    logits = torch.cat([raw[..., :1], raw[..., 5:]], dim=2).detach()
    box, objectness, classes, positives = [], [], [], 0
    for output, boxes, output_logits, target in zip(raw, predicted, logits, targets, strict=True):
        found = assign(target.boxes, target.labels, boxes.detach(), output_logits, grid)
        terms = _image_terms(output, boxes, target, found)
        for total, term in zip((box, objectness, classes), terms, strict=True):
            total.append(term)
        positives += len(found.rows)
    scale = 1 / max(positives, 1)
    return Losses(*(torch.stack(part).sum() * scale for part in (box, objectness, classes)), positives)


def _image_terms(raw: Tensor, boxes: Tensor, target: Targets, found: Assignment) -> tuple[Tensor, Tensor, Tensor]:
    confidence = target.confidences[found.objects]
    box = ((1 - giou(boxes[found.rows], target.boxes[found.objects])) * confidence).sum()

    present = torch.zeros_like(raw[:, 0])
    present[found.rows] = confidence.to(present)
    weight = weight_of_unknown(boxes.detach(), target.unknown)
    weight[found.rows] = 1.0
    objectness = F.binary_cross_entropy_with_logits(raw[:, 0], present, weight, reduction="sum")

    one_hot = F.one_hot(target.labels[found.objects], raw.shape[1] - 5).to(raw)
    wanted = one_hot * found.ious[:, None]
    classes = F.binary_cross_entropy_with_logits(raw[found.rows, 5:], wanted, reduction="none").sum(dim=1)
    return box, objectness, (classes * confidence).sum()
