"""Draw what spoils a whole photo: mosaics, noise, compression, motion, few colors, filters, stripes, borders.

They work on the grid of the photo, which is seldom that of an aligned face: `degraded` lays a face into a photo of
another scale and angle first. All images are uint8 RGB.
"""

import cv2
import numpy as np
from face_damage import POINTS, Random, X, Y, cloth, color
from PIL import Image

from vision_app.faces import quality
from vision_app.faces.align import MARGIN, SIDE
from vision_app.faces.quality import AXES
from vision_app.faces.train.augment import shaken

SCALES = 0.32, 1.5  # pixels of the photo for one of an aligned face
CENTER = quality.CENTER + MARGIN  # of a face's oval, in a crop


def mosaic(photo: np.ndarray, random: Random) -> np.ndarray:
    """Return a photo in squares: of means, medians or single pixels, with sharp or smoothed edges."""
    side = int(np.exp(random.uniform(np.log(2), np.log(12))))
    top, left = random.integers(side, size=2)
    rows, columns = -(-(photo.shape[0] + top) // side), -(-(photo.shape[1] + left) // side)
    padding = ((top, rows * side - photo.shape[0] - top), (left, columns * side - photo.shape[1] - left), (0, 0))
    blocks = np.pad(photo, padding, "edge").reshape(rows, side, columns, side, 3)
    kind = random.random()
    if kind < 0.6:
        small = blocks.mean(axis=(1, 3))
    elif kind < 0.8:
        small = blocks[:, side // 2, :, side // 2]
    else:
        small = np.median(blocks, axis=(1, 3))
    large = small.round().astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1)
    large = large[top : top + photo.shape[0], left : left + photo.shape[1]]
    if random.random() < 0.2:
        large = cv2.GaussianBlur(large, (0, 0), random.uniform(0.3, 0.35 * side))
    return np.ascontiguousarray(large)


def noisy(photo: np.ndarray, random: Random) -> np.ndarray:
    """Return a photo with noise, of an image sensor with little light among others."""
    if random.random() < 0.5:  # little light
        photo = photo * np.float32(np.exp(random.uniform(np.log(0.12), 0)))
    kind, shape = random.random(), (*photo.shape[:2], 1 if random.random() < 0.3 else 3)
    if kind < 0.55:
        noise = np.exp(random.uniform(np.log(3), np.log(50))) * random.standard_normal(shape, np.float32)
    elif kind < 0.7:  # photons
        count = np.exp(random.uniform(np.log(0.03), 0))
        noise = np.sqrt(np.maximum(photo, 1) / count) * random.standard_normal(shape, np.float32)
    elif kind < 0.85:  # speckle
        noise = photo * np.exp(random.uniform(np.log(0.05), np.log(0.6))) * random.standard_normal(shape, np.float32)
    else:
        share = np.exp(random.uniform(np.log(0.003), np.log(0.2)))
        chance = random.random(shape, np.float32)
        photo, noise = np.where(chance < share, 255 * (chance < share / 2), photo), 0
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


def compressed(photo: np.ndarray, random: Random) -> np.ndarray:
    """Return a photo after JPEG or WebP compression of any quality, often of the lowest."""
    quality = round(float(np.exp(random.uniform(0, np.log(50)))))
    kind = ".jpg" if random.random() < 0.7 else ".webp"
    key = cv2.IMWRITE_JPEG_QUALITY if kind == ".jpg" else cv2.IMWRITE_WEBP_QUALITY
    return np.asarray(cv2.imdecode(cv2.imencode(kind, photo, (key, quality))[1], cv2.IMREAD_COLOR))


def few_levels(photo: np.ndarray, random: Random) -> np.ndarray:
    """Return a photo in few levels or colors, dithered or not."""
    kind, image = random.random(), Image.fromarray(photo)
    if kind < 0.25:
        image = image.convert("1")
    elif kind < 0.6:
        image = image.quantize(int(random.integers(2, 17)), dither=Image.Dither.NONE)
    elif kind < 0.75:  # of a fixed palette
        image = image.convert("P", dither=Image.Dither.FLOYDSTEINBERG)
    else:  # ordered
        levels = int(random.integers(2, 6))
        pattern = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) / 16
        tiles = np.tile(pattern, (photo.shape[0] // 4 + 1, photo.shape[1] // 4 + 1))
        tiles = tiles[: photo.shape[0], : photo.shape[1], None] if random.random() < 0.6 else np.float32(0.5)
        steps = np.floor(photo / np.float32(255) * (levels - 1) + tiles).clip(0, levels - 1)
        return (steps * (255 / (levels - 1))).astype(np.uint8)
    return np.array(image.convert("RGB"))


def filtered(photo: np.ndarray, random: Random) -> np.ndarray:
    """Return a photo as a relief, or sharpened far too much."""
    if random.random() < 0.6:
        angle = random.uniform(0, 2 * np.pi)
        y, x = np.mgrid[-1:2, -1:2]
        kernel = (x * np.cos(angle) + y * np.sin(angle)) * np.exp(random.uniform(np.log(0.3), np.log(2)))
        kernel[1, 1] = 1.0 if random.random() < 0.6 else 0.0
        relief = cv2.filter2D(photo, cv2.CV_32F, kernel) + (0 if kernel[1, 1] else random.uniform(90, 160))
        return np.asarray(np.clip(relief, 0, 255).astype(np.uint8))
    smooth = cv2.GaussianBlur(photo, (0, 0), random.uniform(0.6, 4))
    return np.asarray(cv2.addWeighted(photo, 1 + (amount := float(np.exp(random.uniform(0, 2.5)))), smooth, -amount, 0))


def striped(photo: np.ndarray, random: Random) -> np.ndarray:
    """Return a photo behind lines, as of a fence or an old screen."""
    period = int(random.integers(2, 16))
    width = int(random.integers(1, max(2, round(0.6 * period))))
    lines = (np.arange(max(photo.shape[:2])) + random.integers(period)) % period < width
    axis = int(random.integers(2))
    share = lines[: photo.shape[axis]] * np.float32(random.uniform(0.2, 1))
    share = share[:, None, None] if axis == 0 else share[None, :, None]
    return np.asarray((photo + (np.float32(random.uniform(0, 160)) - photo) * share).astype(np.uint8))


DAMAGES = (
    (mosaic, 0.23), (noisy, 0.23), (compressed, 0.16), (shaken, 0.18), (few_levels, 0.08), (filtered, 0.07),
    (striped, 0.05),
)  # fmt: skip


def degraded(crop: np.ndarray, random: Random) -> np.ndarray:
    """Return a face as it would be aligned in a photo that was spoiled, of a random scale and angle.

    Args:
        crop: (160, 160, 3), an aligned face with its margin.
        random: Source of chance.

    Returns:
        (160, 160, 3), at the same place.
    """
    scale = float(np.exp(random.uniform(*np.log(SCALES))))
    side, middle = round(SIDE * scale), (SIDE - 1) / 2
    there = cv2.getRotationMatrix2D((middle, middle), random.normal(0, 10), scale)
    there[:, 2] += (side - 1) / 2 - middle
    photo = cv2.warpAffine(crop, there, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    if random.random() < 0.2:
        photo = cv2.GaussianBlur(photo, (0, 0), random.uniform(0.4, 2.2) * max(scale, 0.5))
    draws, shares = zip(*DAMAGES, strict=True)
    for kind in random.choice(len(DAMAGES), 1 if random.random() < 0.8 else 2, p=shares):
        photo = draws[kind](photo, random)
    if random.random() < 0.15:
        photo = compressed(photo, random)
    return cv2.warpAffine(
        photo, there, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )


def cut_off(crop: np.ndarray, other: np.ndarray, random: Random) -> tuple[np.ndarray, float, np.ndarray]:
    """Hide a face from some line on, as the border of a photo does or something in front of it.

    A detector puts the landmarks of a face that is cut off into what is left of it.

    Args:
        crop: (160, 160, 3), an aligned face with its margin.
        other: Another one, to cover it with.
        random: Source of chance.

    Returns:
        The face, the hidden share of it, and (5, 2) where its landmarks would be found.
    """
    if random.random() < 0.8:
        away = np.array([(0, 1), (1, 0), (-1, 0), (0, -1)], np.float32)[random.choice(4, p=(0.4, 0.22, 0.22, 0.16))]
        angle = np.arctan2(away[1], away[0]) + random.normal(0, 0.1)
    else:
        angle = random.uniform(0, 2 * np.pi)
    away = np.array([np.cos(angle), np.sin(angle)])
    oval = CENTER + AXES * np.sqrt(random.random((200, 1))) * _circle(random.uniform(0, 2 * np.pi, 200))
    share = random.uniform(0, 0.7)
    limit = float(np.quantile(oval @ away, 1 - share))
    is_hidden = X * away[0] + Y * away[1] > limit
    is_border, points = random.random() < 0.6, POINTS.astype(np.float64)
    if is_border:
        fill = np.zeros(3) if random.random() < 0.75 else random.uniform(0, 255, 3)
        over = (points @ away).max() - (limit - random.uniform(1, 9))
        if over > 0 and random.random() < 0.6:  # squeezed in between the border and the other side of the face
            start = (points @ away).min() - random.uniform(0, 30)
            points = points - over * ((points @ away - start) / ((points @ away).max() - start))[:, None] * away
    else:
        fill = cloth(random, other) if random.random() < 0.5 else color(random)
    covered = np.where(is_hidden[..., None], np.broadcast_to(fill, crop.shape), crop)
    return np.clip(covered, 0, 255).astype(np.uint8), share, points.astype(np.float32)


def _circle(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
