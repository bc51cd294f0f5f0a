"""What `face_robustness.py` does to photos of faces: turns, damage to the photo, and what covers a face."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from PIL import Image, ImageFilter

from vision_app import Face
from vision_app.faces.align import similarity

GRAY = 114
MASKS = ((225, 228, 230), (150, 190, 215), (40, 42, 48), (190, 150, 160))  # RGB
LENSES = ((14, 14, 16), (50, 34, 22), (30, 40, 62))
FINE = 4  # pixels of a drawn mask for one of an aligned face

# Outlines in pixels of an aligned face of 112, see `align.TEMPLATE`.
MASK = [
    (56, 60), (72, 64), (92, 68), (95, 84), (86, 106), (70, 118),
    (56, 121), (42, 118), (26, 106), (17, 84), (20, 68), (40, 64),
]  # fmt: skip
STRAPS = [((20, 70), (2, 56)), ((92, 70), (110, 56)), ((20, 92), (2, 78)), ((92, 92), (110, 78))]
PLEATS = [((24, y), (88, y)) for y in (78, 88, 98)]
EYES, LENS = [(38, 53), (74, 53)], (17, 13)
FRAME = [((52, 49), (60, 49)), ((22, 50), (0, 46)), ((90, 50), (112, 46))]

Treatment = Callable[[np.ndarray, Face, np.random.Generator], np.ndarray]
"""Gives the treated photo from its (H, W, 3) pixels, its face and a source of chance that is the photo's own."""


