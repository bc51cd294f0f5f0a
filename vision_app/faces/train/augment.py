"""Augmentation of aligned faces: what cameras, time and clothes change about a face without making it another one.

One warp rotates, scales, shifts and flips; the rest works on pixels alone. All random choices for a face come from one
generator of its own, see `training.augment`.
"""

import cv2
import numpy as np

from vision_app.faces.align import MARGIN, SIZE
from vision_app.training.augment import random_numbers

FLIP, GRAY, LOW, JPEG, BLUR, LIGHT, COVER, SHAKE, NOISE = 0.5, 0.35, 0.25, 0.2, 0.1, 0.5, 0.15, 0.15, 0.1  # how often
ROTATION, SCALE, SHIFT = 10.0, 0.08, 4.0  # largest change in degrees, of the logarithm of the scale, in pixels
LENGTHS = 0.03, 0.3  # of a motion, in shares of the image's side
STRONGEST = 25.0  # deviation of the noise, in levels
SMALLEST = 24  # side in pixels at the lowest resolution
MASKS = ((235, 235, 235), (30, 30, 34), (170, 200, 220), (90, 140, 190))  # common colors


def augmented(crop: np.ndarray, template: np.ndarray, *seed: int) -> np.ndarray:
    """Return a face as it might have been photographed.

    Args:
        crop: (160, 160, 3) uint8, an aligned face with a margin; not changed.
        template: (5, 2) where its landmarks lie without the margin.
        *seed: Of the random choices, such as (seed, epoch, place).

    Returns:
        (112, 112, 3) uint8.
    """
    generator = random_numbers("face", *seed)
    chance = generator.random(9)
    if chance[0] < COVER:
        crop = covered(crop, template + MARGIN, generator)
    face = warped(crop, generator, flip=chance[1] < FLIP)
    if chance[2] < LIGHT:
        face = lit(face, generator)
    if chance[3] < GRAY:
        face = gray(face)
    if chance[4] < LOW:
        face = low_resolution(face, generator)
    if chance[5] < BLUR:
        face = cv2.GaussianBlur(face, (0, 0), generator.uniform(0.5, 3))
    if chance[7] < SHAKE:
        face = shaken(face, generator)
    if chance[8] < NOISE:
        noise = generator.uniform(0, STRONGEST) * generator.standard_normal(face.shape, np.float32)
        face = np.clip(np.round(face + noise), 0, 255).astype(np.uint8)
    if chance[6] < JPEG:
        face = compressed(face, generator)
    return face


def warped(crop: np.ndarray, generator: np.random.Generator, *, flip: bool) -> np.ndarray:
    """Return (112, 112, 3) the middle of a crop, slightly rotated, scaled and shifted, with its border replicated."""
    middle = len(crop) / 2
    turn, zoom = generator.uniform(-ROTATION, ROTATION), np.exp(generator.uniform(-SCALE, SCALE))
    matrix = cv2.getRotationMatrix2D((middle - 0.5,) * 2, turn, zoom)  # OpenCV counts from the middle of a pixel
    matrix[:, 2] = matrix[:, 2] + (generator.uniform(-SHIFT, SHIFT, 2) - MARGIN)
    if flip:
        matrix[0] = -matrix[0]
        matrix[0, 2] += SIZE - 1
    return cv2.warpAffine(crop, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def gray(face: np.ndarray) -> np.ndarray:
    """Return the face without its colors, in three equal channels."""
    return cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def lit(face: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Change contrast, brightness, gamma and white balance."""
    contrast, brightness = generator.uniform(0.7, 1.3), generator.uniform(-30, 30)
    gamma = np.exp(generator.uniform(-0.3, 0.3))
    values = 255 * np.linspace(0, 1, 256) ** gamma
    tables = ((values - 128) * contrast + 128 + brightness)[:, None] + generator.uniform(-8, 8, 3)
    return cv2.LUT(face, tables.round().clip(0, 255).astype(np.uint8)[None])


def low_resolution(face: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the face at a lower resolution, scaled up again."""
    side = int(np.exp(generator.uniform(np.log(SMALLEST), np.log(SIZE))))
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (SIZE, SIZE), interpolation=generator.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]).item())


