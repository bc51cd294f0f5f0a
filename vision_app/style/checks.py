"""Which images can be stylized or be a style, what is unusual about them, and how they are scaled. NumPy and OpenCV."""

import cv2
import numpy as np
from PIL import Image

from vision_app.core.errors import ImageError
from vision_app.core.flags import flag

SMALLEST_SIDE = 32  # pixels: smaller images leave no room for a network's receptive field
LARGEST_RATIO = 16  # of the sides, so that a long side of 512 leaves the other one 32
ONE_COLOR = 2.0  # levels of 256: maximum standard deviation of a channel that does not vary
GRAY = 8  # levels of 256 by which the channels of a gray image may differ, as they do after JPEG's rounding
DARK = 16  # levels of 256: a mean this close to black counts as almost black


def scaled_shape(width: int, height: int, size: int | None, name: str, option: str = "size") -> tuple[int, int]:
    """Return the shape of an image whose long side is scaled to `size`.

    Args:
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        size: Pixels; None leaves the image as it is.
        name: What errors call the image.
        option: The name of `size` among the options.

    Returns:
        Rows and columns.

    Raises:
        ImageError: The image is too small or too long for any size, or becomes too small.
    """
    short, long = sorted((width, height))
    if short < SMALLEST_SIDE:
        reason = f"too small: {width} x {height} pixels; each side needs {SMALLEST_SIDE} or more"
        raise ImageError(name, reason)
    if long > LARGEST_RATIO * short:
        reason = f"too long: {width} x {height} pixels; crop it until no side is over {LARGEST_RATIO} times the other"
        raise ImageError(name, reason)
    if size is None:
        return height, width
    rows, columns = (round(side * size / long) for side in (height, width))
    if min(rows, columns) < SMALLEST_SIDE:
        smallest = -(-SMALLEST_SIDE * long // short)
        reason = f"{flag(option)} {size} leaves {columns} x {rows} pixels of it; the nearest that works is {smallest}"
        raise ImageError(name, reason)
    return rows, columns


def scaled(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize (h, w, 3) or (h, w) uint8 to (rows, columns) with a Lanczos filter; the same array if it fits."""
    if pixels.shape[:2] == shape:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.LANCZOS))


def at_most(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return (H, W, 3) uint8, its long side scaled down to `size` where it is longer."""
    height, width = pixels.shape[:2]
    factor = min(1.0, size / max(height, width))
    return scaled(pixels, (round(height * factor), round(width * factor)))


def has_one_color(pixels: np.ndarray) -> bool:
    """Return whether (H, W, 3) uint8 pixels hardly vary."""
    _, deviation = cv2.meanStdDev(pixels)
    return bool(deviation.max() <= ONE_COLOR)


def is_gray(pixels: np.ndarray) -> bool:
    """Return whether the channels of (H, W, 3) uint8 pixels hardly differ."""
    return bool(np.ptp(pixels, axis=2).max() <= GRAY)


def content_notes(pixels: np.ndarray) -> list[str]:
    """Return what is unusual about a content, (H, W, 3) uint8."""
    if has_one_color(pixels):
        return ["the content has one color"]
    return ["the content is gray"] if is_gray(pixels) else []


def style_notes(name: str, pixels: np.ndarray) -> list[str]:
    """Return what is unusual about a style, (H, W, 3) uint8."""
    if has_one_color(pixels):
        return [f"the style {name} has one color, and no strokes to learn from"]
    return [f"the style {name} is gray, and makes pictures gray"] if is_gray(pixels) else []


def result_notes(content: np.ndarray, pixels: np.ndarray) -> list[str]:
    """Return what is unusual about the result for a content, both (H, W, 3) uint8."""
    if has_one_color(pixels):
        reason = "" if has_one_color(content) else ": this style leaves nothing to be seen"
        return [f"the result has one color{reason}"]
    before, after = content.mean(), pixels.mean()
    if after < DARK <= before:
        return ["the result is almost black"]
    return ["the result is almost white"] if before <= 255 - DARK < after else []
