"""The letterbox: how a photo is scaled into a network's input, and how boxes find their way back. NumPy and OpenCV."""

from dataclasses import dataclass

import numpy as np

from vision_app.core.boxes import clip

PAD = 114  # gray value around photos, where a model does not say otherwise


@dataclass(frozen=True)
class Letterbox:
    """How a photo was laid into the top left corner of the network's input.

    Attributes:
        width, height: the photo's size in its own pixels.
        scale_x, scale_y: input pixels per photo pixel.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float

    def to_photo(self, boxes: np.ndarray) -> np.ndarray:
        """(N, 4) xyxy in input pixels -> xyxy in photo pixels, clipped to the photo."""
        return clip(boxes / np.array([self.scale_x, self.scale_y] * 2, boxes.dtype), self.width, self.height)

    def points_to_photo(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) x, y in input pixels -> photo pixels. Points may lie beside the photo, as a cut off chin does."""
        return points / np.array([self.scale_x, self.scale_y], points.dtype)


def letterbox_shape(
    width: int, height: int, size: int, stretch: float = 1.0, multiple: int = 32
) -> tuple[int, int, int, int]:
    """The smallest input that holds a photo whose long side is scaled to `size`.

    Args:
        stretch: the short side may be scaled up to this many times as much as the long one, as far as it stays the
            shorter one. A network that learned from stretched photos sees more of them this way.

    Returns:
        (rows, columns) of the scaled photo and of the input around it, the latter rounded up to `multiple`.
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
    """Scales a picture into the top left of an input that is filled up with gray.

    Args:
        pixels: (h, w, 3) uint8, possibly decoded at a reduced size.
        width, height: the size of the photo that `pixels` shows; boxes are reported in it.
        size: length of the input's long side, a multiple of 32.
        pad: gray value of what the photo does not cover.
        stretch: see `letterbox_shape`.

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
