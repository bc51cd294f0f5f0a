"""How well a face can be recognized: size, blur, pose and exposure, each with a reason code if it is too bad.

Nothing is dropped here: whoever enrolls or compares decides what to do with a poor face.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vision_app.core.images import RGBImage
from vision_app.core.results import rounded
from vision_app.faces.align import SIZE, align, align_face, decoded_scale, moved_back, scale_of, similarity
from vision_app.faces.checker import CHECKS, DEGRADED, HALF_HIDDEN, FaceChecker

TOO_SMALL, BLURRED, EXTREME_POSE = "too_small", "blurred", "extreme_pose"
UNDER_EXPOSED, OVER_EXPOSED = "under_exposed", "over_exposed"

MIN_SIZE = 24.0  # pixels
MAX_BLUR = 0.93  # that of a sharp face of 112 pixels after a Gaussian of sigma 2
MIN_DETAIL = (
    0.06  # of an aligned face: from here on strangers look alike; as after a Gaussian of 3 % of the face's side
)
MAX_DETAIL = 0.95  # more than 998 of 1,000 ordinary faces have; reliefs and contours have more
MAX_PERIOD = 0.42  # of the steps between pixels, see `is_in_squares`; natural faces have 0.41 at most
MIN_CONTRAST = 7.0  # standard deviation of the luminance, 0 to 255
MAX_YAW, MAX_PITCH = 50.0, 40.0  # degrees
MAX_CLIPPED = 0.5  # share of pixels that are nearly black, or nearly white
BLACK, WHITE = 16, 250  # the limits for these
MAX_OUTSIDE = 0.15  # share of a face that lies outside its photo; 999 of 1,000 press photos have less than 0.1
DIGITS = {"size": 1, "blur": 3, "yaw": 1, "pitch": 1, "roll": 1, "exposure": 3}

# The five points of a face in space, in distances between the eyes: x to the right of the image, y down, z away from
# the camera. x and y are medians of 3,000 portraits, so that these look straight ahead on average; the depths of nose
# and mouth are rounded means of adults.
POINTS = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.55, -0.4], [-0.425, 0.965, -0.05], [0.425, 0.965, -0.05]])

CENTER, AXES = np.array([56.0, 68.0]), np.array([36.0, 46.0])  # of a face's oval, in an aligned face
_GRID = np.stack(np.meshgrid(*[np.linspace(-1, 1, 33)] * 2), axis=-1).reshape(-1, 2)
OVAL = CENTER + AXES * _GRID[np.hypot(*_GRID.T) <= 1]  # (P, 2) points all over it


@dataclass(frozen=True)
class Quality:
    """The quality of a face's image.

    Attributes:
        size: Side of a square as large as the face's box, in pixels of the photo.
        blur: 0 (sharp) to 1 (completely smooth), at the size that the face has in the photo; see `blur_of`.
        yaw: Degrees that the face is turned, positive to the right of the image.
        pitch: Degrees that it looks up; negative where it looks down.
        roll: Degrees that it is tilted clockwise. Alignment removes this.
        exposure: Mean luminance, 0 (black) to 1 (white).
        reasons: Why the face is hard to recognize, as codes: `too_small`, `blurred`, `extreme_pose`, `under_exposed`,
            `over_exposed`, then those of `checker.CHECKS`. Empty for a good image.
        score: 0 to 1, to choose the best of several images; not a probability.
    """

    size: float
    blur: float
    yaw: float
    pitch: float
    roll: float
    exposure: float
    reasons: tuple[str, ...]
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, rounded."""
        values = {name: rounded(getattr(self, name), digits) for name, digits in DIGITS.items()}
        return {**values, "reasons": list(self.reasons), "score": rounded(self.score, 3)}


