"""The geometry of the grid detector, in NumPy: letterboxing, the cells of every scale, and decoding their boxes.

For each stride s the input is covered by a grid of (H/s) x (W/s) cells, rounded up, with k anchor boxes each. The rows
of a prediction run over the strides, then over the cells line by line, then over the k anchors of a cell; the columns
are `(p_c, t_x, t_y, t_h, t_w, c_1 ... c_p)`, all as the network gives them (logits and offsets).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vision_app.boxes import clip

P_C, T_X, T_Y, T_H, T_W, FIRST_CLASS = range(6)


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


@dataclass(frozen=True)
class Grid:
    """All anchors of one input size. N = sum over strides of ceil(H/s) ceil(W/s) k.

    Attributes:
        cells: (N, 2) column and row of each anchor's cell.
        strides: (N, 1) pixels per cell.
        anchors: (N, 2) width and height of each anchor in pixels.
    """

    cells: np.ndarray
    strides: np.ndarray
    anchors: np.ndarray

    def decode(self, offsets: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(N, 4) offsets `(t_x, t_y, t_h, t_w)` of the given rows -> (N, 4) boxes, xyxy in input pixels.

        b_x = (column + t_x) s, b_y = (row + t_y) s, b_w = a_w exp(t_w), b_h = a_h exp(t_h): sizes as in YOLOv2
        (Redmon and Farhadi, 2017), centers linear as in YOLOX (Ge et al., 2021).
        """
        center = (self.cells[rows] + offsets[:, :2]) * self.strides[rows]
        half = self.anchors[rows] * np.exp(np.minimum(offsets[:, 3:1:-1], 10.0)) / 2
        return np.concatenate([center - half, center + half], axis=1)


ScaleAnchors = tuple[tuple[float, float], ...]
Anchors = tuple[ScaleAnchors, ...]


@lru_cache(maxsize=64)
def make_grid(height: int, width: int, strides: tuple[int, ...], anchors: Anchors) -> Grid:
    """The grid of an input of height x width pixels.

    Args:
        strides: one per scale.
        anchors: for every scale its k anchors as (width, height) in pixels.
    """
    cells, steps, sizes = [], [], []
    for stride, scale_anchors in zip(strides, anchors, strict=True):
        k, rows, columns = len(scale_anchors), -(-height // stride), -(-width // stride)
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.stack([x, y], axis=-1).reshape(-1, 2).repeat(k, axis=0))
        steps.append(np.full((rows * columns * k, 1), stride))
        sizes.append(np.tile(np.asarray(scale_anchors), (rows * columns, 1)))
    return Grid(*(np.concatenate(part).astype(np.float32) for part in (cells, steps, sizes)))
