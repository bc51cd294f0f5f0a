"""Sets turned faces upright: landmarks are checked, and where they are wrong, found again on the face set upright.

The detector finds faces at most angles, but has learned upright ones, and gives a face turned by 40 degrees landmarks
as if it stood nearly straight. A `FaceChecker` sees that. NumPy and OpenCV.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vision_app.core.images import RGBImage
from vision_app.core.results import Detections
from vision_app.detection.base import DetectOptions
from vision_app.detection.grid_detector import GridDetector
from vision_app.faces.align import TEMPLATE, landmarks_of, similarity
from vision_app.faces.checker import MAX_ROLL, Checks, FaceChecker
from vision_app.faces.quality import MIN_SIZE
from vision_app.faces.refine import second_look

ANGLES = 12  # at which a face of unsure landmarks is looked at
DOUBT = 0.1  # probability of unsure landmarks from which a face is looked at again
TURNED = 20.0  # degrees by which a face must seem turned for landmarks that were sure to be doubted
FAR_ANGLE = 45.0  # degrees between the two best of the angles
MOST = 32  # doubtful faces of a photo that are looked at again, the largest
HOPELESS = 0.98, 0.6, 0.6  # probability of unsure landmarks from which a first, second or third look is in vain
MIDDLE, SIDES = np.array([56.0, 60.0]), np.array([76.0, 92.0])  # of a face's box, in an aligned face
COPY, STEP = 160, 45  # side in pixels of a turned copy of the photo, and degrees from one to the next
FAINT = 0.4  # score from which a face in such a copy is looked at
LOOKS = 3  # at each of these, upright
SAME_PLACE = 0.4  # distance of the middles of two boxes of one face, in sides of the larger one


@dataclass(frozen=True, eq=False)
class Candidates:
    """Where the landmarks of doubtful faces may be.

    Attributes:
        faces: (C,) indices of the faces; one may have several candidates.
        landmarks: (C, 5, 2) x, y in pixels of the photo.
        checks: What a `FaceChecker` sees there.
    """

    faces: np.ndarray
    landmarks: np.ndarray
    checks: Checks

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: np.ndarray) -> "Candidates":
        """Return those of a mask or of indices."""
        return Candidates(self.faces[index], self.landmarks[index], self.checks[index])


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
    candidates = _candidates(checker, image, found, checks)
    for limit in HOPELESS:
        candidates = candidates[candidates.checks.unsure < limit]
        if not len(candidates):
            return found, checks.sure
        candidates = _looked_at(detector, checker, image, candidates)
    best = _best(candidates, checks)
    if not len(best):
        return found, checks.sure
    boxes, landmarks, is_sure = found.boxes.copy(), first.copy(), checks.sure.copy()
    boxes[best.faces] = [box_of(points) for points in best.landmarks]
    landmarks[best.faces], is_sure[best.faces] = best.landmarks, True
    limits = np.array([found.width, found.height] * 2, np.float32)
    is_new = np.isin(np.arange(len(found)), best.faces)
    return without_duplicates(replace(found, boxes=np.clip(boxes, 0, limits), landmarks=landmarks), is_sure, is_new)


def _candidates(checker: FaceChecker, image: RGBImage, found: Detections, checks: Checks) -> Candidates:
    """Return three candidates for each doubtful face that is large enough, but those that change too little.

    They are the first landmarks turned by the roll that is seen, and a mean face in the box at the angle at which it
    looks most upright, and at the best one that is far from that. Of more than `MOST` such faces, the smaller ones have
    none.
    """
    first, spans = landmarks_of(found), (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1)
    is_large = np.sqrt(spans) >= MIN_SIZE
    doubtful = np.flatnonzero((~checks.sure | (checks.unsure > DOUBT)) & is_large)
    doubtful = np.sort(doubtful[np.argsort(-spans[doubtful], kind="stable")[:MOST]])
    middles = (found.boxes[doubtful, :2] + found.boxes[doubtful, 2:]) / 2
    sides = np.sqrt(spans[doubtful].astype(float))
    turns = np.exp(2j * np.pi * np.arange(ANGLES) / ANGLES)
    outline = (TEMPLATE - MIDDLE) @ [1, 1j]
    shapes = outline * sides[:, None, None] / math.sqrt(float(SIDES.prod())) * turns[:, None]  # (D, ANGLES, 5)
    outlines = np.stack([shapes.real, shapes.imag], axis=-1) + middles[:, None, None]
    seen = checker.at(image, outlines.reshape(-1, 5, 2))
    unsure, rolls = seen.unsure.reshape(-1, ANGLES), seen.roll.reshape(-1, ANGLES)
    best = unsure.argmin(axis=1)
    is_far = np.abs(np.angle(turns / turns[best][:, None])) > math.radians(FAR_ANGLE)
    rows, places = (
        np.arange(len(doubtful))[:, None],
        np.stack([best, np.where(is_far, unsure, np.inf).argmin(axis=1)], 1),
    )
    guesses = np.concatenate([first[doubtful][:, None], outlines[rows, places]], axis=1)  # (D, 3, 5, 2)
    rolls = np.concatenate([checks.roll[doubtful][:, None], rolls[rows, places]], axis=1)
    faces, landmarks = np.repeat(doubtful, 3), _righted(guesses.reshape(-1, 5, 2), rolls.ravel())
    turned = np.array([_turn(*both) for both in zip(first[faces], landmarks, strict=True)], float)
    kept = turned > np.where(checks.sure[faces], TURNED, MAX_ROLL / 2)
    faces, landmarks = faces[kept], landmarks[kept]
    return Candidates(faces, landmarks, checker.at(image, landmarks))


def _looked_at(detector: GridDetector, checker: FaceChecker, image: RGBImage, candidates: Candidates) -> Candidates:
    """Return candidates with the landmarks that the detector finds there; without those where it finds no face."""
    landmarks, _ = second_look(detector, image, _righted(candidates.landmarks, candidates.checks.roll))
    known = np.isfinite(landmarks).all(axis=(1, 2))
    return Candidates(candidates.faces[known], landmarks[known], checker.at(image, landmarks[known]))


def _best(candidates: Candidates, checks: Checks) -> Candidates:
    """Return the best candidate of each face, of those that are sure and better than what was found first."""
    unsure = candidates.checks.unsure
    order = np.argsort(unsure, kind="stable")
    order = order[(candidates.checks.sure & (unsure < checks.unsure[candidates.faces]))[order]]
    _, places = np.unique(candidates.faces[order], return_index=True)
    return candidates[order[places]]


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
    copies, matrices = [], []
    for angle in range(STEP, 360, STEP):
        matrix = np.asarray(cv2.getRotationMatrix2D((size / 2 - 0.5).tolist(), angle, 1), np.float64)
        matrix[:, 2] += (COPY - size) / 2
        border = (detector.pad,) * 3
        copies.append(RGBImage(cv2.warpAffine(small, matrix, (COPY, COPY), borderValue=border), COPY, COPY))
        matrix[:, 2] += 0.5 - 0.5 * matrix[:, :2].sum(axis=1)  # OpenCV counts from the middle of the first pixel
        matrices.append(matrix)
    found = detector.scaled(COPY / detector.size).predict(copies, DetectOptions(confidence=min(FAINT, confidence)))
    ratio = np.array([image.width, image.height]) / size
    points = [
        (landmarks_of(one) - matrix[:, 2]) @ matrix[:, :2] * ratio for one, matrix in zip(found, matrices, strict=True)
    ]
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
    return without_duplicates(faces, every, every)[0]


def _at(image: RGBImage, model: str, landmarks: np.ndarray, scores: np.ndarray) -> Detections:
    """Return faces at landmarks (N, 5, 2) in pixels of a photo."""
    boxes = np.clip(np.reshape([box_of(points) for points in landmarks], (-1, 4)), 0, [image.width, image.height] * 2)
    return Detections(boxes, scores, ("face",) * len(scores), image.width, image.height, model, landmarks)


def without_duplicates(found: Detections, is_sure: np.ndarray, is_new: np.ndarray) -> tuple[Detections, np.ndarray]:
    """Leave out what is another box of one face.

    Args:
        found: N faces.
        is_sure: (N,) which of them are sure; these remain, then those of the best scores.
        is_new: (N,) which of them were found again; two others are never one face.

    Returns:
        The faces that remain, and which of them are sure.
    """
    middles, sides = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2, found.boxes[:, 2:] - found.boxes[:, :2]
    sizes = np.sqrt(sides.prod(axis=1))
    apart = np.linalg.norm(middles[:, None] - middles, axis=2) / np.maximum(sizes[:, None], sizes)  # (N, N)
    same = (apart < SAME_PLACE) & (is_new[:, None] | is_new)
    kept: list[int] = []
    for i in np.lexsort([-found.scores, ~is_sure]):
        if not same[i, kept].any():
            kept.append(int(i))
    kept.sort()
    return found[np.array(kept, int)], is_sure[kept]


def box_of(landmarks: np.ndarray) -> np.ndarray:
    """Return (4,) xyxy the box of a face at landmarks (5, 2): that of the ellipse in its box when it stands upright."""
    back = np.linalg.inv(np.vstack([similarity(landmarks), [0, 0, 1]]))
    half = np.hypot(*(back[:2, :2] * SIDES / 2).T)  # of an ellipse's extent along x and y
    middle = back[:2, :2] @ MIDDLE + back[:2, 2]
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


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
