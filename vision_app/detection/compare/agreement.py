"""Which objects of an image two detectors both find, and which only one of them."""

from dataclasses import dataclass

import numpy as np

from vision_app.core.boxes import iou_matrix
from vision_app.core.results import Detections

OVERLAP = 0.5  # IoU from which two boxes of one label are the same object


@dataclass(frozen=True, eq=False)
class Agreement:
    """Objects of one image by who found them.

    Attributes:
        pairs: (P, 2) indices of the same object in both answers, pairs that overlap most first.
        only_first: Indices of what the first detector alone found, best first.
        only_second: Indices of what the second detector alone found, best first.
    """

    pairs: np.ndarray
    only_first: np.ndarray
    only_second: np.ndarray

    @property
    def counts(self) -> "Counts":
        """The numbers of these objects."""
        return Counts(len(self.pairs), len(self.only_first), len(self.only_second))


@dataclass(frozen=True)
class Counts:
    """Numbers of objects that both found, and that one alone found; those of several images can be added."""

    both: int = 0
    only_first: int = 0
    only_second: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.both + other.both, self.only_first + other.only_first, self.only_second + other.only_second)

    @property
    def share(self) -> float:
        """Share of objects that both found among all that any found, 0 to 1; 1 where there are none."""
        everything = self.both + self.only_first + self.only_second
        return self.both / everything if everything else 1.0


def agree(first: Detections, second: Detections, overlap: float = OVERLAP) -> Agreement:
    """Pair the objects of two answers for one image.

    Boxes of one label whose IoU is `overlap` or more are paired, those that overlap most first, each once. Scores do
    not count: those of two detectors are not on one scale, and so neither answer comes before the other.

    Args:
        first: The answer of one detector.
        second: The answer of the other.
        overlap: Lowest IoU, above 0.
    """
    ious = iou_matrix(first.boxes, second.boxes)  # (N, M)
    same = np.array(first.labels)[:, None] == np.array(second.labels)[None, :]
    i, j = np.nonzero(same & (ious >= overlap))
    order = np.lexsort((np.maximum(i, j), np.minimum(i, j), -ious[i, j]))  # ties are settled alike for both answers
    free_first, free_second = np.ones(len(first), bool), np.ones(len(second), bool)
    pairs = []
    for pair in zip(i[order].tolist(), j[order].tolist(), strict=True):
        if free_first[pair[0]] and free_second[pair[1]]:
            free_first[pair[0]] = free_second[pair[1]] = False
            pairs.append(pair)
    return Agreement(np.array(pairs, int).reshape(-1, 2), np.flatnonzero(free_first), np.flatnonzero(free_second))
