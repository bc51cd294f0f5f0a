"""Figures as functions of the confidence: precision and recall, F1, and the calibration of the confidences."""

import math
from dataclasses import dataclass

import numpy as np

from vision_app.detection.evaluate.matching import Matches, match
from vision_app.detection.evaluate.table import Table

RECALLS = np.linspace(0, 1, 101)  # COCO's


@dataclass(frozen=True, eq=False)
class Sweep:
    """True positives when only detections at or above a confidence are kept, for each that makes a change.

    Attributes:
        thresholds: (S,) confidences, falling.
        hits: (S,) number of true positives kept there.
        kept: (S,) number of detections kept there that count.
        wanted: Number of objects to find.
    """

    thresholds: np.ndarray
    hits: np.ndarray
    kept: np.ndarray
    wanted: int

    @classmethod
    def make(cls, table: Table, matches: Matches | None = None, label: int | None = None) -> "Sweep":
        """Sweep over the detections of one class, or of all together; by default at IoU 0.5."""
        matches = match(table) if matches is None else matches
        chosen = matches.counted if label is None else matches.counted & (table.detections.labels == label)
        wanted = table.wanted.sum() if label is None else table.wanted[label]
        scores = table.detections.scores[chosen]
        last = np.flatnonzero(np.diff(scores, append=-1))  # of each run of equal scores
        return cls(scores[last], matches.true_positives[chosen].cumsum()[last], last + 1, int(wanted))

    def at(self, confidences: np.ndarray) -> "Sweep":
        """Return the same at other confidences, (T,)."""
        place = np.searchsorted(-self.thresholds, -np.asarray(confidences), side="right")
        hits, kept = (np.append(0, counts)[place] for counts in (self.hits, self.kept))
        return Sweep(np.asarray(confidences), hits, kept, self.wanted)

    @property
    def precision(self) -> np.ndarray:
        """(S,) TP / (TP + FP); 1 where nothing is kept, since nothing is wrong."""
        return np.where(self.kept, self.hits / np.maximum(self.kept, 1), 1.0)

    @property
    def recall(self) -> np.ndarray:
        """(S,) TP / (TP + FN); 0 where there is nothing to find."""
        return self.hits / max(self.wanted, 1)

    @property
    def f1(self) -> np.ndarray:
        """(S,) 2 TP / (2 TP + FP + FN): what is kept is TP + FP, what is wanted TP + FN."""
        f1: np.ndarray = 2 * self.hits / np.maximum(self.kept + self.wanted, 1)
        return f1

    def best(self) -> tuple[float, float]:
        """Return the confidence with the best F1, rounded down to two digits, and the F1; both 0 without a hit."""
        if not self.hits.any():
            return 0.0, 0.0
        best = int(self.f1.argmax())
        return math.floor(self.thresholds[best] * 100 + 1e-9) / 100, float(self.f1[best])


def precision_by_recall(right: np.ndarray, wanted: int) -> np.ndarray:
    """Return COCO's precision-recall curve, whose mean is the average precision.

    At each recall r it shows the best precision at recall r or more (Everingham et al., 2010, without their 11 points).

    Args:
        right: (n,) bool, whether a detection that counts is a true positive, best first.
        wanted: Number of objects to find, at least 1.

    Returns:
        (101,) precision at `RECALLS`, 0 from where the detections do not reach.
    """
    hits = right.cumsum()
    precision = hits / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(hits / wanted, RECALLS, side="left")
    return np.append(envelope, 0.0)[place]


def precision_curves(table: Table, matches: Matches) -> np.ndarray:
    """Return `precision_by_recall` of every class, (K, 101), NaN for a class without objects."""
    curves = np.full((len(table.classes), len(RECALLS)), np.nan)
    for label in np.flatnonzero(table.wanted):
        right = matches.true_positives[matches.counted & (table.detections.labels == label)]
        curves[label] = precision_by_recall(right, table.wanted[label])
    return curves


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often detections of a confidence are right, in B bins of equal width (Guo et al., 2017).

    Attributes:
        edges: (B + 1,) from 0 to 1; a bin includes its lower edge, the last one both.
        counts: (B,) number of detections that count.
        confidence: (B,) their mean confidence, NaN in an empty bin.
        precision: (B,) the share of true positives, NaN in an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    precision: np.ndarray

    @classmethod
    def make(cls, table: Table, matches: Matches, bins: int = 10) -> "Reliability":
        """Count the detections of a table."""
        scores, right = table.detections.scores[matches.counted], matches.true_positives[matches.counted]
        place = np.minimum((scores * bins + 1e-9).astype(int), bins - 1)
        counts, total, hits = (np.bincount(place, weights, bins) for weights in (None, scores, right))
        with np.errstate(invalid="ignore"):
            return cls(np.linspace(0, 1, bins + 1), counts, total / counts, hits / counts)

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of confidence and precision, weighted by the counts."""
        if not self.counts.any():
            return 0.0
        return float(np.nansum(self.counts * abs(self.confidence - self.precision)) / self.counts.sum())
