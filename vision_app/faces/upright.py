"""Sets turned faces upright: landmarks are checked, and where they are wrong, found again on the face set upright.

The detector finds faces at most angles, but has learned upright ones, and gives a face turned by 40 degrees landmarks
as if it stood nearly straight. A `FaceChecker` sees that. NumPy and OpenCV.
"""

import math
from dataclasses import replace

import cv2
import numpy as np

from vision_app.core.images import RGBImage
from vision_app.core.results import Detections
from vision_app.detection.base import DetectOptions
from vision_app.detection.grid_detector import GridDetector
from vision_app.faces.align import TEMPLATE, landmarks_of, similarity
from vision_app.faces.checker import ROLL, FaceChecker
from vision_app.faces.refine import second_look

SMALLEST = 24.0  # side in pixels of the smallest face that is set upright
ANGLES = 12  # at which a face of unsure landmarks is looked at
DOUBT = 0.1  # probability of unsure landmarks from which a face is looked at again
TURNED = 20.0  # degrees by which a face must seem turned for landmarks that were sure to be doubted
FAR = 45.0  # degrees between the two best of them
HOPELESS = 0.98, 0.6, 0.6  # probability of unsure landmarks from which a first, second or third look is in vain
MIDDLE, SIDES = np.array([56.0, 60.0]), np.array([76.0, 92.0])  # of a face's box, in an aligned face
COPY, STEP = 160, 45  # side in pixels of a turned copy of the photo, and degrees from one to the next
FAINT = 0.4  # score from which a face in such a copy is looked at
LOOKS = 3  # at each of these, upright
SAME = 0.4  # distance of the middles of two boxes of one face, in sides of the larger one


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
    doubtful = np.flatnonzero((~checks.sure | (checks.unsure > DOUBT)) & (sides >= SMALLEST))
    guesses = [_guesses(checker, image, found.boxes[i], first[i], checks.roll[i]) for i in doubtful]
    numbers, turned = np.repeat(doubtful, [len(some) for some in guesses]), np.reshape(guesses, (-1, 5, 2))
    turns = np.array([_turn(*both) for both in zip(first[numbers], turned, strict=True)], float)
    other = turns > np.where(checks.sure[numbers], TURNED, ROLL / 2)
    numbers, turned = numbers[other], turned[other]
    again = checker.at(image, turned)
    for hopeless in HOPELESS:
        hope = again.unsure < hopeless
        numbers, turned = numbers[hope], _righted(turned[hope], again.roll[hope])
        if not len(numbers):
            return found, checks.sure
        turned, _ = second_look(detector, image, turned)
        known = np.isfinite(turned).all(axis=(1, 2))
        numbers, turned = numbers[known], turned[known]
        again = checker.at(image, turned)
    best = np.argsort(again.unsure, kind="stable")
    best = best[(again.sure & (again.unsure < checks.unsure[numbers]))[best]]
    numbers, places = np.unique(numbers[best], return_index=True)  # the best of each face
    turned = turned[best][places]
    if not len(numbers):
        return found, checks.sure
    boxes, landmarks, is_sure = found.boxes.copy(), first.copy(), checks.sure.copy()
    boxes[numbers], landmarks[numbers], is_sure[numbers] = [box_of(points) for points in turned], turned, True
    limits = np.array([found.width, found.height] * 2, np.float32)
    fresh = np.isin(np.arange(len(found)), numbers)
    return once(replace(found, boxes=np.clip(boxes, 0, limits), landmarks=landmarks), is_sure, fresh)


