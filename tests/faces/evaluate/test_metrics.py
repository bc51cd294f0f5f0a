"""Metrics of pairs, held to scikit-learn and to plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, sem
from sklearn.metrics import roc_auc_score, roc_curve

from vision_app.core.errors import DataError
from vision_app.faces.evaluate.metrics import Share, auc, best_threshold, eer, fold_accuracy, roc, tar_at

PAIRS = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40).filter(
    lambda pairs: len({same for _, same in pairs}) == 2
)


def arrays(pairs):
    similarity, same = zip(*pairs, strict=True)
    return np.array(similarity) / 5, np.array(same)


@settings(max_examples=25)
@given(PAIRS)
def test_roc_and_auc_are_those_of_scikit_learn(pairs):
    similarity, same = arrays(pairs)
    far, tar, thresholds = roc_curve(same, similarity, drop_intermediate=False)
    curve = roc(similarity, same)
    np.testing.assert_allclose(curve.far, far)
    np.testing.assert_allclose(curve.tar, tar)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert auc(curve) == pytest.approx(roc_auc_score(same, similarity))


@settings(max_examples=50)
@given(PAIRS, st.sampled_from([0.01, 0.1, 0.3, 0.5, 1]))
def test_the_true_accept_rate_is_the_best_that_a_plain_loop_finds(pairs, far):
    similarity, same = arrays(pairs)
    best = max(
        np.mean(similarity[same] >= threshold)
        for threshold in (*similarity, math.inf)
        if np.mean(similarity[~same] >= threshold) <= far
    )
    share, threshold = tar_at(roc(similarity, same), far)
    assert share.rate == best == np.mean(similarity[same] >= threshold)
    assert np.mean(similarity[~same] >= threshold) <= far


@settings(max_examples=50)
@given(PAIRS)
def test_the_best_threshold_is_right_for_as_many_pairs_as_any(pairs):
    similarity, same = arrays(pairs)
    right = [np.sum((similarity >= threshold) == same) for threshold in (*similarity, math.inf)]
    assert np.sum((similarity >= best_threshold(similarity, same)) == same) == max(right)


def test_the_equal_error_rate_is_where_both_errors_meet():
    genuine, impostor = np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.6, 0.3, 0.1, 0.0])
    similarity, same = np.concatenate([genuine, impostor]), np.arange(8) < 4
    assert eer(roc(similarity, same)) == 0.25  # at 0.6, one of four is accepted, one of four rejected
    assert eer(roc(np.array([1.0, 0.0]), np.array([True, False]))) == 0
    assert eer(roc(np.array([0.0, 1.0]), np.array([True, False]))) == 1
    assert eer(roc(np.zeros(10), np.arange(10) < 3)) == 0.5  # nothing is known: on the line from (0, 0) to (1, 1)


def test_the_equal_error_rate_of_two_bell_curves():
    rng = np.random.default_rng(0)
    similarity = np.concatenate([rng.normal(1, 1, 200_000), rng.normal(-1, 1, 200_000)])
    assert eer(roc(similarity, np.arange(400_000) < 200_000)) == pytest.approx(0.5 * math.erfc(1 / 2**0.5), abs=2e-3)


def test_a_pair_without_a_face_is_an_error_and_never_helps():
    similarity = np.array([0.9, 0.8, np.nan, 0.7, 0.1, np.nan])
    same = np.array([True, True, True, False, False, False])
    curve = roc(similarity, same)
    assert (curve.genuine, curve.impostor) == (3, 2)
    assert tar_at(curve, 0)[0] == Share(2, 3)
    assert curve.tar[-1] == 2 / 3 and curve.far[-1] == 1
    assert auc(curve) == pytest.approx(2 / 3)
    found = fold_accuracy(np.tile(similarity, 2), np.tile(same, 2), np.repeat([[0, 0], [1, 1]], 6, axis=0))
    assert found.accuracies.tolist() == [4 / 6, 4 / 6]


def test_without_pairs_of_one_kind_the_figures_are_nan():
    for same in (True, False):
        curve = roc(np.array([0.1, 0.5]), np.array([same, same]))
        assert math.isnan(auc(curve)) and math.isnan(eer(curve)) and not curve.supports(0.5)


def test_a_rate_is_reported_only_where_it_allows_two_false_accepts():
    curve = roc(np.linspace(0, 1, 272), np.arange(272) >= 270)
    assert [curve.supports(far) for far in (0.1, 0.01, 2 / 270, 0.007, 0.001)] == [True, True, True, False, False]


def test_the_threshold_of_a_fold_comes_from_the_others():
    # Fold 0's own best threshold is 0.8, all the others' is 0.4.
    rng = np.random.default_rng(1)
    similarity, same, folds = [], [], []
    for fold in range(10):
        border = 0.8 if fold == 0 else 0.4
        for i in range(20):
            same.append(i % 2 == 0)
            similarity.append(border + (1 if same[-1] else -1) * rng.uniform(0.01, 0.2))
            folds.append((fold, fold))
    found = fold_accuracy(np.array(similarity), np.array(same), np.array(folds))
    assert found.accuracies[0] < 0.8 and (found.accuracies[2:] > 0.9).all()
    assert found.mean == pytest.approx(found.accuracies.mean())
    assert found.standard_error == pytest.approx(sem(found.accuracies))
    assert found.thresholds[0] == pytest.approx(0.4, abs=0.05)


def test_nobody_in_a_fold_helps_to_choose_its_threshold():
    # In the only pair of folds 0 and 1, an impostor of similarity 0.9 would raise the threshold over 0.6.
    similarity = np.array([0.6, 0.9, 0.7, 0.1, 0.8, 0.0])
    same = np.array([True, False, True, False, True, False])
    folds = np.array([[0, 0], [1, 0], [1, 1], [1, 1], [2, 2], [2, 2]])
    found = fold_accuracy(similarity, same, folds)
    assert found.thresholds[0] == pytest.approx(0.4) and found.accuracies[0] == 1


def test_a_large_fold_weighs_more_than_a_small_one():
    similarity, same = np.array([0.9, 0.1, 0.8, 0.7, 0.6, 0.2]), np.array([True, False, True, True, False, False])
    found = fold_accuracy(similarity, same, np.repeat([[0, 0], [1, 1]], [2, 4], axis=0))
    assert found.accuracies.tolist() == [1, 0.75] and found.mean == 5 / 6


def test_a_single_fold_is_refused():
    with pytest.raises(DataError, match="one fold"):
        fold_accuracy(np.array([0.9, 0.1]), np.array([True, False]), np.zeros((2, 2)))


@pytest.mark.parametrize(("count", "total"), [(0, 10), (10, 10), (3, 17), (27, 2_700), (1, 1_300_000)])
def test_the_interval_is_wilsons(count, total):
    expected = binomtest(count, total).proportion_ci(method="wilson")
    assert Share(count, total).interval == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_share_of_nothing_is_nan():
    assert math.isnan(Share(0, 0).rate) and Share(0, 0).interval == (0, 1)
