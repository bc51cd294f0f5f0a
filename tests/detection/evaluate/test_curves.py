"""Figures by confidence, against numbers worked out on paper."""

import numpy as np
import pytest
from detection_tables import by_hand, made_up, table_of

from vision_app.detection.evaluate.curves import Reliability, Sweep, precision_by_recall, precision_curves
from vision_app.detection.evaluate.matching import match

BOX, OTHER, NOTHING = (0, 0, 10, 10), (100, 100, 110, 110), (50, 50, 60, 60)

# Four objects, one of them to be ignored; right, wrong, ignored, right and wrong at once, right (a dog).
TABLE = by_hand(
    [("cat", BOX), ("cat", OTHER), ("cat", (200, 0, 210, 10), "ignored"), ("dog", BOX)],
    [
        ("cat", BOX, 0.9),
        ("cat", NOTHING, 0.8),
        ("cat", (200, 0, 210, 10), 0.75),
        ("cat", OTHER, 0.6),
        ("dog", NOTHING, 0.6),
        ("dog", BOX, 0.3),
    ],
)


def test_a_sweep_counts_what_is_kept():
    sweep = Sweep.make(TABLE, match(TABLE))
    assert sweep.thresholds.tolist() == [0.9, 0.8, 0.6, 0.3]
    assert (sweep.hits.tolist(), sweep.kept.tolist(), sweep.wanted) == ([1, 1, 2, 3], [1, 2, 4, 5], 3)
    assert sweep.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 4, 3 / 5])
    assert sweep.recall.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])
    assert sweep.f1.tolist() == pytest.approx([2 / 4, 2 / 5, 4 / 7, 6 / 8])
    assert sweep.best() == (0.3, 0.75)


def test_a_sweep_of_one_class():
    cats, dogs = (Sweep.make(TABLE, match(TABLE), label) for label in (0, 1))
    assert (cats.hits.tolist(), cats.kept.tolist(), cats.wanted) == ([1, 1, 2], [1, 2, 3], 2)
    assert cats.best() == (0.6, pytest.approx(4 / 5))
    assert (dogs.hits.tolist(), dogs.kept.tolist(), dogs.wanted) == ([0, 1], [1, 2], 1)


def test_between_its_thresholds_a_sweep_keeps_what_is_above():
    sweep = Sweep.make(TABLE, match(TABLE)).at(np.array([1.0, 0.9, 0.85, 0.7, 0.6, 0.31, 0.0]))
    assert sweep.kept.tolist() == [0, 1, 1, 2, 4, 4, 5]
    assert sweep.hits.tolist() == [0, 1, 1, 1, 2, 2, 3]
    assert (sweep.precision[0], sweep.recall[0], sweep.f1[0]) == (1, 0, 0)


def test_nothing_right_has_no_best_confidence():
    table = by_hand([("cat", BOX)], [("cat", NOTHING, 0.9)])
    assert Sweep.make(table, match(table)).best() == (0.0, 0.0)
    table = by_hand([("cat", BOX)], [])
    assert Sweep.make(table, match(table)).at(np.array([0.5])).f1.tolist() == [0]


def test_precision_by_recall_takes_the_best_precision_further_on():
    curve = precision_by_recall(np.array([True, False, True]), 4)
    # Recall 0.25 at precision 1, recall 0.5 at precision 2/3, no more.
    assert curve[:26].tolist() == [1.0] * 26
    assert curve[26:51].tolist() == pytest.approx([2 / 3] * 25)
    assert curve[51:].tolist() == [0.0] * 50
    assert precision_by_recall(np.zeros(0, bool), 2).tolist() == [0.0] * 101


def test_a_class_without_objects_has_no_curve():
    table = by_hand([("cat", BOX)], [("cat", BOX, 0.9), ("dog", BOX, 0.8)])
    curves = precision_curves(table, match(table))
    assert curves[0].tolist() == [1.0] * 101 and np.isnan(curves[1]).all()


def test_reliability_of_a_few_boxes():
    reliability = Reliability.make(TABLE, match(TABLE), bins=2)
    assert reliability.edges.tolist() == [0, 0.5, 1]
    assert reliability.counts.tolist() == [1, 4]  # the ignored one does not count
    assert reliability.confidence.tolist() == pytest.approx([0.3, (0.9 + 0.8 + 0.6 + 0.6) / 4])
    assert reliability.precision.tolist() == [1, 0.5]
    assert reliability.error == pytest.approx((1 * 0.7 + 4 * (0.725 - 0.5)) / 5)


def test_an_empty_bin_has_no_precision_and_an_edge_belongs_to_one_bin():
    table = by_hand([("cat", BOX), ("cat", OTHER)], [("cat", BOX, 1.0), ("cat", OTHER, 0.7), ("cat", NOTHING, 0.3)])
    reliability = Reliability.make(table, match(table))
    assert reliability.counts.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0, 1]
    assert np.isnan(reliability.precision[0]) and reliability.precision[[3, 7, 9]].tolist() == [0, 1, 1]
    assert reliability.error == pytest.approx((0.3 + 0.3 + 0) / 3)
    nothing = table.keep(detections=table.detections.scores > 2)
    assert Reliability.make(nothing, match(nothing)).error == 0


def test_confidences_that_are_probabilities_have_no_error_but_chance():
    generator = np.random.default_rng(0)
    scores = generator.random(3000)
    hits = generator.random(3000) < scores
    images = range(3000)
    table = by_hand(
        [("cat", BOX, image) for image, hit in zip(images, hits, strict=True) if hit],
        [("cat", BOX, score, image) for image, score in zip(images, scores.tolist(), strict=True)],
    )
    assert Reliability.make(table, match(table)).error < 0.03
    shy = by_hand([("cat", BOX)], [("cat", BOX, 0.25)])
    assert Reliability.make(shy, match(shy)).error == pytest.approx(0.75)


def test_every_figure_of_chance_boxes_lies_in_range():
    table = table_of(*made_up(5))
    sweep = Sweep.make(table, match(table)).at(np.linspace(0, 1, 11))
    for values in (sweep.precision, sweep.recall, sweep.f1):
        assert ((values >= 0) & (values <= 1)).all()
    assert (np.diff(sweep.recall) <= 0).all()