def judge_all(
    image: RGBImage, boxes: np.ndarray, landmarks: np.ndarray, checker: FaceChecker | None
) -> tuple[Quality, ...]:
    """Return the quality of (N, 4) boxes of faces with (N, 5, 2) landmarks, in pixels of a photo; see `judge`.

    Without a checker, no face gets the reasons that only it sees.
    """
    chips = np.reshape([align_face(image, points) for points in landmarks], (-1, SIZE, SIZE, 3)).astype(np.uint8)
    codes: list[tuple[str, ...] | None] = [None] * len(boxes)
    if checker is not None:
        seen = checker.check(chips).bad
        codes = [tuple(code for code, is_bad in zip(CHECKS, bad, strict=True) if is_bad) for bad in seen]
    return tuple(judge(image, *face) for face in zip(boxes, landmarks, codes, chips, strict=True))


def judge(
    image: RGBImage,
    box: np.ndarray,
    landmarks: np.ndarray,
    seen: Sequence[str] | None = None,
    chip: np.ndarray | None = None,
) -> Quality:
    """Return the quality of one face.

    Args:
        image: The photo.
        box: (4,) x1, y1, x2, y2 in pixels of the photo.
        landmarks: (5, 2) x, y in pixels of the photo.
        seen: Reasons that a `FaceChecker` saw, to add; None: nobody looked, and no face is `degraded`.
        chip: (112, 112, 3) uint8 the face as `align_face` gives it, if it is there already.

    Raises:
        ValueError: The landmarks are not finite or all the same.
    """
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    size = math.sqrt(max(x2 - x1, 0) * max(y2 - y1, 0))
    chip, margin = align_face(image, landmarks) if chip is None else chip, SIZE // 6
    inner = chip[margin:, margin:-margin]  # from the brows to the chin, without hair and background
    gray = cv2.cvtColor(inner, cv2.COLOR_RGB2GRAY)
    scale, in_photo = 1 / scale_of(similarity(landmarks)), gray
    if scale < 1:  # at its size in the photo: a small face is not a blurred one
        side = [max(round(length * scale), 8) for length in gray.shape[::-1]]
        in_photo = cv2.resize(gray, side, interpolation=cv2.INTER_AREA)
    blur = blur_of(in_photo)
    yaw, pitch, roll = pose(landmarks)
    dark, bright = float((gray <= BLACK).mean()), float((gray >= WHITE).mean())
    within = align(image.pixels, landmarks * decoded_scale(image), border=cv2.BORDER_REPLICATE)[
        margin:-margin, margin:-margin
    ]
    within = cv2.cvtColor(within, cv2.COLOR_RGB2GRAY)
    detail = detail_of(within)
    is_flat, is_dark = float(within.std()) < MIN_CONTRAST, float(within.mean()) < 128
    is_doubtful = seen is not None and DEGRADED not in seen and size >= MIN_SIZE  # a face that may yet be degraded
    bad = {
        TOO_SMALL: size < MIN_SIZE,
        BLURRED: blur > MAX_BLUR or (size >= MIN_SIZE and detail < MIN_DETAIL),
        EXTREME_POSE: abs(yaw) > MAX_YAW or abs(pitch) > MAX_PITCH,
        UNDER_EXPOSED: dark > MAX_CLIPPED or (is_flat and is_dark),
        OVER_EXPOSED: bright > MAX_CLIPPED or (is_flat and not is_dark),
        DEGRADED: is_doubtful and (detail > MAX_DETAIL or is_in_squares(_inside(image, box))),
        HALF_HIDDEN: HALF_HIDDEN not in (seen or ()) and outside(image, landmarks) > MAX_OUTSIDE,
    }
    facing = max(math.cos(math.radians(yaw)) * math.cos(math.radians(pitch)), 0)
    score = min(size / SIZE, 1) ** 0.5 * (1 - blur) ** 0.5 * facing * (1 - dark) * (1 - bright)
    reasons = (*(code for code, is_bad in bad.items() if is_bad), *(seen or ()))
    return Quality(size, blur, yaw, pitch, roll, float(gray.mean()) / 255, reasons, score)


def outside(image: RGBImage, landmarks: np.ndarray) -> float:
    """Return the share of the oval of a face, given its landmarks (5, 2), that lies outside the photo."""
    points = moved_back(OVAL, similarity(landmarks))
    return float(((points < 0) | (points > [image.width, image.height])).any(axis=1).mean())