def turned(degrees: float, pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Turn a square clockwise around its middle."""
    middle = (len(pixels) - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), -degrees, 1)
    return cv2.warpAffine(pixels, matrix, pixels.shape[1::-1], flags=cv2.INTER_CUBIC, borderValue=(GRAY,) * 3)


def shrunk(size: float, pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Shrink a photo until its face is so many pixels large."""
    scale = size / face.quality.size
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def darkened(share: float, pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Keep a share of the light, in whole levels."""
    return np.round(pixels * share).astype(np.uint8)


def blurred(share: float, pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Blur with a Gaussian whose sigma is a share of the face's side."""
    return cv2.GaussianBlur(pixels, (0, 0), share * face.quality.size)


def moved(share: float, axis: str, pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Blur by a motion along "x" or "y", by a share of the face's side."""
    length = max(round(share * face.quality.size), 1)
    return cv2.blur(pixels, (length, 1) if axis == "x" else (1, length))


def stretched(factor: float, pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Make a photo wider."""
    return cv2.resize(pixels, None, fx=factor, fy=1, interpolation=cv2.INTER_LINEAR)


def negative(pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Return the negative of a photo."""
    return 255 - pixels


def masked(pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Draw a face mask."""
    canvas, cover = _canvas(MASKS[rng.integers(len(MASKS))])
    _lines(cover, STRAPS, 255, 2)
    cv2.fillPoly(cover, [_fine(MASK)], 255, cv2.LINE_AA)
    across = (np.arange(112 * FINE) / FINE - 56) / 40  # darker towards the sides
    canvas = canvas * (1 - 0.3 * np.minimum(across**2, 1))[None, :, None]
    _lines(canvas, PLEATS, (canvas.mean() * 0.8,) * 3, 1)
    return _laid_on(pixels, face, canvas, cover)


def sunglasses(pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Draw sunglasses."""
    canvas, cover = _canvas(LENSES[rng.integers(len(LENSES))])
    _lines(cover, FRAME, 255, 3)
    for eye in EYES:
        cv2.ellipse(cover, _fine([eye])[0].tolist(), [FINE * axis for axis in LENS], 0, 0, 360, 255, -1, cv2.LINE_AA)
    return _laid_on(pixels, face, canvas, cover)


def pixelated(
    face_size: float, side: int, kind: str, pixels: np.ndarray, face: Face, rng: np.random.Generator
) -> np.ndarray:
    """Make squares of a photo whose face is so large: of their "mean", their "median", or their "nearest" pixel.

    A "jpeg" is one of their mean, compressed at a usual quality.
    """
    photo = shrunk(face_size, pixels, face, rng)
    rows, columns = (length // side for length in photo.shape[:2])
    photo = photo[: rows * side, : columns * side]
    blocks = photo.reshape(rows, side, columns, side, 3)
    if kind == "nearest":
        small = blocks[:, side // 2, :, side // 2]
    else:
        small = (np.median if kind == "median" else np.mean)(blocks, axis=(1, 3)).round().astype(np.uint8)
    mosaic = np.ascontiguousarray(small.repeat(side, axis=0).repeat(side, axis=1))
    return _encoded(mosaic, ".jpg", 85) if kind == "jpeg" else mosaic


def noisy(
    light: float, deviation: float, kind: str, pixels: np.ndarray, face: Face, rng: np.random.Generator
) -> np.ndarray:
    """Add noise to a share of the light in a photo whose face is 60 pixels large.

    It is "gaussian", or a share of "dots" in black and white, or of photons, whose "poisson" noise deviates by as much
    at a luminance of 128.
    """
    photo = shrunk(60, pixels, face, rng) * light
    if kind == "dots":
        chance = rng.random((*photo.shape[:2], 1))
        photo = np.where(chance < deviation, 255 * (chance < deviation / 2), photo)
    elif kind == "poisson":
        count = 128 / deviation**2  # photons of a level
        photo = rng.poisson(photo * count) / count
    else:
        photo = photo + rng.normal(0, deviation, photo.shape)
    return np.clip(photo, 0, 255).astype(np.uint8)


def compressed(
    kind: str, quality: int, blur: float, pixels: np.ndarray, face: Face, rng: np.random.Generator
) -> np.ndarray:
    """Blur and compress a photo whose face is 60 pixels large."""
    photo = shrunk(60, pixels, face, rng)
    photo = cv2.GaussianBlur(photo, (0, 0), blur) if blur else photo
    return _encoded(photo, kind, quality)


def _encoded(photo: np.ndarray, kind: str, quality: int) -> np.ndarray:
    """Return what a file of a photo shows."""
    key = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}[kind]
    return np.asarray(cv2.imdecode(cv2.imencode(kind, photo, (key, quality))[1], cv2.IMREAD_COLOR))


def pictured(
    change: Callable[[Image.Image], Image.Image], pixels: np.ndarray, face: Face, rng: np.random.Generator
) -> np.ndarray:
    """Let Pillow change a photo whose face is 60 pixels large."""
    return np.array(change(Image.fromarray(shrunk(60, pixels, face, rng))).convert("RGB"))


def cut(side: str, share: float, pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Cut a share of the face's box off, with all of the photo on that side."""
    inside = _inside(side, share, face)
    x1, y1, x2, y2 = (max(round(value), 0) for value in inside)
    return np.ascontiguousarray(pixels[y1:y2, x1:x2])


def hidden(side: str, share: float, pixels: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Cover a share of the face's box with dark gray, with all of the photo on that side."""
    x1, y1, x2, y2 = (max(round(value), 0) for value in _inside(side, share, face))
    covered = np.full_like(pixels, 40)
    covered[y1:y2, x1:x2] = pixels[y1:y2, x1:x2]
    return covered


def _inside(side: str, share: float, face: Face) -> tuple[float, float, float, float]:
    """Return what is left of a photo, x1, y1, x2, y2, without a share of the face's box on a side."""
    x1, y1, x2, y2 = face.box.tolist()
    width, height = share * (x2 - x1), share * (y2 - y1)
    return {
        "left": (x1 + width, 0, 1e6, 1e6), "right": (0, 0, x2 - width, 1e6),
        "top": (0, y1 + height, 1e6, 1e6), "bottom": (0, 0, 1e6, y2 - height),
    }[side]  # fmt: skip


DAMAGES: dict[str, Treatment] = {
    "24 px": partial(shrunk, 24),
    "12 px": partial(shrunk, 12),
    "9 px": partial(shrunk, 9),
    "light / 5": partial(darkened, 1 / 5),
    "light / 10": partial(darkened, 1 / 10),
    "light / 20": partial(darkened, 1 / 20),
    "blurred, 2 %": partial(blurred, 0.02),
    "blurred, 4 %": partial(blurred, 0.04),
    "blurred, 8 %": partial(blurred, 0.08),
    **{f"moved along {axis}, {share:.0%}": partial(moved, share, axis) for axis in "xy" for share in (0.1, 0.15, 0.25)},
    "stretched 1.4x": partial(stretched, 1.4),
    "stretched 2x": partial(stretched, 2),
    "negative": negative,
    "masked": masked,
    "sunglasses": sunglasses,
    **{f"60 px, squares of {n}": partial(pixelated, 60, n, "mean") for n in (3, 4, 5, 6, 8, 12)},
    "60 px, single pixels of 5": partial(pixelated, 60, 5, "nearest"),
    "60 px, medians of 5": partial(pixelated, 60, 5, "median"),
    "60 px, squares of 3, JPEG 85": partial(pixelated, 60, 3, "jpeg"),
    "60 px, squares of 4, JPEG 85": partial(pixelated, 60, 4, "jpeg"),
    "36 px, squares of 3": partial(pixelated, 36, 3, "mean"),
    **{f"120 px, squares of {n}": partial(pixelated, 120, n, "mean") for n in (6, 8, 12)},
    "noise of 12": partial(noisy, 1, 12, "gaussian"),
    "noise of 25": partial(noisy, 1, 25, "gaussian"),
    "noise of 50": partial(noisy, 1, 50, "gaussian"),
    "light / 3, noise of 8": partial(noisy, 1 / 3, 8, "gaussian"),
    "light / 4, noise of 12": partial(noisy, 1 / 4, 12, "gaussian"),
    "photon noise of 25": partial(noisy, 1, 25, "poisson"),
    "3 % dots": partial(noisy, 1, 0.03, "dots"),
    "10 % dots": partial(noisy, 1, 0.1, "dots"),
    **{f"JPEG {n}": partial(compressed, ".jpg", n, 0) for n in (1, 3, 5, 10)},
    "blurred, JPEG 10": partial(compressed, ".jpg", 10, 1.2),
    "WebP 1": partial(compressed, ".webp", 1, 0),
    "dithered": partial(pictured, lambda image: image.convert("1")),
    "4 colors": partial(pictured, lambda image: image.quantize(4)),
    "8 colors": partial(pictured, lambda image: image.quantize(8)),
    "3 levels": partial(pictured, lambda image: image.point(lambda value: min(value // 86, 2) * 127)),
    "embossed": partial(pictured, lambda image: image.filter(ImageFilter.EMBOSS)),
    "sharpened": partial(pictured, lambda image: image.filter(ImageFilter.UnsharpMask(4, 500, 0))),
    "cut at the bottom, 30 %": partial(cut, "bottom", 0.3),
    "cut at the bottom, 40 %": partial(cut, "bottom", 0.4),
    "cut at the bottom, 50 %": partial(cut, "bottom", 0.5),
    "cut at the top, 40 %": partial(cut, "top", 0.4),
    "cut at the left, 50 %": partial(cut, "left", 0.5),
    "hidden at the right, 35 %": partial(hidden, "right", 0.35),
    "hidden at the right, 50 %": partial(hidden, "right", 0.5),
    "hidden at the left, 50 %": partial(hidden, "left", 0.5),
}


def _canvas(color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return an aligned face's square in one color, (S, S, 3), and what is to be seen of it, (S, S) uint8: nothing."""
    side = 112 * FINE
    return np.full((side, side, 3), color, float), np.zeros((side, side), np.uint8)


def _fine(points: Sequence[tuple[int, int]]) -> np.ndarray:
    return np.array(points, np.int32) * FINE


def _lines(canvas: np.ndarray, lines: Sequence[Sequence[tuple[int, int]]], color: object, width: int) -> None:
    for line in lines:
        cv2.polylines(canvas, [_fine(line)], False, color, width * FINE, cv2.LINE_AA)


def _laid_on(pixels: np.ndarray, face: Face, canvas: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Lay a drawing on a face; in gray on a gray photo."""
    if (pixels == pixels[..., :1]).all():
        canvas = np.repeat(canvas @ [[0.299], [0.587], [0.114]], 3, axis=2)
    way = cv2.invertAffineTransform(similarity(face.landmarks)) @ np.diag([1 / FINE, 1 / FINE, 1])
    size = pixels.shape[1::-1]
    there = cv2.warpAffine(cover, way, size, flags=cv2.INTER_AREA)[..., None] / 255
    drawn = cv2.warpAffine(canvas, way, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.round(pixels * (1 - there) + drawn * there).astype(np.uint8)


def padded(pixels: np.ndarray) -> np.ndarray:
    """Lay a photo into the middle of a gray square that holds it at any angle."""
    side = math.ceil(math.hypot(*pixels.shape[:2]))
    top, left = ((side - length) // 2 for length in pixels.shape[:2])
    square = np.full((side, side, 3), GRAY, np.uint8)
    square[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return square
