"""Which pictures can be repainted or be a style, what is odd about them, and how they are scaled. NumPy and OpenCV."""

import cv2
import numpy as np
from PIL import Image

from vision_app.core.errors import ImageError

SMALLEST_SIDE = 32  # pixels: smaller pictures have no place for a network's view
LARGEST_RATIO = 16  # of the sides, so that a long side of 512 leaves the other one 32
ONE_COLOR = 2.0  # levels of 256: a channel's standard deviation, up to which it does not vary
GREY = 8  # levels of 256 that the channels of a grey picture may differ by, which JPEG's rounding makes them do
DARK = 16  # levels of 256: a mean that is as near to black counts as almost black


def scaled_shape(width: int, height: int, size: int | None, name: str, flag: str = "--size") -> tuple[int, int]:
    """The shape of a picture whose long side is scaled to `size`.

    Args:
        width, height: of the picture, in pixels.
        size: pixels; None leaves the picture as it is.
        name: what errors call the picture.
        flag: what they call `size`.

    Returns:
        Rows and columns.

    Raises:
        ImageError: the picture is too small or too long for any size, or becomes too small.
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
        least = -(-SMALLEST_SIDE * long // short)
        raise ImageError(
            name, f"{flag} {size} leaves {columns} x {rows} pixels of it; the nearest that works is {least}"
        )
    return rows, columns


def scaled(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 as (rows, columns, 3) uint8, by a Lanczos filter; the same array where that is its shape."""
    if pixels.shape[:2] == shape:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.LANCZOS))


def at_most(pixels: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8, its long side scaled down to `size` where it is longer."""
    height, width = pixels.shape[:2]
    factor = min(1.0, size / max(height, width))
    return scaled(pixels, (round(height * factor), round(width * factor)))


def has_one_color(pixels: np.ndarray) -> bool:
    """Whether (H, W, 3) uint8 pixels hardly vary."""
    _, deviation = cv2.meanStdDev(pixels)
    return bool(deviation.max() <= ONE_COLOR)


def is_grey(pixels: np.ndarray) -> bool:
    """Whether the channels of (H, W, 3) uint8 pixels hardly differ."""
    return bool(np.ptp(pixels, axis=2).max() <= GREY)


def content_notes(pixels: np.ndarray) -> list[str]:
    """What is odd about a picture to be repainted, (H, W, 3) uint8."""
    if has_one_color(pixels):
        return ["the content has one color"]
    return ["the content is grey"] if is_grey(pixels) else []


def style_notes(name: str, pixels: np.ndarray) -> list[str]:
    """What is odd about the picture of a style, (H, W, 3) uint8."""
    if has_one_color(pixels):
        return [f"the style {name} has one color, and no strokes to learn from"]
    return [f"the style {name} is grey, and makes pictures grey"] if is_grey(pixels) else []


def result_notes(content: np.ndarray, pixels: np.ndarray) -> list[str]:
    """What is odd about what a content was repainted as, both (H, W, 3) uint8."""
    if has_one_color(pixels):
        reason = "" if has_one_color(content) else ": this style leaves nothing to be seen"
        return [f"the result has one color{reason}"]
    before, after = content.mean(), pixels.mean()
    if after < DARK <= before:
        return ["the result is almost black"]
    return ["the result is almost white"] if before <= 255 - DARK < after else []
