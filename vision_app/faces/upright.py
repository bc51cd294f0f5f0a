"""Sets turned faces upright: landmarks are checked, and where they are wrong, found again on the face set upright.

The detector finds faces at most angles, but has learned upright ones, and gives a face turned by 40 degrees landmarks
as if it stood nearly straight. A `FaceChecker` sees that. NumPy and OpenCV.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from vision_app.core.boxes import nms
from vision_app.core.images import RGBImage
from vision_app.core.results import Detections
from vision_app.detection.grid_detector import GridDetector
from vision_app.faces.align import TEMPLATE, landmarks_of, similarity
from vision_app.faces.checker import FaceChecker
from vision_app.faces.refine import second_look

SMALLEST = 20.0  # side in pixels of the smallest face that is set upright
ANGLES = 16  # at which a face of unsure landmarks is looked at
DOUBT = 0.1  # probability of unsure landmarks from which a face is looked at again
TURNED = 20.0  # degrees by which a face must have been turned for other landmarks to replace those that were sure
LOOKS = 2  # at a face that was set upright, each from the landmarks of the one before
MIDDLE, SIDES = np.array([56.0, 60.0]), np.array([76.0, 92.0])  # of a face's box, in an aligned face
COPY = 384  # pixels of the long side of what is turned by quarters
OVERLAP = 0.4  # IoU of two boxes of one face, after a change


def set_upright(
    detector: GridDetector, checker: FaceChecker, image: RGBImage, found: Detections
) -> tuple[Detections, np.ndarray]:
    """Find the landmarks of turned faces again.

    Args:
        detector: Finds faces, with landmarks.
        checker: Checks them.
        image: The photo.
        found: Its faces.

    Returns:
        The faces, with other landmarks and boxes where the first ones were wrong and better ones were found, and (N,)
        which of them are sure.
    """
    first = landmarks_of(found)
    checks = checker.at(image, first)
    sides = np.sqrt((found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1))
    numbers = np.flatnonzero((~checks.sure | (checks.unsure > DOUBT)) & (sides >= SMALLEST))
    turned = np.reshape([_turned_landmarks(checker, image, box) for box in found.boxes[numbers]], (-1, 5, 2))
    for _ in range(LOOKS):
        if len(numbers):
            turned = second_look(detector, image, turned)
            known = np.isfinite(turned).all(axis=(1, 2))
            numbers, turned = numbers[known], turned[known]
    again = checker.at(image, turned)
    better = again.sure & (again.unsure < checks.unsure[numbers])
    better &= ~checks.sure[numbers] | [_turn(*both) > TURNED for both in zip(first[numbers], turned, strict=True)]
    numbers, turned = numbers[better], turned[better]
    if not len(numbers):
        return found, checks.sure
    boxes, landmarks, is_sure = found.boxes.copy(), first.copy(), checks.sure.copy()
    boxes[numbers], landmarks[numbers], is_sure[numbers] = [box_of(points) for points in turned], turned, True
    limits = np.array([found.width, found.height] * 2, np.float32)
    return once(replace(found, boxes=np.clip(boxes, 0, limits), landmarks=landmarks), is_sure)


def quarter_turns(image: RGBImage) -> Iterator[tuple[RGBImage, Callable[[Detections], Detections]]]:
    """Yield a small copy of a photo turned by 90, 180 and 270 degrees, and what turns its faces back."""
    scale = min(COPY / max(image.pixels.shape[:2]), 1)
    sides = [max(round(side * scale), 1) for side in image.pixels.shape[1::-1]]
    small = cv2.resize(image.pixels, sides, interpolation=cv2.INTER_AREA) if scale < 1 else image.pixels
    width, height = image.width, image.height
    for quarters in (1, 2, 3):
        # x, y of the turned copy are those of the photo by this matrix and shift
        matrix = np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), quarters)
        corner = np.minimum(matrix @ [width, height], 0)
        size = np.abs(matrix @ [width, height])
        turned = RGBImage(np.ascontiguousarray(np.rot90(small, quarters)), int(size[0]), int(size[1]))
        yield turned, partial(_turned_back, matrix=matrix, corner=corner, width=width, height=height)


def _turned_back(found: Detections, matrix: np.ndarray, corner: np.ndarray, width: int, height: int) -> Detections:
    """Return the faces of a turned photo where they are in the photo: points p with matrix p - corner in the other."""
    corners = (found.boxes.reshape(-1, 2, 2) + corner) @ matrix  # the inverse of a turn is its transpose
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    landmarks = (landmarks_of(found) + corner) @ matrix
    return replace(found, boxes=boxes, landmarks=landmarks, width=width, height=height)


def once(found: Detections, is_sure: np.ndarray) -> tuple[Detections, np.ndarray]:
    """Return each face once: of boxes that overlap those that are sure, then those of the best scores."""
    ranks = np.asarray(found.scores + is_sure, np.float32)
    kept = nms(found.boxes, ranks, score_threshold=0, iou_threshold=OVERLAP, max_detections=len(found))
    kept = np.sort(kept)
    return chosen(found, kept), is_sure[kept]


def chosen(found: Detections, kept: np.ndarray) -> Detections:
    """Return some of the faces, by index or mask."""
    boxes, scores, landmarks = found.boxes[kept], found.scores[kept], landmarks_of(found)[kept]
    return replace(found, boxes=boxes, scores=scores, labels=("face",) * len(boxes), landmarks=landmarks)


def joined(found: Detections, more: Detections) -> Detections:
    """Return the faces of both, those of the same photo."""
    boxes, scores = np.concatenate([found.boxes, more.boxes]), np.concatenate([found.scores, more.scores])
    landmarks = np.concatenate([landmarks_of(found), landmarks_of(more)])
    return replace(found, boxes=boxes, scores=scores, labels=("face",) * len(boxes), landmarks=landmarks)


def box_of(landmarks: np.ndarray) -> np.ndarray:
    """Return (4,) xyxy the box of a face at landmarks (5, 2): that of the ellipse in its box when it stands upright."""
    back = np.linalg.inv(np.vstack([similarity(landmarks), [0, 0, 1]]))
    half = np.hypot(*(back[:2, :2] * SIDES / 2).T)  # of an ellipse's extent along x and y
    middle = back[:2, :2] @ MIDDLE + back[:2, 2]
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def _turned_landmarks(checker: FaceChecker, image: RGBImage, box: np.ndarray) -> np.ndarray:
    """Return (5, 2) about where the landmarks lie in a box: at the angle at which the face looks most upright."""
    middle, side = (box[:2] + box[2:]) / 2, math.sqrt(float((box[2:] - box[:2]).prod()))
    outline = ((TEMPLATE - MIDDLE) @ np.array([1, 1j])) * side / math.sqrt(float(SIDES.prod()))
    ways = np.exp(2j * np.pi * np.arange(ANGLES) / ANGLES)
    points = np.stack([np.stack([turned.real, turned.imag], axis=1) + middle for turned in np.outer(ways, outline)])
    seen = checker.at(image, points)
    best = seen.unsure.argmin()
    turned = outline * ways[best] * np.exp(1j * np.radians(seen.roll[best]))
    return np.asarray(np.stack([turned.real, turned.imag], axis=1) + middle)


def _turn(first: np.ndarray, second: np.ndarray) -> float:
    """Return by how many degrees the faces at two sets of landmarks (5, 2) are turned against each other."""
    matrix = similarity(first, second)
    return abs(math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])))
