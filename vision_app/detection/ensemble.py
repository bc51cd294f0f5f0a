"""Several detectors as one: ensembles and test-time augmentation, both by weighted boxes fusion."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vision_app.core.errors import UsageError
from vision_app.core.flags import flag
from vision_app.core.images import RGBImage
from vision_app.core.results import Detections
from vision_app.core.several import several
from vision_app.core.timing import Stages
from vision_app.detection.base import DetectOptions, Detector, ResolvedOptions

# What each member detects before fusion, whatever the user asks for. Measured with yolo and test-time augmentation on
# VOC val: fusing scores down to 0.01 takes nine times as long, and AP is 0.1 points lower. A second box of one member
# on one object counts as another vote and pulls the mean score down: with an IoU of 0.6, AP lost 4.6 points more.
MEMBER = DetectOptions(confidence=0.1, iou=0.5, max_detections=300)
OVERLAP = 0.55  # IoU above which boxes of the members are of one object: the paper's
SCALES = (0.77, 1.0, 1.23)  # of the input size, for test-time augmentation


class FusedDetector(Detector):
    """Detectors whose answers are fused, without landmarks.

    Scores of different networks are not on one scale. The default confidence of each is where its F1 is best, so a
    member's scores s become s^k, with the k that takes its default to the lowest of all defaults.

    Args:
        name: The name in results.
        members: The detectors.
        share: Default confidence relative to the members' lowest. A fused score is a mean over all members, those that
            missed the object included, and so lower than theirs.
        weights: How much each member counts; all alike by default.

    Attributes:
        members: The detectors.
    """

    def __init__(self, name: str, members: Sequence[Detector], *, share: float, weights: Sequence[float] | None = None):
        self.name, self.members, self._weights = name, tuple(members), weights
        confidences, devices = zip(*((member.defaults["confidence"], member.device) for member in members), strict=True)
        lowest = min(confidences)
        self._powers = [math.log(lowest) / math.log(one) if lowest > 0 and one < 1 else 1.0 for one in confidences]
        self.classes = members[0].classes
        self.defaults = {**members[0].defaults, "confidence": round(share * lowest, 2)}
        self.runtime = "+".join(dict.fromkeys(member.runtime for member in members))
        self.device = next((device for device in devices if device != "cpu"), "cpu")

    @property
    def digest(self) -> str:
        """See `Detector.digest`."""
        members = [member.digest for member in self.members]
        essence = (type(self).__name__, MEMBER, OVERLAP, SCALES, self._powers, self._weights, members)
        return hashlib.sha256(repr(essence).encode()).hexdigest()

    @property
    def target(self) -> int:
        """See `Detector.target`."""
        return max(member.target for member in self.members)

    def preprocess(self, images: RGBImage | Sequence[RGBImage]) -> tuple[Any, ...]:
        """Turn images into the inputs of every member."""
        images = tuple(several(images))
        return tuple(member.preprocess(images) for member in self.members)

    def join(self, parts: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        """Join the inputs of several images to those of one batch."""
        return tuple(member.join(part) for member, *part in zip(self.members, *parts, strict=True))

    def forward(self, inputs: tuple[Any, ...], stages: Stages | None = None) -> list[tuple[Any, ...]]:
        """Run every member's network; `stages` gets the times of all together."""
        outputs = [member.forward(part, stages) for member, part in zip(self.members, inputs, strict=True)]
        return list(zip(*outputs, strict=True))

    def _detections(self, raw: tuple[Any, ...], options: ResolvedOptions) -> Detections:
        """Fuse what the members detect at a low confidence; only then the user's options apply."""
        answers = [member.postprocess([one], MEMBER)[0] for member, one in zip(self.members, raw, strict=True)]
        index = {name: i for i, name in enumerate(self.classes)}
        boxes, scores, labels = fuse(
            [answer.boxes for answer in answers],
            [answer.scores**power for answer, power in zip(answers, self._powers, strict=True)],
            [np.array([index[name] for name in answer.labels], np.int64) for answer in answers],
            weights=self._weights,
            iou_threshold=OVERLAP,
        )
        names = tuple(self.classes[i] for i in labels)
        return options.select(Detections(boxes, scores, names, answers[0].width, answers[0].height, self.name))


