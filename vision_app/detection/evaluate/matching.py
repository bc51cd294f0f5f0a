"""Matching of detections with objects, the one routine behind every figure but COCO's own; errors of landmarks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vision_app.core.boxes import area, iou_matrix
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.data.samples import DetectionSet
from vision_app.detection.evaluate.table import Table

OVERLAP = 0.5  # IoU from which a detection has found an object, wherever nothing else is said


@dataclass(frozen=True, eq=False)
class Matches:
    """The outcome of each detection of a table.

    Attributes:
        matched: (N,) index of the ground-truth box that a detection found, -1 where it found none.
        counted: (N,) bool, False where a detection that found none is in an ignore region.
    """

    matched: np.ndarray
    counted: np.ndarray

    @property
    def true_positives(self) -> np.ndarray:
        """(N,) whether a detection found an object."""
        found: np.ndarray = self.matched >= 0
        return found

    @property
    def false_positives(self) -> np.ndarray:
        """(N,) whether a detection counts against the detector."""
        wrong: np.ndarray = self.counted & ~self.true_positives
        return wrong

    def missed(self, table: Table) -> np.ndarray:
        """Return (M,), whether a ground-truth box is not ignored and no detection found it."""
        missed = ~table.ground_truth.ignored
        missed[self.matched[self.true_positives]] = False
        return missed


def match(table: Table, overlap: float = OVERLAP, *, by_class: bool = True) -> Matches:
    """Pair detections with ground-truth boxes by COCO's rules, best detections first.

    A detection finds the ground-truth box of its class and image that it overlaps most, of those that no better
    detection found, if their IoU is `overlap` or more. If there is none, it does not count when that share of its own
    area or more is in an ignored box of the class (a crowd, a difficult object), and is wrong otherwise.

    Args:
        table: Ground truth and detections.
        overlap: Lowest IoU, above 0.
        by_class: Whether boxes of different classes stay apart.
    """
    detections, ground_truth = table.detections, table.ground_truth
    matched, counted = np.full(len(detections), -1), np.ones(len(detections), bool)
    found_keys, true_keys = table.detection_images, table.ground_truth_images
    if by_class:
        classes = len(table.classes)
        found_keys, true_keys = found_keys * classes + detections.labels, true_keys * classes + ground_truth.labels
    for found, true in groups(found_keys, true_keys):
        boxes, true_boxes = detections.xyxy[found], ground_truth.xyxy[true]
        ignored = ground_truth.ignored[true]
        ious = iou_matrix(boxes, true_boxes)  # (n, m)
        free = ~ignored
        for i in np.flatnonzero((ious[:, free] >= overlap).any(axis=1)):
            best = int(np.where(free, ious[i], -1).argmax())
            if free[best] and ious[i, best] >= overlap:
                free[best] = False
                matched[found[i]] = true[best]
        if ignored.any():
            # With intersection I and areas A, B: IoU = I / (A + B - I), hence I / A = IoU (A + B) / (A (1 + IoU)).
            a, b, ious = area(boxes)[:, None], area(true_boxes[ignored]), ious[:, ignored]
            shares = ious * (a + b) / np.maximum(a * (1 + ious), 1e-30)  # (n, ignored)
            counted[found] = (matched[found] >= 0) | (shares < overlap).all(axis=1)
    return Matches(matched, counted)


def groups(found: np.ndarray, true: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the indices of the detections and of the ground-truth boxes of each key that both have, in their order.

    Args:
        found: (N,) keys of the detections.
        true: (M,) keys of the ground-truth boxes.
    """
    places = dict(_indices(true))
    for key, indices in _indices(found):
        if key in places:
            yield indices, places[key]


def _indices(keys: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    order = np.argsort(keys, kind="stable")
    values, starts = np.unique(keys[order], return_index=True)
    yield from zip(values.tolist(), np.split(order, starts[1:]), strict=False)  # of no keys, one empty part


def landmark_errors(ground_truth: LabeledBoxes, found: LabeledBoxes) -> np.ndarray:
    """Return the errors of one image: (n,) distances of points divided by sqrt(w h) of the ground-truth box.

    An object is found by the box of its class with the highest score of those that overlap it with an IoU of 0.5 or
    more, as average precision has it: a doubtful box is no second try. Landmarks of others, and those that are not
    known, do not count.
    """
    overlaps = iou_matrix(ground_truth.xyxy, found.xyxy)  # (M, N)
    matches = (ground_truth.labels[:, None] == found.labels) & (overlaps >= OVERLAP)
    if not matches.size:
        return np.zeros(0)
    best = np.where(matches, found.scores, -np.inf).argmax(axis=1)
    distances = np.linalg.norm(found.landmarks[best] - ground_truth.landmarks, axis=2)  # (M, K)
    errors = (distances / np.sqrt(area(ground_truth.xyxy))[:, None])[matches.any(axis=1)]
    known: np.ndarray = errors[np.isfinite(errors)]
    return known


def landmark_error(data: DetectionSet, rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the mean of `landmark_errors` over all images; None where no known landmark was found.

    Args:
        data: The ground truth.
        rows: Rows of `vision-app detect`, one for each sample in order.
    """
    index = {name: i for i, name in enumerate(data.classes)}
    errors = [np.zeros(0)]
    for sample, row in zip(data.samples, rows, strict=True):
        true = sample.boxes.not_ignored
        true = true[np.isfinite(true.landmarks).all(axis=2).any(axis=1)]
        found = [one for one in row["detections"] if "landmarks" in one and one["label"] in index]
        if len(true) and found:
            boxes = LabeledBoxes.make(
                np.array([one["box"] for one in found], float),
                np.array([index[one["label"]] for one in found]),
                np.array([one["score"] for one in found]),
                np.array([one["landmarks"] for one in found], float),
            )
            xyxy, landmarks = true.xyxy.astype(float), true.landmarks.astype(float)
            errors.append(landmark_errors(LabeledBoxes.make(xyxy, true.labels, landmarks=landmarks), boxes))
    every = np.concatenate(errors)
    return float(every.mean()) if len(every) else None
