"""A second look at each face that was found: upright, at the size at which landmarks come out best, and in a mirror.

On photos of LFW and others, the mean distance to YuNet's landmarks falls from 0.23 to 0.10 distances between the eyes.
A third look gains nothing more. NumPy and OpenCV.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vision_app.core.images import RGBImage
from vision_app.core.results import Detections
from vision_app.detection.base import DetectOptions
from vision_app.detection.grid_detector import GridDetector
from vision_app.faces.align import SIZE, TEMPLATE, align, similarity

INPUT = 256  # side of the network's input for one face
FACE = 190  # side in it of what an aligned face shows
SURE = 0.2  # score from which the second look counts
TARGET = (TEMPLATE - SIZE / 2) * FACE / SIZE + INPUT / 2  # (5, 2) where the landmarks lie in that input
BATCH = 16  # faces and mirrored faces that go through the network together


def refine(detector: GridDetector, image: RGBImage, found: Detections) -> Detections:
    """The same faces with better landmarks; those of a face that the second look does not see stay as they are.

    Args:
        detector: finds faces, with landmarks.
        image: the photo.
        found: what the first looks found in it.
    """
    if not len(found):
        return found
    rows, columns = image.pixels.shape[:2]
    scale = np.float32([columns / image.width, rows / image.height])
    first = found.landmarks * scale  # (N, 5, 2) in pixels as decoded
    upright = [align(image.pixels, points, TARGET, INPUT) for points in first]
    views = [*upright, *(np.ascontiguousarray(view[:, ::-1]) for view in upright)]
    plain, mirrored = np.split(_landmarks(detector, views), 2)
    mirrored = np.stack([INPUT - mirrored[..., 0], mirrored[..., 1]], axis=-1)[:, list(detector.landmarks.flip)]
    second = (plain + mirrored) / 2
    back = [_back(points, similarity(start, TARGET)) for points, start in zip(second, first, strict=True)]
    refined = np.where(np.isnan(second), first, back) / scale
    return replace(found, landmarks=refined)


def _landmarks(detector: GridDetector, views: Sequence[np.ndarray]) -> np.ndarray:
    """(V, 5, 2) landmarks of the surest face in the middle of each view, NaN where there is none."""
    scaled = detector.scaled(INPUT / detector.size)
    images = [RGBImage(view, INPUT, INPUT) for view in views]
    parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    answers = [answer for part in parts for answer in scaled.predict(part, DetectOptions(confidence=SURE))]
    return np.stack([_middle(answer) for answer in answers])


def _middle(found: Detections) -> np.ndarray:
    """(5, 2) landmarks of the surest face in the middle of a view, NaN where there is none."""
    away = np.abs((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - INPUT / 2).max(axis=1)
    near = np.flatnonzero(away < FACE / 4)
    return found.landmarks[near[0]] if len(near) else np.full(TARGET.shape, np.nan, np.float32)


def _back(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points in the result of a similarity transform -> where they come from."""
    return (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
