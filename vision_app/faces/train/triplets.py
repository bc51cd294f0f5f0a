"""Triplet learning in three parts that combine freely: a distance, a miner and the loss.

A triplet is an anchor, a positive (another face of the same person) and a negative (a face of someone else). Needs
torch.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

UNKNOWN = -1  # label of a face whose person is unknown: it is in no triplet
SMALLEST = 1e-12  # squared distance below which the root is constant; its slope has no limit at 0

Triplets = tuple[Tensor, Tensor, Tensor]  # (T,) indices of anchors, positives and negatives in the batch


def squared_euclidean(embeddings: Tensor) -> Tensor:
    """Return (N, N) squared distances of (N, D) unit vectors, |a - b|^2 = 2 - 2 a.b, which lie in 0..4."""
    return (2 - 2 * embeddings @ embeddings.T).clamp(min=0)


def euclidean(embeddings: Tensor) -> Tensor:
    """Return (N, N) distances of (N, D) unit vectors, which lie in 0..2."""
    return squared_euclidean(embeddings).clamp(min=SMALLEST).sqrt()


def batch_hard(distances: Tensor, labels: Tensor, margin: float) -> Triplets:
    """Return for each anchor its furthest positive and nearest negative (Hermans et al., 2017, equation 5).

    Args:
        distances: (N, N) of all faces of a batch.
        labels: (N,) people, `UNKNOWN` where they are unknown.
        margin: Of the loss; not needed here.
    """
    same, different = _pairs(labels)
    anchors = (same.any(dim=1) & different.any(dim=1)).nonzero()[:, 0]
    furthest = distances.masked_fill(~same, -torch.inf).argmax(dim=1)
    nearest = distances.masked_fill(~different, torch.inf).argmin(dim=1)
    return anchors, furthest[anchors], nearest[anchors]


def semi_hard(distances: Tensor, labels: Tensor, margin: float) -> Triplets:
    """Return all triplets whose negative is further than the positive, but by no more than the margin.

    Their loss is not zero yet, and they cannot pull all faces into one point, as the hardest may early on (Schroff et
    al., 2015, equation 4). Arguments are those of `batch_hard`.
    """
    same, different = _pairs(labels)
    anchors, positives = same.nonzero(as_tuple=True)
    beyond = distances[anchors] - distances[anchors, positives, None]  # (pairs, N)
    pairs, negatives = (different[anchors] & (beyond > 0) & (beyond <= margin)).nonzero(as_tuple=True)
    return anchors[pairs], positives[pairs], negatives


def batch_all(distances: Tensor, labels: Tensor, margin: float) -> Triplets:
    """Return all triplets, most of which soon have no loss (Hermans et al., 2017); see `batch_hard`."""
    same, different = _pairs(labels)
    anchors, positives = same.nonzero(as_tuple=True)
    pairs, negatives = different[anchors].nonzero(as_tuple=True)
    return anchors[pairs], positives[pairs], negatives


DISTANCES: dict[str, Callable[[Tensor], Tensor]] = {"squared": squared_euclidean, "euclidean": euclidean}
MINERS: dict[str, Callable[[Tensor, Tensor, float], Triplets]] = {
    "batch-hard": batch_hard,
    "semi-hard": semi_hard,
    "batch-all": batch_all,
}


def triplet_loss(distances: Tensor, triplets: Triplets, margin: float) -> Tensor:
    """Return the mean over triplets of max(d(A, P) - d(A, N) + margin, 0) (Schroff et al., 2015, equation 3).

    Args:
        distances: (N, N) with gradients.
        triplets: As a miner returned them.
        margin: By which a negative must be further away.

    Returns:
        A scalar; without a triplet 0, whose gradient is 0 as well.
    """
    anchors, positives, negatives = triplets
    if not len(anchors):
        return 0 * distances.sum()
    return F.relu(distances[anchors, positives] - distances[anchors, negatives] + margin).mean()


def _pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return (N, N) which pairs of faces are two of one person, and which are of two known people."""
    known = labels != UNKNOWN
    equal, both = labels[:, None] == labels, known[:, None] & known
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return equal & both & ~itself, ~equal & both
