"""Boxes as plain arrays: areas, IoU, clipping and non-max suppression.

A box is x1, y1, x2, y2 in continuous pixel coordinates, a set of boxes an (N, 4) array. Width is x2 - x1, without
the "+ 1" of integer conventions. Functions return new arrays and keep a floating dtype.
"""

import numpy as np

_BLOCK = 128  # so many boxes are compared with each other at once: NumPy's calls cost more than its arithmetic


def area(boxes: np.ndarray) -> np.ndarray:
    """Return the (N,) areas of (N, 4) boxes; a box with x2 < x1 or y2 < y1 is empty and has area 0."""
    x1, y1, x2, y2 = boxes.T
    areas: np.ndarray = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    return areas


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return intersection over union (Jaccard index) of every pair, 0 to 1; a pair of empty boxes has 0.

    Args:
        a: (N, 4) boxes.
        b: (M, 4) boxes.

    Returns:
        (N, M) overlaps.
    """
    ax1, ay1, ax2, ay2 = a.T[:, :, None]  # each (N, 1)
    bx1, by1, bx2, by2 = b.T[:, None, :]  # each (1, M)
    width = np.minimum(ax2, bx2) - np.maximum(ax1, bx1)  # (N, M), negative where the boxes are apart
    height = np.minimum(ay2, by2) - np.maximum(ay1, by1)  # (N, M)
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    union = area(a)[:, None] + area(b)[None, :] - intersection
    overlaps: np.ndarray = intersection / np.maximum(union, 1e-30)  # two empty boxes: 0, not 0 / 0
    return overlaps


def xyxy_to_xywh(boxes: np.ndarray) -> np.ndarray:
    """Turn (N, 4) x1, y1, x2, y2 into x1, y1, width, height (the convention of COCO files)."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def clip(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """Move the corners of (N, 4) boxes that lie outside an image of this size onto its border."""
    return boxes.clip(0, np.array([width, height, width, height], dtype=boxes.dtype))


def nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    score_threshold: float = 0.6,
    iou_threshold: float = 0.5,
    max_detections: int = 100,
    agnostic: bool = False,
) -> np.ndarray:
    """Choose boxes by greedy non-max suppression.

    Drop every box whose score is below `score_threshold`. Then, until none is left: keep the box with the highest
    score (of equals the one with the lower index) and discard each box that overlaps it with an IoU of
    `iou_threshold` or more. Work is bounded by counts alone, never by time, so the answer is always the same.

    Args:
        boxes: (N, 4) boxes.
        scores: (N,) probabilities.
        labels: (N,) integers; boxes of different labels do not discard each other. None: all have one label.
        score_threshold: Lowest score to consider.
        iou_threshold: Overlap from which on the weaker box is discarded.
        max_detections: Keep no more than this many, the best ones.
        agnostic: Ignore the labels.

    Returns:
        (K,) int64 indices into `boxes`, best first, K <= max_detections.
    """
    labels = np.zeros(len(boxes), int) if labels is None or agnostic else np.asarray(labels)

    def discards(some: np.ndarray, others: np.ndarray) -> np.ndarray:
        overlap, same = iou_matrix(boxes[some], boxes[others]) >= iou_threshold, labels[some, None] == labels[others]
        discarded: np.ndarray = overlap & same
        return discarded

    candidates = np.flatnonzero(scores >= score_threshold)
    waiting = candidates[np.argsort(-scores[candidates], kind="stable")]
    kept: list[int] = []
    while len(waiting) and len(kept) < max_detections:
        block, waiting = waiting[:_BLOCK], waiting[_BLOCK:]
        discarded, lives = discards(block, block), np.ones(len(block), bool)
        for i in range(len(block)):
            if lives[i]:
                lives[i + 1 :] &= ~discarded[i, i + 1 :]
        kept.extend(block[lives])
        if len(waiting):
            waiting = waiting[~discards(block[lives], waiting).any(axis=0)]
    return np.array(kept[:max_detections], dtype=np.int64)
