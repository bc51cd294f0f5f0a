"""The figures of an evaluation of faces."""

from dataclasses import dataclass

import numpy as np

from vision_app.faces.evaluate.metrics import FARS, FoldAccuracy, Roc, Share, fold_accuracy, roc, tar_at
from vision_app.faces.evaluate.pairs import Comparisons, Photos, compare_all, compare_listed, some_people


@dataclass(frozen=True)
class Tar:
    """The true accept rate at a false accept rate.

    Attributes:
        far: the false accept rate that is allowed.
        threshold: the lowest similarity that keeps to it.
        share: the genuine pairs that reach it.
    """

    far: float
    threshold: float
    share: Share


@dataclass(frozen=True, eq=False)
class Result:
    """What one set of pairs says.

    Attributes:
        pairs: the pairs.
        curve: of their similarities.
        tars: for those of `metrics.FARS` that so many pairs support.
    """

    pairs: Comparisons
    curve: Roc
    tars: tuple[Tar, ...]

    @classmethod
    def of(cls, pairs: Comparisons) -> "Result":
        curve = roc(pairs.similarity, pairs.same)
        places = [(far, *tar_at(curve, far)) for far in FARS if curve.supports(far)]
        return cls(pairs, curve, tuple(Tar(far, threshold, share) for far, share, threshold in places))


@dataclass(frozen=True)
class Group:
    """Pairs whose people both belong to one group, at a threshold that is the same for all groups.

    Attributes:
        name: of the group.
        far: the false accept rate of that threshold over all pairs.
        threshold: similarity.
        accepted: genuine pairs of the group that reach it.
        false: impostor pairs of the group that reach it.
    """

    name: str
    far: float
    threshold: float
    accepted: Share
    false: Share


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well photos of people are told apart.

    Attributes:
        photos: F photos.
        embeddings: (F, D) unit vectors, NaN where no face was found.
        listed: the pairs of the list; None without one.
        every: every pair of photos; None where nobody says who is on them.
        accuracy: of the list's folds; None without a list.
        groups: by group and threshold, where the data names groups.
    """

    photos: Photos
    embeddings: np.ndarray
    listed: Result | None
    every: Result | None
    accuracy: FoldAccuracy | None
    groups: tuple[Group, ...]

    @property
    def results(self) -> dict[str, Result]:
        """The sets of pairs that there are, by name: "listed" and "all"."""
        named = {"listed": self.listed, "all": self.every}
        return {name: result for name, result in named.items() if result}

    @property
    def faceless(self) -> list[str]:
        """The photos in which no face was found. Their pairs count as errors, see `metrics`."""
        lost = np.isnan(self.embeddings).any(axis=1)
        return [file for file, is_lost in zip(self.photos.files, lost, strict=True) if is_lost]


def evaluate(photos: Photos, embeddings: np.ndarray) -> Evaluation:
    """Compares photos as their set asks for.

    Args:
        photos: F of them. Every pair is compared where people are known; of more than `pairs.MOST` photos, those of
            some people.
        embeddings: (F, D) float32 unit vectors, NaN where no face was found.
    """
    listed = every = accuracy = None
    if photos.listed is not None:
        listed = Result.of(compare_listed(embeddings, photos))
        accuracy = fold_accuracy(listed.pairs.similarity, listed.pairs.same, photos.listed.folds)
    if photos.names is not None:
        kept = some_people(photos.names)
        every = Result.of(compare_all(embeddings[kept], photos.names[kept], photos.groups[kept]))
    grouped = next((one for one in (listed, every) if one and one.pairs.groups.any()), None)
    groups = _groups(grouped) if grouped else ()
    return Evaluation(photos, embeddings, listed, every, accuracy, groups)


def _groups(result: Result) -> tuple[Group, ...]:
    names, number = np.unique(result.pairs.groups, return_inverse=True)
    similarity, same = result.pairs.similarity, result.pairs.same
    found = []
    for place, name in enumerate(names):
        mine = number == place
        genuine, impostor = similarity[mine & same], similarity[mine & ~same]
        impostor = impostor[~np.isnan(impostor)]
        for tar in result.tars if name else ():
            accepted, false = (Share(int((part >= tar.threshold).sum()), len(part)) for part in (genuine, impostor))
            found.append(Group(str(name), tar.far, tar.threshold, accepted, false))
    return tuple(found)
