"""The figures of an evaluation of faces."""

from dataclasses import dataclass

import numpy as np

from vision_app.faces.evaluate.metrics import FARS, FoldAccuracy, OperatingPoint, Roc, fold_accuracy, roc
from vision_app.faces.evaluate.pairs import Comparisons, FacePhotos, compare_all, compare_listed, some_people


@dataclass(frozen=True, eq=False)
class PairResult:
    """The figures of one set of pairs.

    Attributes:
        pairs: The pairs.
        curve: Of their similarities.
        points: At those of `metrics.FARS` that so many pairs support, at the lowest threshold that keeps to the rate.
    """

    pairs: Comparisons
    curve: Roc
    points: tuple[OperatingPoint, ...]

    @classmethod
    def of(cls, pairs: Comparisons) -> "PairResult":
        """Measure pairs."""
        curve = roc(pairs.similarity, pairs.same)
        thresholds = [(far, float(curve.thresholds[curve.at(far)])) for far in FARS if curve.supports(far)]
        points = (OperatingPoint.of(pairs.similarity, pairs.same, *one) for one in thresholds)
        return cls(pairs, curve, tuple(points))


@dataclass(frozen=True, eq=False)
class FaceEvaluation:
    """How well photos of people are told apart.

    Attributes:
        photos: F photos.
        embeddings: (F, D) unit vectors, NaN where no face was found.
        listed: The pairs of the list; None without one.
        every: Every pair of photos; None where the people are unknown.
        accuracy: Of the list's folds; None without a list.
        groups: By group and threshold, where the data names groups.
    """

    photos: FacePhotos
    embeddings: np.ndarray
    listed: PairResult | None
    every: PairResult | None
    accuracy: FoldAccuracy | None
    groups: tuple[OperatingPoint, ...]

    @property
    def results(self) -> dict[str, PairResult]:
        """The sets of pairs that there are, by name: "listed" and "all"."""
        named = {"listed": self.listed, "all": self.every}
        return {name: result for name, result in named.items() if result}

    @property
    def faceless(self) -> list[str]:
        """The photos in which no face was found. Their pairs count as errors, see `metrics`."""
        lost = np.isnan(self.embeddings).any(axis=1)
        return [file for file, is_lost in zip(self.photos.files, lost, strict=True) if is_lost]


def evaluate(photos: FacePhotos, embeddings: np.ndarray) -> FaceEvaluation:
    """Compare photos.

    Args:
        photos: F of them. Every pair is compared where people are known; of more than `pairs.MAX_PHOTOS` photos, those
            of some people.
        embeddings: (F, D) float32 unit vectors, NaN where no face was found.
    """
    listed = every = accuracy = None
    if photos.listed is not None:
        listed = PairResult.of(compare_listed(embeddings, photos))
        accuracy = fold_accuracy(listed.pairs.similarity, listed.pairs.same, photos.listed.folds)
    if photos.names is not None:
        kept = some_people(photos.names)
        every = PairResult.of(compare_all(embeddings[kept], photos.names[kept], photos.groups[kept]))
    grouped = next((one for one in (listed, every) if one and one.pairs.groups.any()), None)
    groups = []
    if grouped:
        for group in filter(None, np.unique(grouped.pairs.groups)):
            mine = grouped.pairs.keep(grouped.pairs.groups == group)  # both people belong to it
            about = mine.similarity, mine.same
            groups += [OperatingPoint.of(*about, one.far, one.threshold, str(group)) for one in grouped.points]
    return FaceEvaluation(photos, embeddings, listed, every, accuracy, tuple(groups))