def detail_of(gray: np.ndarray) -> float:
    """Measure the fine structure of an image (H, W) uint8: its variance in relation to that of the coarse one.

    The bands are differences of Gaussians of sigma 1 and 2, and of 4 and 8 pixels. Unlike `blur_of`, it tells how much
    there is to recognize in an aligned face, whether the photo is blurred or small.
    """
    smooth = [
        cv2.GaussianBlur(gray.astype(np.float32), (0, 0), s, borderType=cv2.BORDER_REPLICATE) for s in (1, 2, 4, 8)
    ]
    fine, coarse = smooth[0] - smooth[1], smooth[2] - smooth[3]
    return float(fine.var()) / max(float(coarse.var()), 1e-6)


def is_in_squares(gray: np.ndarray) -> bool:
    """Return whether a face (H, W) uint8 is a mosaic of about `MIN_SIZE` squares a side or fewer, to a third of that.

    Such a face has no more to recognize than one of that few pixels. The steps from a pixel to the next one, summed
    over columns and over rows, are then a train of pulses: the magnitude of its Fourier transform at the frequency of
    the squares, in relation to that at 0, is near 1, lower after compression, and low for a natural face.
    """
    for axis in (0, 1):
        steps = np.abs(np.diff(gray.astype(np.float32), axis=axis)).sum(axis=1 - axis)
        frequencies = np.arange(MIN_SIZE / 3, MIN_SIZE + 2, 0.25) / gray.shape[axis]
        waves = np.exp(-2j * np.pi * np.outer(frequencies[frequencies <= 0.5], np.arange(len(steps))))
        if np.abs(waves @ steps).max(initial=0) <= MAX_PERIOD * steps.sum():
            return False
    return True


def _inside(image: RGBImage, box: np.ndarray) -> np.ndarray:
    """Return the luminance (H, W) of what a box shows of a photo, in the pixels that were decoded."""
    height, width = image.pixels.shape[:2]
    ends = np.round(np.reshape(box, (2, 2)) * decoded_scale(image)).astype(int)
    (left, top), (right, bottom) = ends.clip(0, [width, height])
    part = image.pixels[top:bottom, left:right]
    return cv2.cvtColor(part, cv2.COLOR_RGB2GRAY) if part.size else np.zeros((1, 1), np.uint8)


def pose(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Estimate yaw, pitch and roll in degrees from five landmarks, see `Quality`.

    The points of a mean face in space are fitted to the landmarks by scaled orthographic projection (the first step of
    POSIT, DeMenthon and Davis 1995): the (2, 3) matrix M with M X near x in the sense of least squares is s times the
    first two rows of a rotation, and the nearest such rows are U V^T of M's singular value decomposition. The rotation
    is read as R_z(roll) R_y(-yaw) R_x(-pitch). Perspective and faces unlike the mean one leave errors of some degrees.
    """
    points = np.asarray(landmarks, np.float64)
    model = POINTS - POINTS.mean(axis=0)
    solution = np.linalg.lstsq(model, points - points.mean(axis=0), rcond=None)[0].T  # (2, 3)
    u, _, vt = np.linalg.svd(solution, full_matrices=False)
    right, down = u @ vt
    third = np.cross(right, down)
    yaw = math.asin(float(np.clip(third[0], -1, 1)))
    pitch = math.atan2(-float(third[1]), float(third[2]))
    roll = math.atan2(float(down[0]), float(right[0]))
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def blur_of(gray: np.ndarray) -> float:
    """Measure how blurred an image (H, W) uint8 is, 0 to 1.

    The variance of the Laplacian over that of the image itself does not depend on contrast, and grows with finer
    details; b = 1 / (1 + 16 ratio) maps a ratio of 1/16 to 0.5.
    """
    gray = gray.astype(np.float32)
    details = float(cv2.Laplacian(gray, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE).var())
    return 1 / (1 + 16 * details / (float(gray.var()) + 1))
