"""Distances, miners and the loss, held to plain loops in double precision and to pytorch-metric-learning."""

import math
from itertools import product

import pytest
import torch
from pytorch_metric_learning import distances as published_distances
from pytorch_metric_learning import losses as published_losses
from pytorch_metric_learning import miners as published_miners
from pytorch_metric_learning.reducers import MeanReducer

from vision_app.faces.train.triplets import (
    DISTANCES,
    MINERS,
    UNKNOWN,
    batch_hard,
    euclidean,
    squared_euclidean,
    triplet_loss,
)
from vision_app.training.checks import GRADIENT_BOUND, gradient_errors

MARGIN = 0.3
LABELS = torch.tensor([0, 1, 0, 2, UNKNOWN, 1, 0, 3, UNKNOWN, 2])  # 3 has one photo


def embeddings(count=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=generator, dtype=torch.float64))


def distance(a, b, name):
    """Of two vectors, by the definition."""
    squared = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return squared if name == "squared" else math.sqrt(squared)


def loop(vectors, labels, name, miner):
    """All triplets of a miner and their mean loss, one after the other."""
    count = len(labels)
    d = [[distance(a, b, name) for b in vectors] for a in vectors]
    found = []
    for a in range(count):
        positives = [p for p in range(count) if p != a and labels[p] == labels[a] != UNKNOWN]
        negatives = [n for n in range(count) if UNKNOWN not in (labels[a], labels[n]) and labels[n] != labels[a]]
        if miner == "batch-hard" and positives and negatives:
            positives = [max(positives, key=d[a].__getitem__)]
            negatives = [min(negatives, key=d[a].__getitem__)]
        for p, n in product(positives, negatives):
            if miner != "semi-hard" or d[a][p] < d[a][n] <= d[a][p] + MARGIN:
                found.append((a, p, n))
    losses = [max(d[a][p] - d[a][n] + MARGIN, 0) for a, p, n in found]
    return set(found), sum(losses) / len(losses)


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize("seed", range(3))
def test_triplets_and_loss_are_those_of_a_plain_loop(name, miner, seed):
    vectors = embeddings(seed=seed)
    distances = DISTANCES[name](vectors)
    mined = MINERS[miner](distances, LABELS, MARGIN)
    triplets, loss = loop(vectors.tolist(), LABELS.tolist(), name, miner)
    assert len(mined[0]) == len(triplets) > 0
    assert set(zip(*(part.tolist() for part in mined), strict=True)) == triplets
    assert triplet_loss(distances, mined, MARGIN).item() == pytest.approx(loss, abs=1e-12)


PUBLISHED = {
    "batch-hard": published_miners.BatchHardMiner(),
    "semi-hard": published_miners.TripletMarginMiner(margin=MARGIN, type_of_triplets="semihard"),
    "batch-all": None,
}


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("miner", MINERS)
def test_loss_and_gradient_are_those_of_pytorch_metric_learning(name, miner):
    known = LABELS != UNKNOWN  # it has no word for people whom nobody knows
    vectors, labels = embeddings()[known], LABELS[known]
    metric = published_distances.LpDistance(p=2, power=2 if name == "squared" else 1, normalize_embeddings=False)
    if PUBLISHED[miner]:
        PUBLISHED[miner].distance = metric
    loss = published_losses.TripletMarginLoss(margin=MARGIN, distance=metric, reducer=MeanReducer())
    mine, theirs = vectors.clone().requires_grad_(), vectors.clone().requires_grad_()
    distances = DISTANCES[name](mine / mine.norm(dim=1, keepdim=True))
    ours = triplet_loss(distances, MINERS[miner](distances.detach(), labels, MARGIN), MARGIN)
    triplets = PUBLISHED[miner](vectors, labels) if PUBLISHED[miner] else None
    expected = loss(theirs / theirs.norm(dim=1, keepdim=True), labels, triplets)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-9)
    ours.backward()
    expected.backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("miner", MINERS)
def test_the_gradient_is_that_of_finite_differences(name, miner):
    def loss(vectors):
        distances = DISTANCES[name](vectors / vectors.norm(dim=1, keepdim=True))
        return triplet_loss(distances, MINERS[miner](distances.detach(), LABELS, MARGIN), MARGIN)

    (error,) = gradient_errors(loss, [embeddings()])
    assert error < GRADIENT_BOUND


@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [UNKNOWN] * 3, [0, 0, UNKNOWN], [0]])
def test_without_a_triplet_the_loss_is_zero_and_so_is_its_gradient(miner, labels):
    vectors = embeddings(len(labels)).requires_grad_()
    distances = squared_euclidean(vectors)
    loss = triplet_loss(distances, MINERS[miner](distances.detach(), torch.tensor(labels), MARGIN), MARGIN)
    loss.backward()
    assert loss.item() == 0 and vectors.grad.abs().sum() == 0


def test_equal_faces_have_a_finite_gradient():
    vectors = embeddings(2).repeat(2, 1).requires_grad_()  # 0 and 2 are equal, and so are 1 and 3
    distances = euclidean(vectors)
    assert distances[0, 2].item() < 1e-5
    triplet_loss(distances, batch_hard(distances.detach(), torch.tensor([0, 1, 0, 1]), 2.0), 2.0).backward()
    assert torch.isfinite(vectors.grad).all() and vectors.grad.abs().sum() > 0


def test_semi_hard_negatives_are_beyond_the_positive_and_within_the_margin():
    angles = torch.tensor([0.0, 0.5, 0.3, 0.6, 2.0])  # of an anchor, its positive and three others on a circle
    vectors = torch.stack([angles.cos(), angles.sin()], dim=1)
    mined = MINERS["semi-hard"](euclidean(vectors), torch.tensor([0, 0, 1, 2, 3]), 0.2)
    from_anchor = [n for a, p, n in zip(*(part.tolist() for part in mined), strict=True) if (a, p) == (0, 1)]
    assert from_anchor == [3]  # 2 is nearer than the positive, 4 is far away
