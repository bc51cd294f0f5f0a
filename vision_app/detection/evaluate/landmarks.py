"""Errors of landmarks, as parts of the size of their objects."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vision_app.core.boxes import area, iou_matrix
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.data.samples import DetectionSet
from vision_app.detection.evaluate.matching import OVERLAP


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
