"""Anchor boxes by k-means under IoU, as in YOLOv2 (Redmon and Farhadi, 2017, section 2)."""

import numpy as np


def shape_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the (N, K) IoU of boxes that share a center, of (N, 2) and (K, 2) widths and heights."""
    intersection: np.ndarray = np.minimum(a[:, None], b[None]).prod(axis=-1)
    iou: np.ndarray = intersection / (a.prod(axis=-1)[:, None] + b.prod(axis=-1)[None] - intersection)
    return iou


def best_possible_recall(shapes: np.ndarray, anchors: np.ndarray, threshold: float = 0.5) -> float:
    """Return the fraction of (N, 2) box shapes that some of the (K, 2) anchors matches with at least this IoU."""
    return float((shape_iou(shapes, anchors).max(axis=1) >= threshold).mean())


def kmeans_anchors(shapes: np.ndarray, k: int, seed: int = 0, iterations: int = 300) -> tuple[np.ndarray, float]:
    """Cluster box shapes with the distance 1 - IoU; a cluster's center is its mean shape.

    Args:
        shapes: (N, 2) widths and heights, N >= k, all positive.
        k: Number of anchors.
        seed: Random seed.
        iterations: Max. number of iterations.

    Returns:
        (k, 2) anchors ordered by area, and the mean over the shapes of their best IoU.

    Raises:
        ValueError: There are fewer than k shapes, or shapes that are not positive.
    """
    shapes = np.asarray(shapes, np.float64)
    if len(shapes) < k or (shapes <= 0).any():
        raise ValueError(f"k-means needs at least {k} boxes with positive width and height, got {len(shapes)}")
    generator = np.random.default_rng(seed)
    anchors = shapes[_spread_start(shapes, k, generator)]
    nearest = np.full(len(shapes), -1)
    for _ in range(iterations):
        assigned = shape_iou(shapes, anchors).argmax(axis=1)
        if (assigned == nearest).all():
            break
        nearest = assigned
        for i in np.unique(nearest):
            anchors[i] = shapes[nearest == i].mean(axis=0)
    anchors = anchors[anchors.prod(axis=1).argsort()]
    return anchors, float(shape_iou(shapes, anchors).max(axis=1).mean())


def _spread_start(shapes: np.ndarray, k: int, generator: np.random.Generator) -> list[int]:
    """Draw indices of k centers by k-means++: each next one by its squared distance to the others.

    Arthur and Vassilvitskii, 2007.
    """
    chosen = [int(generator.integers(len(shapes)))]
    while len(chosen) < k:
        distance = 1 - shape_iou(shapes, shapes[chosen]).max(axis=1)
        weight = distance.clip(min=1e-12) ** 2
        chosen.append(int(generator.choice(len(shapes), p=weight / weight.sum())))
    return chosen
