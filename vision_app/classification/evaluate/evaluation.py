"""How good a classifier is on photos whose objects are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vision_app.classification.train.targets import presence
from vision_app.core.boxes import iou_matrix
from vision_app.data.names import canonical
from vision_app.data.samples import DetectionSet

OVERLAP = 0.5  # IoU from which the best object's box is right


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a classifier is on some photos.

    Attributes:
        classes: names of the K classes of the truth.
        photos: (K,) number of photos that show the class.
        precision: (K,) average precision of the ranking of photos by the class's probability, NaN where none shows
            it, or all do, which any ranking has right.
        located: share of the photos with a box of the best object, of one of these classes, whose box is right: it
            meets one of its class with IoU 0.5 or more. NaN where there is no such photo.
    """

    classes: tuple[str, ...]
    photos: np.ndarray
    precision: np.ndarray
    located: float

    @property
    def mean(self) -> float:
        """mAP, the mean over all classes that some photos show and others do not; NaN where there are none."""
        known = ~np.isnan(self.precision)
        return float(self.precision[known].mean()) if known.any() else float("nan")


def evaluate(data: DetectionSet, rows: Sequence[Mapping]) -> Evaluation:
    """Compares a classifier's answers with the truth.

    A photo counts for a class wherever `presence` knows: not where all of it that the photo shows is difficult or a
    crowd, nor where the photo was not labeled for the class, or not exhaustively, and has no box of it.

    Args:
        data: the truth.
        rows: rows of `vision-app classify --localize`, one for each sample, in order. The classes may go by other names
            of the same things: "couch" for VOC's "sofa". A class that the rows lack has probability 0.
    """
    truth = np.stack([presence(sample, len(data.classes)) for sample in data.samples])  # (n, K): 1, 0 or NaN
    found = [{one["label"]: one["probability"] for one in row["classes"]} for row in rows]
    names = [canonical(name) for name in data.classes]
    probabilities = np.array([
        [row.get(name, row.get(other, 0.0)) for name, other in zip(data.classes, names, strict=True)] for row in found
    ])  # fmt: skip
    precision = [average_precision(truth[:, k], probabilities[:, k]) for k in range(len(data.classes))]
    return Evaluation(data.classes, (truth == 1).sum(axis=0), np.array(precision), _located(data, rows))


def average_precision(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean, over the photos that show a class, of the precision among all that are at least as probable.

    That is the sum over thresholds of precision times the rise of recall, without any interpolation.

    Args:
        truth: (n,) 1 where a photo shows the class, 0 where not, NaN where that does not count.
        probabilities: (n,) of the class in each photo.

    Returns:
        0 to 1, NaN where no photo that counts shows the class or all do.
    """
    known = ~np.isnan(truth)
    order = np.argsort(-probabilities[known], kind="stable")
    truth, falling = truth[known][order], -probabilities[known][order]
    if not truth.any() or truth.all():
        return float("nan")
    level = np.searchsorted(falling, falling, side="right")  # how many are at least as probable as each
    return float((truth.cumsum()[level - 1] / level)[truth == 1].mean())


def _located(data: DetectionSet, rows: Sequence[Mapping]) -> float:
    names = [canonical(name) for name in data.classes]
    right = []
    for sample, row in zip(data.samples, rows, strict=True):
        label = canonical(row["classes"][0]["label"])
        if row["box"] is not None and label in names:
            k = names.index(label)
            mine = sample.boxes.xyxy[sample.boxes.labels == k]
            right.append(bool((iou_matrix(np.array([row["box"]]), mine) >= OVERLAP).any()))
    return float(np.mean(right)) if right else float("nan")
