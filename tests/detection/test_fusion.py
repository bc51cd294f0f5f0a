"""Weighted boxes fusion against the algorithm written out, and what must hold of any fusion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_app.core.boxes import iou_matrix
from vision_app.detection.ensemble import fuse


def by_definition(boxes, scores, labels, weights, threshold):
    """Section 3 of the paper, step by step: lists of clusters, their means worked out anew after each box."""
    found = [
        (score * weight, label, box)
        for weight, *source in zip(weights, boxes, scores, labels, strict=True)
        for box, score, label in zip(*source, strict=True)
    ]
    clusters = []
    for score, label, box in sorted(found, key=lambda one: -one[0]):
        means = [np.average([b for _, _, b in c], axis=0, weights=[s for s, _, _ in c]) for c in clusters]
        overlaps = [
            iou_matrix(box[None], mean[None])[0, 0] * (cluster[0][1] == label)
            for mean, cluster in zip(means, clusters, strict=True)
        ]
        if overlaps and max(overlaps) > threshold:
            clusters[int(np.argmax(overlaps))].append((score, label, box))
        else:
            clusters.append([(score, label, box)])
    fused = []
    for cluster in clusters:
        cluster_scores, cluster_labels, cluster_boxes = zip(*cluster, strict=True)
        score = np.mean(cluster_scores) * min(len(cluster), len(weights)) / sum(weights)
        fused.append((score, cluster_labels[0], np.average(cluster_boxes, axis=0, weights=cluster_scores)))
    fused.sort(key=lambda one: -one[0])
    scores, labels, boxes = zip(*fused, strict=True)
    return np.stack(boxes), np.array(scores), np.array(labels)


def answers(seed: int, sources: int, objects: int, classes: int):
    """What several detectors could say of one picture: each object some times, here and there, with any score."""
    rng = np.random.default_rng(seed)
    centers, sizes = rng.uniform(20, 380, (objects, 2)), rng.uniform(10, 120, (objects, 2))
    kinds = rng.integers(0, classes, objects)
    boxes, scores, labels = [], [], []
    for _ in range(sources):
        which = rng.integers(0, objects, rng.integers(1, 3 * objects))
        center = centers[which] + rng.normal(0, 6, (len(which), 2))
        half = sizes[which] * rng.uniform(0.8, 1.2, (len(which), 2)) / 2
        boxes.append(np.concatenate([center - half, center + half], axis=1))
        scores.append(rng.uniform(0.01, 1, len(which)))
        labels.append(kinds[which])
    return boxes, scores, labels


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_algorithm_written_out(seed):
    sources = 1 + seed % 5
    weights = np.random.default_rng(seed).uniform(0.5, 3, sources).tolist() if seed % 2 else None
    given_answers = answers(seed, sources, objects=1 + 2 * seed, classes=1 + seed % 3)
    boxes, scores, labels = fuse(*given_answers, weights=weights, iou_threshold=0.5)
    expected = by_definition(*given_answers, weights or [1.0] * sources, 0.5)
    np.testing.assert_allclose(boxes, expected[0], rtol=1e-4)
    np.testing.assert_allclose(scores, expected[1], rtol=1e-5)
    np.testing.assert_array_equal(labels, expected[2])


def test_two_sources_by_hand():
    """The box that both find moves to where the surer one has it; what one alone finds loses half its score."""
    one = np.array([[0, 0, 100, 100], [200, 0, 240, 40]])
    two = np.array([[0, 0, 100, 80], [0, 0, 100, 90]])
    boxes, scores, labels = fuse([one, two], [[0.9, 0.5], [0.3, 0.6]], [[0, 1], [0, 2]])
    np.testing.assert_allclose(boxes, [[0, 0, 100, 95], [0, 0, 100, 90], [200, 0, 240, 40]])
    np.testing.assert_allclose(scores, [0.6, 0.3, 0.25])
    assert labels.tolist() == [0, 2, 1]


def test_a_source_of_twice_the_weight_counts_like_two():
    boxes, scores, labels = answers(3, 2, 1, 1)
    boxes, scores, labels = ([part[:1] for part in parts] for parts in (boxes, scores, labels))
    weighted = fuse(boxes, scores, labels, weights=[2, 1], iou_threshold=0)
    twice = fuse([boxes[0], *boxes], [scores[0], *scores], [labels[0], *labels], iou_threshold=0)
    np.testing.assert_allclose(weighted[0], twice[0], rtol=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 12), st.floats(0, 1))
def test_what_holds_of_any_fusion(seed, sources, objects, threshold):
    given_answers = answers(seed, sources, objects, 3)
    boxes, scores, labels = fuse(*given_answers, iou_threshold=threshold)
    every, every_score, every_label = map(np.concatenate, given_answers)
    assert len(boxes) == len(scores) == len(labels) <= len(every)
    assert set(labels.tolist()) == set(every_label.tolist())
    assert (np.diff(scores) <= 0).all() and scores.min() > 0 and scores.max() <= every_score.max() + 1e-6
    for label in set(labels.tolist()):  # a mean lies within what it is the mean of
        mine, theirs = boxes[labels == label], every[every_label == label]
        assert (mine >= theirs.min(axis=0) - 1e-3).all() and (mine <= theirs.max(axis=0) + 1e-3).all()


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_sources_that_agree_are_left_as_they_are(seed, copies):
    (boxes,), (scores,), (labels,) = answers(seed, 1, 6, 2)
    best = [np.flatnonzero(labels == label)[0] for label in set(labels.tolist())]  # one box a class
    boxes, scores, labels = boxes[best], scores[best], labels[best]
    order = np.argsort(-scores)
    fused = fuse([boxes] * copies, [scores] * copies, [labels] * copies)
    np.testing.assert_allclose(fused[0], boxes[order], rtol=1e-5)
    np.testing.assert_allclose(fused[1], scores[order], rtol=1e-5)
    np.testing.assert_array_equal(fused[2], labels[order])


def test_nothing_found_and_scores_of_zero():
    nothing = np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)
    assert [len(part) for part in fuse(*zip(nothing, nothing, strict=True))] == [0, 0, 0]
    box = np.array([[1.0, 2, 3, 4]])
    boxes, scores, labels = fuse([box, box], [[0.0], [0.8]], [[0], [1]])
    assert (boxes.tolist(), labels.tolist()) == (box.tolist(), [1])
    assert scores.tolist() == pytest.approx([0.4])
