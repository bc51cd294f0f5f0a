"""The detector's loss: one term for the boxes, one for the scores p_c c_i, one for landmarks if there are any."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vision_app.detection.model.yolo import Targets, TorchGrid
from vision_app.detection.train.assign import assign, ignore_weight

BOX_WEIGHT, LANDMARK_WEIGHT = 2.0, 2.0
BEND = 0.05  # sizes of an object; up to here the loss of a landmark is square, from here on straight
NEGATIVE_WEIGHT, FOCUS = 0.75, 2.0  # alpha and gamma of the varifocal loss


@dataclass(frozen=True)
class Losses:
    """Sums over a batch; what is minimized is `total` divided by the number of positives.

    `landmarks` is None where there are none to learn.
    """

    box: Tensor
    score: Tensor
    landmarks: Tensor | None
    positives: int

    @property
    def parts(self) -> dict[str, Tensor]:
        """The sums that `total` is made of, by name."""
        parts = {"box": self.box, "score": self.score, "landmarks": self.landmarks}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def total(self) -> Tensor:
        """The weighted sum of all parts."""
        total = BOX_WEIGHT * self.box + self.score
        return total if self.landmarks is None else total + LANDMARK_WEIGHT * self.landmarks


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalized IoU, (P,) in -1..1, of pairs of boxes, (P, 4) and (P, 4) xyxy.

    IoU - (|C| - |A u B|) / |C| with C the smallest box around both (Rezatofighi et al., 2019, algorithm 1).
    """
    size = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    intersection = size.prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - intersection
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    return intersection / (union + 1e-7) - (hull - union) / (hull + 1e-7)


def detection_loss(raw: Tensor, targets: list[Targets], grid: TorchGrid, *, label_smoothing: float = 0.0) -> Losses:
    """Return the loss of a batch.

    Positives come from `assign`. Box term: the sum of o (1 - GIoU) over them, o being the object's score. Score
    term: the varifocal loss (Zhang et al., 2021) of s_i = p_c c_i over all anchors and classes, with the target
    q = o IoU(predicted box, object) for a positive's class and 0 elsewhere: q BCE(s, q) where q > 0, and
    -0.75 s^2 ln(1 - s) where q = 0. So s_i comes to mean "this class, and this well localized", and an easy background
    counts for little. Anchors in ignore regions that are not positive are left out. Landmark term: the sum of o times
    `landmark_distance` over the positives.

    Args:
        raw: (B, N, 5 + p + 2 K) network output.
        targets: One per image, with K landmarks a box.
        grid: The N anchors.
        label_smoothing: With e, targets become (1 - e) q + e / p for every class of a positive (Szegedy et al., 2016).
    """
    raw = raw.float() if raw.dtype in (torch.bfloat16, torch.float16) else raw
    points = 2 * targets[0].landmarks.shape[1]
    raw, offsets = raw[..., : raw.shape[2] - points], raw[..., raw.shape[2] - points :]
    predicted = grid.decode(raw[..., 1:5])
    logits = torch.cat([raw[..., :1], raw[..., 5:]], dim=2).detach()
    box: list[Tensor] = []
    score: list[Tensor] = []
    landmarks: list[Tensor] = []
    positives = 0
    parts = zip(raw, offsets, predicted, logits, targets, strict=True)
    for output, point_offsets, boxes, output_logits, target in parts:
        found = assign(target.boxes, target.labels, boxes.detach(), output_logits, grid)
        scores = target.scores[found.objects]
        box.append(((1 - giou(boxes[found.rows], target.boxes[found.objects])) * scores).sum())
        weight = ignore_weight(boxes.detach(), target.ignored)
        quality = _quality(target.labels[found.objects], scores * found.ious, output.shape[1] - 5, label_smoothing)
        score.append(varifocal_loss(output, found.rows, quality.to(output), weight))
        if points:
            answers = grid.landmarks(point_offsets[found.rows], found.rows)
            true_points, true_boxes = target.landmarks[found.objects], target.boxes[found.objects]
            landmarks.append((landmark_distance(answers, true_points, true_boxes) * scores).sum())
        positives += len(found.rows)
    distance = torch.stack(landmarks).sum() if landmarks else None
    return Losses(torch.stack(box).sum(), torch.stack(score).sum(), distance, positives)


def landmark_distance(predicted: Tensor, true: Tensor, boxes: Tensor) -> Tensor:
    """Return (P,), how far the landmarks of objects are from where they should be.

    With d the distance of two points along x or y, divided by the object's size sqrt(w h): the smooth L1 loss
    (Girshick, 2015, equation 3) with its bend at b = 0.05, d^2 / 2b up to there and |d| - b/2 beyond, summed over x and
    y; the mean over those of an object's points that are known, 0 if none is.

    Args:
        predicted: (P, K, 2) x, y in pixels.
        true: (P, K, 2) the ground truth, NaN where a point is not known.
        boxes: (P, 4) xyxy of the objects in pixels.
    """
    known = true.isfinite().all(dim=2, keepdim=True)  # (P, K, 1)
    size = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()[:, None, None]
    distance = torch.where(known, predicted - true.nan_to_num(), 0.0) / size
    loss = F.smooth_l1_loss(distance, torch.zeros_like(distance), beta=BEND, reduction="none")
    return loss.sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp(min=1)


def _quality(labels: Tensor, quality: Tensor, classes: int, smoothing: float) -> Tensor:
    """Return (P, p) targets from (P,) classes and qualities."""
    targets = F.one_hot(labels, classes) * quality[:, None]
    return (1 - smoothing) * targets + smoothing / classes if smoothing else targets


def varifocal_loss(raw: Tensor, rows: Tensor, quality: Tensor, weight: Tensor) -> Tensor:
    """Return the score term of one image, see `detection_loss`.

    Args:
        raw: (N, 5 + p) network output.
        rows: (P,) indices of the positives, no index twice.
        quality: (P, p) their targets.
        weight: (N,) weights of the negatives.
    """
    log_score = F.logsigmoid(raw[:, :1]) + F.logsigmoid(raw[:, 5:])  # (N, p), ln s
    negative = _negative(log_score).sum(dim=1)  # (N,)
    wanted, log_positive = quality, log_score[rows]
    cross_entropy = -wanted * log_positive - (1 - wanted) * _log_rest(log_positive)
    positive = torch.where(wanted > 0, wanted * cross_entropy, _negative(log_positive))
    weight = weight.index_fill(0, rows, 0.0)
    return (negative * weight).sum() + positive.sum()


def _negative(log_score: Tensor) -> Tensor:
    return -NEGATIVE_WEIGHT * (FOCUS * log_score).exp() * _log_rest(log_score)


def _log_rest(log_score: Tensor) -> Tensor:
    """Return ln(1 - s) from ln s, without loss of digits where s is small."""
    return torch.log(-torch.expm1(log_score.clamp(max=-1e-6)))
