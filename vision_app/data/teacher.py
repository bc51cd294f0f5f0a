"""A teacher's boxes beside the ground truth: a committee of detectors labels what people did not."""

import gzip
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from vision_app.core.boxes import area, iou_matrix
from vision_app.core.errors import DataError
from vision_app.core.files import open_regular, parse_json
from vision_app.core.labeled_boxes import LabeledBoxes, missing_landmarks
from vision_app.core.limits import MAX_BYTES
from vision_app.data.samples import AnnotatedImage, DetectionSet

# A committee's score is no probability. Counted on the 2,811 COCO images with ground truth, a box of score s is right
# (IoU >= 0.5 with an unused ground-truth box of its class) with probability 1 / (1 + exp(-SLOPE (s - CENTER))).
SLOPE, CENTER = 10.3, 0.37
TRUSTED, DOUBTED = 0.3, 0.07  # by that probability: a target; below it, down to here, ignored
SAME = 0.5  # IoU from which a teacher's box and a labeled one of its class are the same object
SAME_PLACE = 0.7  # IoU from which they are whatever the class, and people know better what it is


def confidence(scores: np.ndarray) -> np.ndarray:
    """Turn committee scores into the probability that a box is right."""
    return 1 / (1 + np.exp(-SLOPE * (scores - CENTER)))


def add_teacher_boxes(data: DetectionSet, path: str | Path) -> DetectionSet:
    """Add a committee's boxes to the samples they were made on.

    A box of a class that the image was not labeled for becomes a target with its confidence as the score, or ignored
    when that is low; neither where it overlaps a labeled box, as a "truck" on a car does. A box of a labeled class adds
    nothing, except where the labeling is not exhaustive: there, one that meets no label is ignored.

    Args:
        data: Its classes must begin with COCO's eighty, in order.
        path: Gzipped JSON, `{"set/images/photo.jpg": [[class, score, x1, y1, x2, y2], ...]}`.

    Raises:
        DataError: The file cannot be read, an image of `data` is not in it, or its boxes are not such rows.
    """
    try:
        with open_regular(Path(path)) as compressed, gzip.open(compressed, "rt", encoding="utf-8-sig") as file:
            text = file.read(MAX_BYTES)
            rows = parse_json(text) if len(text) < MAX_BYTES else None
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


def _taught(sample: AnnotatedImage, rows: np.ndarray) -> AnnotatedImage:
    labels, xyxy = rows[:, 0].astype(np.int64), rows[:, 2:]
    probabilities = confidence(rows[:, 1])
    labeled = np.isin(labels, list(sample.labeled))
    new = ~labeled & ~_met(sample, xyxy, SAME_PLACE)
    target = new & (probabilities >= TRUSTED)
    doubt = new & (probabilities >= DOUBTED) & (probabilities < TRUSTED)
    if not sample.exhaustive:
        doubt |= labeled & (probabilities >= TRUSTED) & ~_met(sample, xyxy, SAME, labels)
    points = missing_landmarks(len(rows), sample.boxes.landmarks.shape[1])
    boxes = LabeledBoxes(xyxy, labels, probabilities, points, ignored=doubt)[target | doubt]
    areas = np.concatenate([sample.areas, area(boxes.xyxy)])
    return replace(sample, boxes=LabeledBoxes.concatenate([sample.boxes, boxes]), areas=areas)


def _met(sample: AnnotatedImage, xyxy: np.ndarray, overlap: float, labels: np.ndarray | None = None) -> np.ndarray:
    """Return (N,) whether each box meets a labeled one, of its class if `labels` are given."""
    known = sample.boxes.not_ignored
    same = True if labels is None else labels[:, None] == known.labels
    met: np.ndarray = np.any((iou_matrix(xyxy, known.xyxy) >= overlap) & same, axis=1)  # of (N, M)
    return met