def turned_faces(
    detector: GridDetector, checker: FaceChecker, image: RGBImage, model: str, confidence: float
) -> Detections:
    """Return the faces in small copies of a photo turned by 45, 90 and so on to 315 degrees.

    Args:
        detector: Finds faces, with landmarks.
        checker: Checks them; of those in the copies, only faces that can be set upright and are sure then are returned.
        image: The photo.
        model: Name of the model for the answer.
        confidence: Lowest score, of the face set upright.
    """
    sides = np.array(image.pixels.shape[1::-1])
    scale = COPY / np.hypot(*sides)
    size = np.maximum(np.round(sides * scale), 1).astype(int)
    small = cv2.resize(image.pixels, size.tolist(), interpolation=cv2.INTER_AREA)
    copies, ways = [], []
    for angle in range(STEP, 360, STEP):
        way = np.asarray(cv2.getRotationMatrix2D((size / 2 - 0.5).tolist(), angle, 1), np.float64)
        way[:, 2] += (COPY - size) / 2
        border = (detector.pad,) * 3
        copies.append(RGBImage(cv2.warpAffine(small, way, (COPY, COPY), borderValue=border), COPY, COPY))
        way[:, 2] += 0.5 - 0.5 * way[:, :2].sum(axis=1)  # OpenCV counts from the middle of the first pixel
        ways.append(way)
    found = detector.scaled(COPY / detector.size).predict(copies, DetectOptions(confidence=min(FAINT, confidence)))
    ratio = np.array([image.width, image.height]) / size
    points = [(landmarks_of(one) - way[:, 2]) @ way[:, :2] * ratio for one, way in zip(found, ways, strict=True)]
    landmarks, scores = np.concatenate(points), np.concatenate([one.scores for one in found])
    for _ in range(LOOKS):
        if len(scores):
            righted = _righted(landmarks, checker.at(image, landmarks).roll)
            landmarks, scores = second_look(detector, image, righted)
            kept = np.isfinite(landmarks).all(axis=(1, 2)) & (scores >= min(FAINT, confidence))
            landmarks, scores = landmarks[kept], scores[kept]
    kept = checker.at(image, landmarks).sure & (scores >= confidence)
    faces = _at(image, model, landmarks[kept], scores[kept])
    every = np.ones(len(faces), bool)
    return once(faces, every, every)[0]


def _at(image: RGBImage, model: str, landmarks: np.ndarray, scores: np.ndarray) -> Detections:
    """Return faces at landmarks (N, 5, 2) in pixels of a photo."""
    boxes = np.clip(np.reshape([box_of(points) for points in landmarks], (-1, 4)), 0, [image.width, image.height] * 2)
    return Detections(boxes, scores, ("face",) * len(scores), image.width, image.height, model, landmarks)


def once(found: Detections, is_sure: np.ndarray, fresh: np.ndarray) -> tuple[Detections, np.ndarray]:
    """Leave out what is another box of one face.

    Args:
        found: N faces.
        is_sure: (N,) which of them are sure; these remain, then those of the best scores.
        fresh: (N,) which of them were found again; two others are never one face.

    Returns:
        The faces that remain, and which of them are sure.
    """
    middles, sides = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2, found.boxes[:, 2:] - found.boxes[:, :2]
    sizes = np.sqrt(sides.prod(axis=1))
    apart = np.linalg.norm(middles[:, None] - middles, axis=2) / np.maximum(sizes[:, None], sizes)  # (N, N)
    same = (apart < SAME) & (fresh[:, None] | fresh)
    kept: list[int] = []
    for i in np.lexsort([-found.scores, ~is_sure]):
        if not same[i, kept].any():
            kept.append(int(i))
    kept.sort()
    return chosen(found, np.array(kept, int)), is_sure[kept]


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


def _guesses(checker: FaceChecker, image: RGBImage, box: np.ndarray, first: np.ndarray, roll: float) -> np.ndarray:
    """Return (3, 5, 2) guesses where the landmarks of a face are.

    The first ones turned by the roll that is seen, and a mean face in the box at the angle at which it looks most
    upright, and at the best one that is far from that.
    """
    middle, side = (box[:2] + box[2:]) / 2, math.sqrt(float((box[2:] - box[:2]).prod()))
    ways = np.exp(2j * np.pi * np.arange(ANGLES) / ANGLES)
    outline = (TEMPLATE - MIDDLE) @ [1, 1j] * side / math.sqrt(float(SIDES.prod()))
    seen = checker.at(image, np.stack([_points(outline * way, middle) for way in ways]))
    far = np.abs(np.angle(ways / ways[seen.unsure.argmin()])) > math.radians(FAR)
    places = [seen.unsure.argmin(), np.where(far, seen.unsure, np.inf).argmin()]
    guesses = np.stack([first, *(_points(outline * ways[i], middle) for i in places)])
    return _righted(guesses, np.array([roll, *seen.roll[places]]))


def _righted(landmarks: np.ndarray, rolls: np.ndarray) -> np.ndarray:
    """Return (N, 5, 2) landmarks turned by (N,) degrees by which the faces at them seem to be turned."""
    middles = landmarks.mean(axis=1)
    turned = (landmarks - middles[:, None]) @ [1, 1j] * np.exp(1j * np.radians(rolls))[:, None]
    return np.reshape([_points(*one) for one in zip(turned, middles, strict=True)], landmarks.shape)


def _points(values: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Return (5, 2) x, y of complex numbers x + iy around a point."""
    return np.asarray(np.stack([values.real, values.imag], axis=1) + middle)


def _turn(first: np.ndarray, second: np.ndarray) -> float:
    """Return by how many degrees the faces at two sets of landmarks (5, 2) are turned against each other."""
    matrix = similarity(first, second)
    return abs(math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])))
