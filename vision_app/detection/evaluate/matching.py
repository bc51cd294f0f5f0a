"""Which detection found which object: the one routine behind every figure but COCO's own."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vision_app.core.boxes import area, iou_matrix
from vision_app.detection.evaluate.table import Table

OVERLAP = 0.5  # IoU from which a detection has found an object, wherever nothing else is said


@dataclass(frozen=True, eq=False)
class Matches:
    """What became of the detections of a table.

    Attributes:
        truth: (N,) index of the true box that a detection found, -1 where it found none.
        counts: (N,) bool, False where a detection that found none is not wrong either.
    """

    truth: np.ndarray
    counts: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """(N,) whether a detection found an object."""
        return self.truth >= 0

    @property
    def wrong(self) -> np.ndarray:
        """(N,) whether a detection counts against the detector."""
        return self.counts & ~self.right


def match(table: Table, overlap: float = OVERLAP, *, by_class: bool = True) -> Matches:
    """Pairs detections with true boxes by COCO's rules, best detections first.

    A detection finds the true box of its class and image that it overlaps most, of those that no better detection
    found, if their IoU is `overlap` or more. If there is none, it does not count when that share of its own area or
    more lies in an ignored box of the class (a crowd, a difficult object), and is wrong otherwise.

    Args:
        overlap: lowest IoU, above 0.
        by_class: whether boxes of different classes stay apart.
    """
    truth, counts = np.full(len(table.scores), -1), np.ones(len(table.scores), bool)
    labels, true_labels = (table.labels, table.true_labels) if by_class else (table.labels * 0, table.true_labels * 0)
    classes = len(table.classes)
    for found, true in groups(table.image * classes + labels, table.true_images * classes + true_labels):
        boxes, true_boxes = table.boxes[found], table.true_boxes[true]
        ignored = table.ignored[true]
        ious = iou_matrix(boxes, true_boxes)  # (n, m)
        free = ~ignored
        for i in np.flatnonzero((ious[:, free] >= overlap).any(axis=1)):
            best = int(np.where(free, ious[i], -1).argmax())
            if free[best] and ious[i, best] >= overlap:
                free[best] = False
                truth[found[i]] = true[best]
        if ignored.any():
            # With intersection I and areas A, B: IoU = I / (A + B - I), hence I / A = IoU (A + B) / (A (1 + IoU)).
            a, b, ious = area(boxes)[:, None], area(true_boxes[ignored]), ious[:, ignored]
            shares = ious * (a + b) / np.maximum(a * (1 + ious), 1e-30)  # (n, ignored)
            counts[found] = (truth[found] >= 0) | (shares < overlap).all(axis=1)
    return Matches(truth, counts)


def groups(found: np.ndarray, true: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices of the detections and of the true boxes of each key that both have, in their order.

    Args:
        found: (N,) keys of the detections.
        true: (M,) keys of the true boxes.
    """
    places = dict(_indices(true))
    for key, indices in _indices(found):
        if key in places:
            yield indices, places[key]


def _indices(keys: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    order = np.argsort(keys, kind="stable")
    values, starts = np.unique(keys[order], return_index=True)
    yield from zip(values.tolist(), np.split(order, starts[1:]), strict=False)  # of no keys, one empty part