class Ensemble(FusedDetector):
    """Several detectors of the same classes.

    Each counts by the square of its average precision, where all were measured on the same photos. On VOC val, yolo
    and faster-rcnn reach AP 0.548 this way, and 0.522 with equal weights and scores as they are.

    Raises:
        UsageError: Two of them are the same, or do not know the same classes.
    """

    def __init__(self, members: Sequence[Detector]):
        name = "+".join(member.name for member in members)
        super().__init__(name, members, share=0.8, weights=_weights(members))  # best F1: yolo+faster-rcnn, VOC val
        self.models = tuple(model for member in members for model in member.models)
        first = members[0]
        seen: dict[str, Detector] = {}
        for member in members:
            if (twin := seen.setdefault(member.digest, member)) is not member:
                names = member.name if member.name == twin.name else f"{twin.name} and {member.name}"
                raise UsageError(f"{flag('model')} {self.name}: {names} is the same model twice; name it once")
            if strange := sorted({*member.classes} ^ {*first.classes}):
                some = ", ".join(strange[:5]) + (" and others" if len(strange) > 5 else "")
                problem = f"only one of {first.name} and {member.name} knows {some}"
                raise UsageError(f"{flag('model')} {self.name}: {problem}; combine models of the same classes")

    def scaled(self, factor: float) -> "Ensemble":
        """See `Detector.scaled`."""
        return Ensemble([member.scaled(factor) for member in self.members])


def _weights(members: Sequence[Detector]) -> list[float] | None:
    """Return the squares of the members' AP, from their model.json; None where they were not measured alike."""
    measured = [member.models[0].info.get("measured", {}) for member in members]
    for photos in measured[0]:
        precisions = [one.get(photos, {}).get("AP", 0) for one in measured]
        if min(precisions) > 0:
            return [precision**2 for precision in precisions]
    return None


class Augmented(FusedDetector):
    """A detector with test-time augmentation: it runs on each image at three sizes, and on each flipped, too.

    This finds more than one pass does, and gives the network six times the work.

    Raises:
        UsageError: The detector chooses its input size itself; see `Detector.scaled`.
    """

    def __init__(self, detector: Detector):
        sizes = [detector.scaled(factor) for factor in SCALES]
        members = [member for one in sizes for member in (one, FlippedDetector(one))]
        super().__init__(f"{detector.name} (tta)", members, share=0.95)  # best F1: yolo, VOC val, 0.42 instead of 0.44
        self.models = detector.models


class FlippedDetector(Detector):
    """A detector that runs on horizontally flipped images; its boxes are those of the images as they are."""

    def __init__(self, detector: Detector):
        self.detector, self.name, self.models = detector, detector.name, detector.models
        self.classes, self.defaults = detector.classes, detector.defaults
        self.runtime, self.device = detector.runtime, detector.device

    @property
    def target(self) -> int:
        """See `Detector.target`."""
        return self.detector.target

    def preprocess(self, images: RGBImage | Sequence[RGBImage]) -> Any:
        """Turn images into the input of `forward`, flipped."""
        flipped = [replace(one, pixels=np.ascontiguousarray(one.pixels[:, ::-1])) for one in several(images)]
        return self.detector.preprocess(flipped)

    def join(self, parts: Sequence[Any]) -> Any:
        """Join the inputs of several images to those of one batch."""
        return self.detector.join(parts)

    def forward(self, inputs: Any, stages: Stages | None = None) -> Any:
        """Run the network."""
        return self.detector.forward(inputs, stages)

    def _detections(self, raw: Any, options: ResolvedOptions) -> Detections:
        (found,) = self.detector.postprocess([raw], options)
        x1, y1, x2, y2 = found.boxes.T
        boxes = np.stack([found.width - x2, y1, found.width - x1, y2], axis=1)
        return replace(found, boxes=boxes, landmarks=None)


