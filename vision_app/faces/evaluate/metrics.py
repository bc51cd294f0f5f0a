"""How well similarities separate pairs of photos of one person (genuine) from pairs of different people (impostors).

A pair is accepted when its similarity reaches a threshold. A pair has no similarity, NaN, where no face was found in
one of its photos: it is rejected then. So a genuine one counts as an error at every threshold. An impostor one must not
reduce the errors: it is left out of the false accept rates, and in the accuracy it counts as wrong.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from vision_app.core.errors import DataError

FARS = (1e-1, 1e-2, 1e-3, 1e-4)  # the false accept rates that are reported where there are enough pairs
MIN_FALSE_ACCEPTS = 2  # that a rate must allow to be reported: with fewer, a single look-alike decides
FOLDS = 10  # of the LFW protocol


@dataclass(frozen=True, eq=False)
class Roc:
    """What each threshold accepts, from one that accepts nothing down to the lowest similarity.

    Attributes:
        thresholds: (T,) falling; the first is infinite.
        accepted_genuine, accepted_impostor: (T,) number of pairs whose similarity is at least the threshold.
        genuine: Number of genuine pairs, including those without a similarity.
        impostor: Number of impostor pairs that have a similarity.
    """

    thresholds: np.ndarray
    accepted_genuine: np.ndarray
    accepted_impostor: np.ndarray
    genuine: int
    impostor: int

    @property
    def tar(self) -> np.ndarray:
        """(T,) true accept rate: share of the genuine pairs that are accepted."""
        return self.accepted_genuine / self.genuine

    @property
    def far(self) -> np.ndarray:
        """(T,) false accept rate: share of the impostor pairs that are accepted."""
        return self.accepted_impostor / self.impostor

    @property
    def is_complete(self) -> bool:
        """Whether there are pairs of both kinds."""
        return self.genuine > 0 and self.impostor > 0

    def supports(self, far: float) -> bool:
        """Return whether there are enough pairs for a rate: it allows `MIN_FALSE_ACCEPTS` false accepts or more."""
        return self.is_complete and bool(_allowed(far, self.impostor) >= MIN_FALSE_ACCEPTS)

    def at(self, fars: float | np.ndarray) -> np.ndarray:
        """Return for each rate the index of the lowest threshold whose false accept rate is no higher."""
        return np.searchsorted(self.accepted_impostor, _allowed(fars, self.impostor), side="right") - 1


@dataclass(frozen=True)
class Share:
    """`count` of `total`, such as accepted pairs of all.

    >>> Share(45, 50).rate
    0.9
    """

    count: int
    total: int

    @property
    def rate(self) -> float:
        """The quotient, NaN where the total is 0."""
        return self.count / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of Wilson (1927), for independent trials; 0 to 1 where there are none.

        Pairs that share a photo or a person are not independent, so theirs is too narrow.
        """
        if not self.total:
            return 0.0, 1.0
        z, n, p = 1.959964, self.total, self.rate
        center, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low, high = ((center + sign * half) / (1 + z * z / n) for sign in (-1, 1))
        return (float(max(low, 0)) if self.count else 0.0, float(min(high, 1)) if self.count < n else 1.0)


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does to some pairs.

    Attributes:
        far: The false accept rate that the threshold is meant for.
        threshold: Similarity.
        true: The share of genuine pairs that are accepted.
        false: The share of impostor pairs that are accepted.
        interval: The 95 % confidence interval of the false accept rate.
        group: To which the people of these pairs belong, "" for all.
    """

    far: float
    threshold: float
    true: Share
    false: Share
    interval: tuple[float, float]
    group: str = ""

    @classmethod
    def of(cls, similarity: np.ndarray, same: np.ndarray, far: float, threshold: float, group: str = "") -> Self:
        """Count accepted pairs; the first two arguments are those of `roc`."""
        genuine, impostor = similarity[same], similarity[~same & ~np.isnan(similarity)]
        true, false = (Share(int((part >= threshold).sum()), len(part)) for part in (genuine, impostor))
        return cls(far, threshold, true, false, false.interval, group)


@dataclass(frozen=True, eq=False)
class FoldAccuracy:
    """The accuracy of K folds, each at a threshold from the others.

    Attributes:
        accuracies: (K,) of the folds, in the order of their numbers, 0 to 1.
        thresholds: (K,) similarities.
        counts: (K,) pairs of each fold.
    """

    accuracies: np.ndarray
    thresholds: np.ndarray
    counts: np.ndarray

    @property
    def mean(self) -> float:
        """The share of all pairs that are classified correctly; with folds of one size, the mean accuracy."""
        return float(np.average(self.accuracies, weights=self.counts))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over the folds, as LFW reports it. NaN for a single fold."""
        folds = len(self.accuracies)
        return float(np.std(self.accuracies, ddof=1) / np.sqrt(folds)) if folds > 1 else float("nan")


