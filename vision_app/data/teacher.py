"""A teacher's boxes beside the true ones: what people did not label, a committee of detectors has an opinion on."""

import gzip
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from vision_app.core.boxes import area, iou_matrix
from vision_app.core.errors import DataError
from vision_app.data.samples import DetectionSet, Sample
from vision_app.released.landmarks import not_known

# A committee's score is no probability. Counted on the 2,811 COCO photos whose true boxes are known, a box of score s
# is right (IoU >= 0.5 with an unused true box of its class) with probability 1 / (1 + exp(-SLOPE (s - CENTER))).
SLOPE, CENTER = 10.3, 0.37
TRUSTED, DOUBTED = 0.3, 0.07  # by that probability: a target; below it, down to here, neither right nor wrong
SAME = 0.5  # IoU from which a teacher's box and a labeled one of its class are the same object
SAME_PLACE = 0.7  # IoU from which they are whatever the class, and people know better what it is


def confidence(scores: np.ndarray) -> np.ndarray:
    """Committee scores -> probability that a box is right."""
    return 1 / (1 + np.exp(-SLOPE * (scores - CENTER)))


def add_teacher_boxes(data: DetectionSet, path: str | Path) -> DetectionSet:
    """Adds a committee's boxes to the samples they were made on.

    A box of a class that the photo was not labeled for becomes a target with its confidence, or unknown ground when
    that is low; neither where it lies on a labeled box, as a "truck" on a car does. A box of a labeled class adds
    nothing, except where the labeling is not exhaustive: there, one that meets no label is unknown ground.

    Args:
        data: its classes must begin with COCO's eighty, in order.
        path: gzipped JSON, `{"set/images/photo.jpg": [[class, score, x1, y1, x2, y2], ...]}`.

    Raises:
        DataError: the file cannot be read, a photo of `data` is not in it, or its boxes are not such rows.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = json.load(file)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path}: not a gzipped JSON file of boxes ({error})") from error
    if not isinstance(rows, dict):
        raise DataError(f"{path}: not an object of boxes by photo")
    samples = []
    for sample in data.samples:
        key = "/".join(sample.path.absolute().parts[-3:])
        if key not in rows:
            raise DataError(f"{path}: has no boxes for {key}")
        try:
            found = np.array(rows[key], np.float32).reshape(-1, 6)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: the boxes of {key} are not rows of six numbers") from error
        if not np.isin(found[:, 0], range(len(data.classes))).all() or not np.isfinite(found).all():
            raise DataError(f"{path}: the boxes of {key} hold an unknown class or a number that is not finite")
        samples.append(_taught(sample, found))
    return replace(data, samples=tuple(samples))


def _taught(sample: Sample, rows: np.ndarray) -> Sample:
    labels, boxes = rows[:, 0].astype(np.int64), rows[:, 2:]
    sure = confidence(rows[:, 1])
    labeled = np.isin(labels, list(sample.labeled))
    new = ~labeled & ~_met(sample, boxes, SAME_PLACE)
    target = new & (sure >= TRUSTED)
    doubt = new & (sure >= DOUBTED) & (sure < TRUSTED)
    if not sample.exhaustive:
        doubt |= labeled & (sure >= TRUSTED) & ~_met(sample, boxes, SAME, labels)
    return replace(
        sample,
        boxes=np.concatenate([sample.boxes, boxes[target]]),
        labels=np.concatenate([sample.labels, labels[target]]),
        confidences=np.concatenate([sample.confidences, sure[target]]),
        areas=np.concatenate([sample.areas, area(boxes[target])]),
        unknown=np.concatenate([sample.unknown, boxes[doubt]]),
        unknown_labels=np.concatenate([sample.unknown_labels, labels[doubt]]),
        landmarks=np.concatenate([sample.landmarks, not_known(target.sum(), sample.landmarks.shape[1])]),
    )


def _met(sample: Sample, boxes: np.ndarray, overlap: float, labels: np.ndarray | None = None) -> np.ndarray:
    """(N,) does the box meet a labeled one, of its class if `labels` are given?"""
    if not len(sample.boxes):
        return np.zeros(len(boxes), bool)
    met = iou_matrix(boxes, sample.boxes) >= overlap
    return (met if labels is None else met & (labels[:, None] == sample.labels[None])).any(axis=1)