def fuse(
    boxes: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    weights: Sequence[float] | None = None,
    iou_threshold: float = OVERLAP,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fuse the boxes of several sources by weighted boxes fusion (Solovyev, Wang and Gabruseva, 2021).

    Best first, each box goes to the cluster of its class that it overlaps most, or starts one where no overlap exceeds
    the threshold. A cluster's place is the mean of its T boxes weighted by their scores, and moves with each new box;
    non-max suppression would keep the best box and throw away what the others know. The fused score is the mean score
    times min(T, N) / N for N sources (equation 5 there; their equation 6 is without the minimum): a box that only one
    of several sources finds is doubtful. With weights w_i a score counts w_i times, and N is their sum in the
    divisor, as in the authors' own code.

    Args:
        boxes: (n_i, 4) xyxy of each source.
        scores: (n_i,) probabilities of each source; boxes of score 0 are left out.
        labels: (n_i,) integers of each source.
        weights: Weight of each source, above 0; all 1 by default.
        iou_threshold: Overlap above which a box joins a cluster.

    Returns:
        (K, 4) float32 boxes, (K,) float32 scores, 0 to 1, and (K,) int64 labels, best first; of equal scores the one
        whose best box came first.
    """
    factors = np.ones(len(boxes)) if weights is None else np.asarray(weights, float)
    factor = np.repeat(factors, [len(part) for part in boxes])
    score = np.concatenate(scores).astype(np.float64) * factor
    order = np.argsort(-score, kind="stable")
    order = order[score[order] > 0]
    box, score = np.concatenate(boxes).astype(np.float64)[order], score[order]
    kind = np.concatenate(labels).astype(np.int64)[order]
    leader = np.empty(len(box), np.int64)  # the best box of each box's cluster
    for label in np.unique(kind):
        own = np.flatnonzero(kind == label)
        leader[own] = own[_leaders(box[own], score[own], iou_threshold)]
    leaders, cluster = np.unique(leader, return_inverse=True)
    size, total = np.bincount(cluster), np.bincount(cluster, score)
    fused = np.stack([np.bincount(cluster, score * side) for side in box.T], axis=1) / total[:, None]
    # Σs / T · min(T, N) / Σw; rounding may carry the mean of ones past 1.
    fused_scores = np.minimum(total / size * np.minimum(size, len(factors)) / factors.sum(), 1)
    best = np.argsort(-fused_scores, kind="stable")
    return fused[best].astype(np.float32), fused_scores[best].astype(np.float32), kind[leaders][best]


def _leaders(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Return the (n,) index of the best box of the cluster that each box of one class, (n, 4) best first, goes to.

    Each box meets the few clusters that there are when its turn comes: plain Python is faster here than NumPy.
    """
    means: list[list[float]] = []
    sums: list[list[float]] = []
    leaders: list[int] = []
    place = []
    for i, (box, score) in enumerate(zip(boxes.tolist(), scores.tolist(), strict=True)):
        best, highest = len(means), iou_threshold
        for j, mean in enumerate(means):
            if (overlap := _iou(box, mean)) > highest:
                best, highest = j, overlap
        if best == len(means):
            leaders.append(i)
            sums.append([0.0] * 5)
            means.append(box)
        sums[best] = [a + score * b for a, b in zip(sums[best], (*box, 1.0), strict=True)]
        means[best] = [a / sums[best][4] for a in sums[best][:4]]
        place.append(best)
    return np.array(leaders)[place]


def _iou(a: list[float], b: list[float]) -> float:
    """Return `boxes.iou_matrix` for two boxes."""
    ax1, ay1, ax2, ay2 = a
    bx1, by1, bx2, by2 = b
    width = (ax2 if ax2 < bx2 else bx2) - (ax1 if ax1 > bx1 else bx1)
    height = (ay2 if ay2 < by2 else by2) - (ay1 if ay1 > by1 else by1)
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    return intersection / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - intersection)
