"""The letterbox: how an image is scaled into a network's input, and how boxes are mapped back. NumPy and OpenCV."""

from dataclasses import dataclass

import numpy as np

from vision_app.core.boxes import clip

PAD = 114  # gray value around images, unless a model says otherwise


@dataclass(frozen=True)
class Letterbox:
    """How an image was laid into the top left corner of the network's input.

    Attributes:
        width: Of the image in its own pixels.
        height: Likewise.
        scale_x: Input pixels per image pixel.
        scale_y: Likewise.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float

    def to_photo(self, boxes: np.ndarray) -> np.ndarray:
        """Map (N, 4) xyxy in input pixels to image pixels, clipped to the image."""
        return clip(boxes / np.array([self.scale_x, self.scale_y] * 2, boxes.dtype), self.width, self.height)

    def points_to_photo(self, points: np.ndarray) -> np.ndarray:
        """Map (..., 2) x, y in input pixels to image pixels. Points may lie outside, as a chin that is cut off."""
        return np.asarray(points / np.array([self.scale_x, self.scale_y], points.dtype))


def letterbox_shape(
    width: int, height: int, size: int, stretch: float = 1.0, multiple: int = 32
) -> tuple[int, int, int, int]:
    """Return the smallest input for an image whose long side is scaled to `size`.

    Args:
        width: Of the image.
        height: Of the image.
        size: Length of the input's long side.
        stretch: The short side may be scaled up to this many times as much as the long one, as far as it stays the
            shorter one. A network trained with aspect-ratio jitter sees more of an image this way.
        multiple: Sides of the input are multiples of it.

    Returns:
        (rows, columns) of the scaled image and of the input around it, the latter rounded up to `multiple`.
    """
    scale = size / max(width, height)
    more = min(stretch, max(width, height) / min(width, height))
    tall = height < width
    rows = max(1, round(height * scale * (more if tall else 1)))
    columns = max(1, round(width * scale * (1 if tall else more)))
    return rows, columns, -(-rows // multiple) * multiple, -(-columns // multiple) * multiple


def letterbox(
    pixels: np.ndarray, width: int, height: int, size: int, pad: int, stretch: float = 1.0
) -> tuple[np.ndarray, Letterbox]:
    """Scale an image into the top left of an input that is filled up with gray.

    Args:
        pixels: (h, w, 3) uint8, possibly decoded at a reduced size.
        width: Of the full image; boxes are reported in its pixels.
        height: Likewise.
        size: Length of the input's long side, a multiple of 32.
        pad: Gray value of what the image does not cover.
        stretch: See `letterbox_shape`.

    Returns:
        The input, (rows, columns, 3) uint8 with both sides multiples of 32, and the way back.
    """
    import cv2

    rows, columns, full_rows, full_columns = letterbox_shape(width, height, size, stretch)
    shrinking = pixels.shape[0] > rows or pixels.shape[1] > columns
    scaled = pixels
    if pixels.shape[:2] != (rows, columns):
        interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        scaled = cv2.resize(pixels, (columns, rows), interpolation=interpolation)
    canvas = np.full((full_rows, full_columns, 3), pad, np.uint8)
    canvas[:rows, :columns] = scaled
    return canvas, Letterbox(width, height, columns / width, rows / height)
