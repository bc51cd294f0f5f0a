"""The geometry of the grid detector, in NumPy: the cells of every scale and decoding their boxes.

For each stride s the input is covered by a grid of (H/s) x (W/s) cells, rounded up, with k anchor boxes each. The rows
of a prediction run over the strides, then over the cells line by line, then over the k anchors of a cell; the columns
are `(p_c, t_x, t_y, t_h, t_w, c_1 ... c_p, l_1x, l_1y ... l_Kx, l_Ky)`, all as the network gives them (logits and
offsets), where K is the number of landmarks, which may be 0.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

P_C, T_X, T_Y, T_H, T_W, FIRST_CLASS = range(6)


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
        """Turn (N, 4) offsets `(t_x, t_y, t_h, t_w)` of the given rows into (N, 4) boxes, xyxy in input pixels.

        b_x = (column + t_x) s, b_y = (row + t_y) s, b_w = a_w exp(t_w), b_h = a_h exp(t_h): sizes as in YOLOv2
        (Redmon and Farhadi, 2017), centers linear as in YOLOX (Ge et al., 2021).
        """
        center = (self.cells[rows] + offsets[:, :2]) * self.strides[rows]
        half = self.anchors[rows] * np.exp(np.minimum(offsets[:, 3:1:-1], 10.0)) / 2
        return np.concatenate([center - half, center + half], axis=1)

    def landmarks(self, offsets: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Turn (N, 2 K) offsets `(l_1x, l_1y ...)` of the given rows into (N, K, 2) points x, y in input pixels.

        x = (column + 1/2) s + l_x a_w, y = (row + 1/2) s + l_y a_h. Relative to the anchor's size, which is about that
        of its objects: offsets are about as large for small objects as for large ones. From the cell, and not from the
        predicted box, so that an error of the box is none of the points.
        """
        centers = (self.cells[rows] + 0.5) * self.strides[rows]
        offsets = offsets.reshape(len(offsets), offsets.shape[1] // 2, 2)
        points: np.ndarray = centers[:, None] + offsets * self.anchors[rows][:, None]
        return points


ScaleAnchors = tuple[tuple[float, float], ...]
Anchors = tuple[ScaleAnchors, ...]


@lru_cache(maxsize=64)
def make_grid(height: int, width: int, strides: tuple[int, ...], anchors: Anchors) -> Grid:
    """Return the grid of an input of height x width pixels, with k anchors, (width, height) in pixels, per stride."""
    cells, steps, sizes = [], [], []
    for stride, scale_anchors in zip(strides, anchors, strict=True):
        k, rows, columns = len(scale_anchors), -(-height // stride), -(-width // stride)
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.stack([x, y], axis=-1).reshape(-1, 2).repeat(k, axis=0))
        steps.append(np.full((rows * columns * k, 1), stride))
        sizes.append(np.tile(np.asarray(scale_anchors), (rows * columns, 1)))
    return Grid(*(np.concatenate(part).astype(np.float32) for part in (cells, steps, sizes)))