def shaken(face: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the face blurred by a motion along a line or a slight curve, often a horizontal or vertical one."""
    length = max(face.shape) * np.exp(generator.uniform(*np.log(LENGTHS)))
    angle, bend = generator.choice([0.0, np.pi / 2, generator.uniform(0, np.pi)]), generator.normal(0, 0.4)
    moments = np.linspace(-0.5, 0.5, 8 * max(round(length), 2))
    directions = angle + bend * moments
    path = np.cumsum(np.column_stack([np.cos(directions), np.sin(directions)]), axis=0) * length / len(moments)
    path -= (path.min(axis=0) + path.max(axis=0)) / 2
    half = int(np.ceil(np.abs(path).max())) + 1
    kernel = np.zeros((2 * half + 1,) * 2, np.float32)
    x, y = np.floor(path).astype(int).T + half
    right, down = (path - np.floor(path)).T
    for rows, row_shares in ((y, 1 - down), (y + 1, down)):
        for columns, shares in ((x, 1 - right), (x + 1, right)):
            np.add.at(kernel, (rows, columns), row_shares * shares / len(path))
    return cv2.filter2D(face, -1, kernel, borderType=cv2.BORDER_REFLECT)


def compressed(face: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the face after JPEG compression of low quality."""
    quality = int(generator.integers(20, 80))
    _, content = cv2.imencode(".jpg", face, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_UNCHANGED))


def covered(crop: np.ndarray, landmarks: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a copy of a crop with a mask over nose and mouth, with sunglasses, or with a box in front of it."""
    crop = crop.copy()
    [mask, sunglasses, box][generator.integers(3)](crop, landmarks, generator)
    return crop


def mask(crop: np.ndarray, landmarks: np.ndarray, generator: np.random.Generator) -> None:
    """Draw a mask from the nose to below the chin."""
    (left, _), (right, _), nose = landmarks[:3]
    mouth = landmarks[3:].mean(axis=0)
    color = MASKS[generator.integers(len(MASKS))]
    top, bottom = nose[1] - generator.uniform(2, 14), mouth[1] + generator.uniform(22, 30)
    corners = [
        (left - 14, top + 10), (nose[0] - 8, top), (nose[0] + 8, top), (right + 14, top + 10),
        (right + 8, mouth[1] + 8), (mouth[0] + 12, bottom), (mouth[0] - 12, bottom), (left - 8, mouth[1] + 8),
    ]  # fmt: skip
    outline = np.array(corners) + generator.uniform(-3, 3, (len(corners), 2))
    cv2.fillPoly(crop, [outline.round().astype(np.int32)], color, cv2.LINE_AA)


def sunglasses(crop: np.ndarray, landmarks: np.ndarray, generator: np.random.Generator) -> None:
    """Draw dark glasses over the eyes."""
    color = tuple(generator.integers(5, 60, 3).tolist())
    size = tuple(generator.integers((13, 8), (18, 13)).tolist())
    lenses = [tuple(map(round, eye.tolist())) for eye in landmarks[:2] + generator.uniform(-2, 2, 2)]
    for lens in lenses:
        cv2.ellipse(crop, lens, size, 0, 0, 360, color, cv2.FILLED, cv2.LINE_AA)
    cv2.line(crop, lenses[0], lenses[1], color, 3, cv2.LINE_AA)


def box(crop: np.ndarray, landmarks: np.ndarray, generator: np.random.Generator) -> None:
    """Draw a box of one color over a part of the face, up to a third of its width and height."""
    width, height = generator.integers(SIZE // 8, SIZE // 3, 2)
    x, y = generator.integers(MARGIN, MARGIN + SIZE - np.array([width, height]))
    crop[y : y + height, x : x + width] = generator.integers(0, 256, 3)
