"""How well similarities tell pairs of photos of one person (genuine) from pairs of different people (impostors).

A pair is accepted when its similarity reaches a threshold. A pair has no similarity, NaN, where no face was found in
one of its photos: it is rejected then. So a genuine one counts as an error at every threshold. An impostor one must not
make the errors fewer: it is left out of the false accept rates, and in the accuracy it counts as wrong.
"""

from dataclasses import dataclass

import numpy as np

from vision_app.core.errors import DataError

FARS = (1e-1, 1e-2, 1e-3, 1e-4)  # the false accept rates that are reported where there are pairs enough
LEAST = 2  # false accepts that a rate must allow to be reported: with fewer, a single look-alike decides
FOLDS = 10  # of the LFW protocol


@dataclass(frozen=True, eq=False)
class Roc:
    """What each threshold accepts, from one that accepts nothing down to the lowest similarity.

    Attributes:
        thresholds: (T,) falling; the first is infinite.
        accepted_genuine, accepted_impostor: (T,) number of pairs whose similarity is at least the threshold.
        genuine: number of genuine pairs, with those that have no similarity.
        impostor: number of impostor pairs that have a similarity.
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

    def supports(self, far: float) -> bool:
        """Whether there are pairs enough to speak of a false accept rate: it allows `LEAST` false accepts or more."""
        return self.impostor > 0 and self.genuine > 0 and _allowed(far, self.impostor) >= LEAST

    def at(self, fars: np.ndarray) -> np.ndarray:
        """For each rate the place in the curve with the lowest threshold whose false accept rate is no higher."""
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
        """NaN where there is nothing to take a share of."""
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
        """The share of all pairs that are told rightly; with folds of one size, the mean of their accuracies."""
        return float(np.average(self.accuracies, weights=self.counts))

    @property
    def standard_error(self) -> float:
        """Of the mean, as LFW states it: from how the folds differ. NaN for a single fold."""
        folds = len(self.accuracies)
        return float(np.std(self.accuracies, ddof=1) / np.sqrt(folds)) if folds > 1 else float("nan")


def roc(similarity: np.ndarray, same: np.ndarray) -> Roc:
    """Counts what every threshold accepts.

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
    """Area under the ROC curve: how often a genuine pair is more similar than an impostor one; ties count half.

    NaN where there is no pair of one kind.
    """
    return float(np.trapezoid(curve.tar, curve.far)) if curve.genuine and curve.impostor else float("nan")


def eer(curve: Roc) -> float:
    """Equal error rate: where as large a share of genuine pairs is rejected as of impostor pairs accepted.

    Between two points of the ROC curve it lies on the line through them. NaN where there is no pair of one kind.
    """
    if not curve.genuine or not curve.impostor:
        return float("nan")
    far, gap = curve.far, curve.far - (1 - curve.tar)
    after = int(np.argmax(gap >= 0))  # not the first point, which accepts nothing
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(far[after - 1] + share * (far[after] - far[after - 1]))


def tar_at(curve: Roc, far: float) -> tuple[Share, float]:
    """The share of genuine pairs accepted where at most `far` of the impostors are, and the threshold there."""
    place = curve.at(np.array(far))
    return Share(int(curve.accepted_genuine[place]), curve.genuine), float(curve.thresholds[place])


def best_threshold(similarity: np.ndarray, same: np.ndarray) -> float:
    """A threshold that tells most pairs rightly: halfway between two similarities, the middle one where many do."""
    curve = roc(similarity, same)
    right = curve.accepted_genuine - curve.accepted_impostor
    (best,) = np.nonzero(right == right.max())
    place = best[len(best) // 2]
    return float(np.mean(curve.thresholds[place : place + 2]))


def fold_accuracy(similarity: np.ndarray, same: np.ndarray, folds: np.ndarray) -> FoldAccuracy:
    """The accuracy of each fold at the threshold that is best on the others (the protocol of LFW, Huang 2007).

    Args:
        similarity: (N,) of the pairs, NaN for a pair that could not be compared: it counts as wrong.
        same: (N,) bool, whether a pair is genuine.
        folds: (N, 2) the fold of each photo. A pair is judged in the fold of its first photo, at a threshold from the
            pairs without any photo of this fold.

    Raises:
        DataError: all pairs are of one fold, so that none is left to find its threshold on.
    """
    accuracies, thresholds = [], []
    numbers, counts = np.unique(folds[:, 0], return_counts=True)
    if len(numbers) < 2:
        raise DataError("all pairs are of one fold; the accuracy takes at least two")
    for fold in numbers:
        judged, others = folds[:, 0] == fold, (folds != fold).all(axis=1)
        threshold = best_threshold(similarity[others], same[others])
        right = np.where(same[judged], similarity[judged] >= threshold, similarity[judged] < threshold)
        accuracies.append(right.mean())
        thresholds.append(threshold)
    return FoldAccuracy(np.array(accuracies), np.array(thresholds), counts)


def _allowed(far: float | np.ndarray, impostor: int) -> np.ndarray:
    """How many false accepts of so many impostor pairs a rate allows; 0.01 allows 27 of 2,700, whatever floats say."""
    return np.floor(np.multiply(far, impostor) + 1e-9)
