"""Alignment: a similarity transform moves each face so that its five landmarks lie at fixed positions.

Coordinates are continuous, as those of boxes: the first pixel covers 0 to 1.
"""

import io

import cv2
import numpy as np
from PIL import Image

from vision_app.core.images import RGBImage
from vision_app.core.results import Detections

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
"""Names of the five points, in the order of all arrays. The sides are the person's: the first eye is the one on the
left of the image."""

SIZE = 112
"""Side in pixels of an aligned face."""

TEMPLATE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]], np.float32)
"""(5, 2) where the landmarks of an aligned face lie, x, y in pixels; a model may have a template of its own."""

MARGIN = 24  # pixels on each side of an aligned face in a stored crop
SIDE = SIZE + 2 * MARGIN


def similarity(points: np.ndarray, template: np.ndarray = TEMPLATE) -> np.ndarray:
    """Return the similarity transform that maps points closest to a template, in the sense of least squares.

    A rotation by an angle and a scale s are one multiplication of x + iy by the complex number s e^(i angle), and the
    best one has a closed form: the solution of Umeyama (1991) for two dimensions, without reflections.

    Args:
        points: (K, 2) x, y.
        template: (K, 2) where they are mapped to.

    Returns:
        (2, 3) float64 A, with A (x, y, 1) near the template.

    Raises:
        ValueError: The points are not finite or all the same.
    """
    points = np.asarray(points, np.float64)
    if not np.isfinite(points).all() or not np.ptp(points, axis=0).any():
        raise ValueError("landmarks: expected finite points that are not all the same")
    source, target = (np.asarray(array, np.float64) @ [1, 1j] for array in (points, template))
    spread = source - source.mean()
    turn = np.vdot(spread, target) / np.vdot(spread, spread).real
    move = target.mean() - turn * source.mean()
    return np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])


def scale_of(matrix: np.ndarray) -> float:
    """Return the scale factor of a similarity transform (2, 3)."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def moved_back(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return where a transform (2, 3) moved points (K, 2) from."""
    return np.asarray((points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)


def decoded_scale(image: RGBImage) -> np.ndarray:
    """Return (2,) float32 x, y: decoded pixels per pixel of the photo, below 1 after decoding at a reduced size."""
    rows, columns = image.pixels.shape[:2]
    return np.array([columns / image.width, rows / image.height], np.float32)


def align(
    pixels: np.ndarray,
    landmarks: np.ndarray,
    template: np.ndarray = TEMPLATE,
    size: int = SIZE,
    *,
    border: int = cv2.BORDER_CONSTANT,
) -> np.ndarray:
    """Cut an aligned face out of an image. What lies outside the image is black.

    A face much larger than the result is first shrunk by averaging, so that none of its pixels is skipped.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        landmarks: (5, 2) x, y in pixels of this array.
        template: (5, 2) where they are mapped to.
        size: Side of the result in pixels.
        border: What takes the place of black, such as `cv2.BORDER_REPLICATE`.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ValueError: See `similarity`.
    """
    matrix = similarity(landmarks, template)
    shrink = int(1 / scale_of(matrix))
    if shrink > 1:
        pixels, matrix = _shrunk(pixels, matrix, size, shrink)
    matrix[:, 2] += 0.5 * matrix[:, :2].sum(axis=1) - 0.5  # OpenCV counts from the middle of the first pixel
    return cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


def align_face(image: RGBImage, landmarks: np.ndarray, template: np.ndarray = TEMPLATE, size: int = SIZE) -> np.ndarray:
    """Cut an aligned face out of an image with `align`, given landmarks in pixels of the photo."""
    return align(image.pixels, landmarks * decoded_scale(image), template, size)


def _shrunk(pixels: np.ndarray, matrix: np.ndarray, size: int, shrink: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of an image that the aligned face shows, at 1/shrink of its size, and the transform from it."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    there = moved_back(corners, matrix)  # (4, 2) in the image
    limits = pixels.shape[1::-1]
    start = np.clip(np.floor(there.min(axis=0)) - shrink, 0, limits).astype(int)
    columns, rows = np.clip(np.ceil(there.max(axis=0)) + shrink, 0, limits).astype(int) - start
    if min(columns, rows) < 1:  # the face lies outside the image
        return pixels[:1, :1], matrix
    part = pixels[start[1] : start[1] + rows, start[0] : start[0] + columns]
    part = cv2.resize(part, (-(-columns // shrink), -(-rows // shrink)), interpolation=cv2.INTER_AREA)
    ratio = np.array([columns / part.shape[1], rows / part.shape[0]])  # about `shrink`: sides are whole numbers
    matrix = np.column_stack([matrix[:, :2] * ratio, matrix[:, :2] @ start + matrix[:, 2]])
    return part, matrix


def crop_of(image: RGBImage, landmarks: np.ndarray) -> bytes:
    """Return the aligned face with a margin as a PNG file, which another model can embed later."""
    stream = io.BytesIO()
    Image.fromarray(align_face(image, landmarks, TEMPLATE + np.float32(MARGIN), SIDE)).save(stream, "PNG")
    return stream.getvalue()


def chip_of(crop: np.ndarray, landmarks: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return the face aligned to a model's template, given what `crop_of` stored.

    Args:
        crop: (160, 160, 3) uint8 RGB.
        landmarks: (5, 2) in pixels of the photo.
        template: (5, 2), see `align`.

    Returns:
        (112, 112, 3) uint8.
    """
    matrix = similarity(landmarks, TEMPLATE + np.float32(MARGIN))
    return align(crop, landmarks @ matrix[:, :2].T + matrix[:, 2], template)


def centroid_of(embeddings: np.ndarray) -> np.ndarray:
    """Return the (D,) mean of (n, D) unit vectors, scaled to length 1; the first one where they cancel out."""
    mean = np.asarray(embeddings, np.float64).mean(axis=0)
    length = np.linalg.norm(mean)
    return np.asarray(mean / length if length > 1e-6 else embeddings[0], np.float32)


def landmarks_of(faces: Detections) -> np.ndarray:
    """Return the (N, 5, 2) landmarks of faces; raise ValueError where they have none."""
    if faces.landmarks is None:
        raise ValueError("faces: expected landmarks")
    return faces.landmarks
