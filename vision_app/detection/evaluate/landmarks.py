"""How far landmarks are from where they should be, as parts of the size of their objects."""

from collections.abc import Iterable, Mapping

import numpy as np

from vision_app.core.boxes import area, iou_matrix, xywh_to_xyxy
from vision_app.detection.evaluate.matching import OVERLAP


def landmark_errors(
    boxes: np.ndarray,
    labels: np.ndarray,
    landmarks: np.ndarray,
    found_boxes: np.ndarray,
    found_labels: np.ndarray,
    found_landmarks: np.ndarray,
    found_scores: np.ndarray,
) -> np.ndarray:
    """The errors of one picture: (n,) distances of points divided by sqrt(w h) of the true box.

    An object is found by the box of its class with the highest score of those that overlap it with an IoU of 0.5 or
    more, as average precision has it: a doubtful box is no second try. Landmarks of others, and those that are not
    known, do not count.

    Args:
        boxes, labels: (M, 4) xyxy and (M,) of the true objects.
        landmarks: (M, K, 2) x, y, NaN where one is not known.
        found_boxes, found_labels, found_landmarks: (N, 4), (N,) and (N, K, 2) the same of what was found.
        found_scores: (N,).
    """
    matches = (labels[:, None] == found_labels) & (iou_matrix(boxes, found_boxes) >= OVERLAP)  # (M, N)
    if not matches.size:
        return np.zeros(0)
    best = np.where(matches, found_scores, -np.inf).argmax(axis=1)
    distances = np.linalg.norm(found_landmarks[best] - landmarks, axis=2)  # (M, K)
    errors = (distances / np.sqrt(area(boxes))[:, None])[matches.any(axis=1)]
    return errors[np.isfinite(errors)]


def landmark_error(truth: Mapping, rows: Iterable[Mapping]) -> float | None:
    """The mean of `landmark_errors` over all pictures; None where no known landmark was found.

    Args:
        truth: COCO-style content with keypoints.
        rows: of `vision-app detect`, one for each image of the truth by its `file`, in any order.
    """
    names = {row["id"]: row["name"] for row in truth["categories"]}
    files = {row["id"]: row["file_name"] for row in truth["images"]}
    objects = {file: [] for file in files.values()}
    for row in truth["annotations"]:
        if row.get("num_keypoints"):
            objects[files[row["image_id"]]].append(row)
    errors = []
    for row in rows:
        true, found = objects.get(row["file"], []), [one for one in row["detections"] if "landmarks" in one]
        if true and found:
            points = np.array([one["keypoints"] for one in true]).reshape(len(true), -1, 3)
            errors.append(
                landmark_errors(
                    xywh_to_xyxy(np.array([one["bbox"] for one in true], float)),
                    np.array([names[one["category_id"]] for one in true]),
                    np.where(points[..., 2:] > 0, points[..., :2], np.nan),
                    np.array([one["box"] for one in found], float),
                    np.array([one["label"] for one in found]),
                    np.array([one["landmarks"] for one in found]),
                    np.array([one["score"] for one in found]),
                )
            )
    errors = np.concatenate([np.zeros(0), *errors])
    return float(errors.mean()) if len(errors) else None