def roc(similarity: np.ndarray, same: np.ndarray) -> Roc:
    """Count what every threshold accepts.

    Args:
        similarity: (N,) of the pairs, NaN for a pair that could not be compared.
        same: (N,) bool, whether a pair is genuine.
    """
    compared = ~np.isnan(similarity)
    order = np.argsort(-similarity[compared], kind="stable")
    falling, genuine = similarity[compared][order], same[compared][order]
    last = np.append(falling[1:] != falling[:-1], True) if len(falling) else np.zeros(0, bool)  # of equal similarities
    accepted = np.cumsum(genuine)[last]
    return Roc(
        np.concatenate([[np.inf], falling[last]]),
        np.concatenate([[0], accepted]),
        np.concatenate([[0], np.flatnonzero(last) + 1 - accepted]),
        genuine=int(same.sum()),
        impostor=int((~genuine).sum()),
    )


def auc(curve: Roc) -> float:
    """Return the area under the ROC curve: how often a genuine pair is more similar than an impostor one.

    Ties count half. NaN where there is no pair of one kind.
    """
    return float(np.trapezoid(curve.tar, curve.far)) if curve.is_complete else float("nan")


def eer(curve: Roc) -> float:
    """Return the equal error rate: where the false reject rate equals the false accept rate.

    Between two points of the ROC curve it lies on the line through them. NaN where there is no pair of one kind.
    """
    if not curve.is_complete:
        return float("nan")
    far, gap = curve.far, curve.far - (1 - curve.tar)
    after = int(np.argmax(gap >= 0))  # not the first point, which accepts nothing
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(far[after - 1] + share * (far[after] - far[after - 1]))


def tar_at(curve: Roc, far: float) -> tuple[Share, float]:
    """Return the share of genuine pairs accepted where at most `far` of the impostors are, and that threshold."""
    place = curve.at(far)
    return Share(int(curve.accepted_genuine[place]), curve.genuine), float(curve.thresholds[place])


def best_threshold(similarity: np.ndarray, same: np.ndarray) -> float:
    """Return the threshold of the best accuracy: halfway between two similarities, the middle one of several."""
    curve = roc(similarity, same)
    right = curve.accepted_genuine - curve.accepted_impostor
    (best,) = np.nonzero(right == right.max())
    place = best[len(best) // 2]
    return float(np.mean(curve.thresholds[place : place + 2]))


def fold_accuracy(similarity: np.ndarray, same: np.ndarray, folds: np.ndarray) -> FoldAccuracy:
    """Measure the accuracy of each fold at the best threshold of the others (the protocol of LFW, Huang 2007).

    Args:
        similarity: (N,) of the pairs, NaN for a pair that could not be compared: it counts as wrong.
        same: (N,) bool, whether a pair is genuine.
        folds: (N, 2) the fold of each photo. A pair is judged in the fold of its first photo, at a threshold from the
            pairs without any photo of this fold.

    Raises:
        DataError: All pairs are in one fold, which leaves none to find its threshold on.
    """
    accuracies, thresholds = [], []
    numbers, counts = np.unique(folds[:, 0], return_counts=True)
    if len(numbers) < 2:
        raise DataError("all pairs are in one fold; the accuracy takes at least two")
    for fold in numbers:
        judged, others = folds[:, 0] == fold, (folds != fold).all(axis=1)
        threshold = best_threshold(similarity[others], same[others])
        right = np.where(same[judged], similarity[judged] >= threshold, similarity[judged] < threshold)
        accuracies.append(right.mean())
        thresholds.append(threshold)
    return FoldAccuracy(np.array(accuracies), np.array(thresholds), counts)


def _allowed(far: float | np.ndarray, impostor: int) -> np.ndarray:
    """Return how many false accepts a rate allows; 0.01 allows 27 of 2,700, whatever floats say."""
    return np.floor(np.multiply(far, impostor) + 1e-9)
