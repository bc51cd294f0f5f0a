"""Weighted boxes fusion: several answers about one picture joined into one. NumPy only."""

from collections.abc import Sequence

import numpy as np


def fuse(
    boxes: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    weights: Sequence[float] | None = None,
    iou_threshold: float = 0.55,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joins the boxes of several sources by weighted boxes fusion (Solovyev, Wang and Gabruseva, 2021).

    Best first, each box goes to the cluster of its class that it overlaps most, or starts one where no overlap exceeds
    the threshold. A cluster's place is the mean of its T boxes weighted by their scores, and moves with each new box;
    non-max suppression would keep the best box and throw away what the others know. The fused score is the mean score
    times min(T, N) / N for N sources (equation 5 there; their equation 6 is without the minimum): a box that only one
    of several sources finds is doubtful. With weights w_i a score counts w_i times, and N is their sum in the
    divisor, as in the authors' own code.

    Args:
        boxes: of each source (n_i, 4) xyxy.
        scores: of each source (n_i,) probabilities; boxes of score 0 are left out.
        labels: of each source (n_i,) integers.
        weights: of each source, above 0; all 1 by default.
        iou_threshold: overlap above which a box joins a cluster.

    Returns:
        (K, 4) float32 boxes, (K,) float32 scores, 0 to 1, and (K,) int64 labels, best first; of equal scores the one
        whose best box came first.
    """
    weights = np.ones(len(boxes)) if weights is None else np.asarray(weights, float)
    weight = np.repeat(weights, [len(part) for part in boxes])
    boxes, labels = np.concatenate(boxes).astype(np.float64), np.concatenate(labels).astype(np.int64)
    scores = np.concatenate(scores).astype(np.float64) * weight
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > 0]
    boxes, scores, labels = boxes[order], scores[order], labels[order]
    leader = np.empty(len(boxes), np.int64)  # the best box of each box's cluster
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        leader[own] = own[_leaders(boxes[own], scores[own], iou_threshold)]
    leaders, cluster = np.unique(leader, return_inverse=True)
    size, total = np.bincount(cluster), np.bincount(cluster, scores)
    fused = np.stack([np.bincount(cluster, scores * side) for side in boxes.T], axis=1) / total[:, None]
    # Σs / T · min(T, N) / Σw; rounding may carry the mean of ones past 1.
    fused_scores = np.minimum(total / size * np.minimum(size, len(weights)) / weights.sum(), 1)
    best = np.argsort(-fused_scores, kind="stable")
    return fused[best].astype(np.float32), fused_scores[best].astype(np.float32), labels[leaders][best]


def _leaders(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """(n,) index of the best box of the cluster that each box of one class goes to.

    Each box meets the few clusters that there are when its turn comes: plain Python is faster here than NumPy.

    Args:
        boxes: (n, 4), best first.
        scores: (n,) above 0.
    """
    means, sums, leaders, place = [], [], [], []
    for i, (box, score) in enumerate(zip(boxes.tolist(), scores.tolist(), strict=True)):
        best, highest = len(means), iou_threshold
        for j, mean in enumerate(means):
            if (overlap := _iou(box, mean)) > highest:
                best, highest = j, overlap
        if best == len(means):
            leaders.append(i)
            sums.append([0.0] * 5)
            means.append(box)
        sums[best] = [a + score * b for a, b in zip(sums[best], (*box, 1.0), strict=True)]
        means[best] = [a / sums[best][4] for a in sums[best][:4]]
        place.append(best)
    return np.array(leaders)[place]


def _iou(a: list[float], b: list[float]) -> float:
    """`boxes.iou_matrix` for two boxes."""
    ax1, ay1, ax2, ay2 = a
    bx1, by1, bx2, by2 = b
    width = (ax2 if ax2 < bx2 else bx2) - (ax1 if ax1 > bx1 else bx1)
    height = (ay2 if ay2 < by2 else by2) - (ay1 if ay1 > by1 else by1)
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    return intersection / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - intersection)
