"""Thresholds found on some people and kept on others, with similarities whose distribution is known."""

import math
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from vision_app.core.errors import DataError
from vision_app.faces.calibration import Calibration, Gain
from vision_app.faces.evaluate.calibrate import calibrate, check, check_galleries, fit, measure_gains
from vision_app.faces.evaluate.pairs import Comparisons, FacePhotos, compare_all, few_of_each, second_half, some_people

pytestmark = pytest.mark.slow


def unrelated(similarity, same):
    """Pairs that have nothing to do with each other."""
    return Comparisons(similarity, same, np.arange(len(same))[:, None], np.full(len(same), ""))


def bell(impostors, genuine=1000, seed=0):
    rng = np.random.default_rng(seed)
    similarity = np.concatenate([rng.normal(0.1, 0.1, impostors), rng.normal(0.7, 0.1, genuine)])
    return unrelated(similarity, np.arange(len(similarity)) >= impostors)


def crowd(people, photos, seed=0, dimension=32, spread=0.5, common=0.0):
    """Embeddings of people who are points on a sphere, on a side of it if told so, their photos around them."""
    rng = np.random.default_rng(seed)
    centers = common + rng.normal(size=(people, 1, dimension))
    points = centers + spread * rng.normal(size=(people, photos, dimension))
    points = points.reshape(-1, dimension).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True), np.repeat([f"p{i}" for i in range(people)], photos)


@pytest.fixture(scope="module")
def calibration():
    return fit(bell(100_000), [0.003])


def test_thresholds_are_the_quantiles_of_the_impostors(calibration):
    for far in (0.5, 0.1, 0.003, 0.001):
        assert calibration.threshold(far) == pytest.approx(NormalDist(0.1, 0.1).inv_cdf(1 - far), abs=0.01)
    assert 0.003 in calibration.fars
    assert calibration.fars[-1] == 1e-4, "ten of 100,000"
    assert (calibration.impostor_pairs, calibration.genuine_pairs, calibration.people) == (100_000, 1000, 0)
    assert Calibration.from_dict(calibration.to_dict(), "x") == calibration


def test_a_threshold_is_reached_by_exactly_the_wanted_share():
    pairs = unrelated(np.concatenate([np.arange(1000) / 1000, np.full(10, 2.0)]), np.arange(1010) >= 1000)
    assert fit(pairs).threshold(0.05) == 0.95  # 0.95, 0.951 ... 0.999 are fifty of a thousand


def test_intervals_contain_the_true_threshold_and_account_for_shared_people():
    truth = NormalDist(0.1, 0.1).inv_cdf(1 - 0.01)
    held = 0
    for seed in range(10):
        (rate,) = (rate for rate in fit(bell(2000, 20, seed)).rates if rate.far == 0.01)
        held += rate.low <= truth <= rate.high
    assert held >= 8
    embeddings, names = crowd(60, 5)
    pairs = compare_all(embeddings, names, np.full(len(names), ""))
    of_people, of_pairs = fit(pairs), fit(unrelated(pairs.similarity, pairs.same))
    width = [next(r.high - r.low for r in one.rates if r.far == 0.01) for one in (of_people, of_pairs)]
    assert width[0] > 2 * width[1]
    assert of_people.people == 60


def test_the_rate_holds_on_people_who_were_not_fitted():
    embeddings, names = crowd(260, 3)
    other, no_groups = second_half(names), np.full(len(names), "")
    assert not set(names[other]) & set(names[~other])
    fitted = fit(compare_all(embeddings[~other], names[~other], no_groups[~other]), [0.01, 0.002])
    for found in check(fitted, compare_all(embeddings[other], names[other], no_groups[other]), [0.01, 0.002]):
        assert found.interval[0] <= found.far <= found.interval[1]
        assert 0.5 * found.far < found.false.rate < 2 * found.far
        assert found.true.rate > 0.9 and found.true.total == 130 * 3


def test_a_check_counts_as_a_plain_loop_does(calibration):
    pairs = bell(20_000, 500, seed=9)
    pairs.similarity[[3, 20_001]] = np.nan  # an impostor and a genuine pair without a face
    (found,) = check(calibration, pairs, [0.01])
    threshold = calibration.threshold(0.01)
    assert found.false.count == sum(s >= threshold for s in pairs.similarity[:20_000])
    assert found.false.total == 19_999 and found.true.total == 500
    assert found.true.count == sum(s >= threshold for s in pairs.similarity[20_000:])
    low, high = found.false.interval
    assert found.interval[0] <= low and found.interval[1] >= high


@pytest.mark.parametrize("shape", ["normal", "exponential", "beta"])
def test_strangers_get_a_name_no_more_often_than_asked_in_galleries_of_any_size(shape):
    rng = np.random.default_rng(3)
    draw = {
        "normal": lambda n: np.tanh(rng.normal(0.1, 0.12, n)),
        "exponential": lambda n: np.minimum(rng.exponential(0.05, n) - 0.1, 1),
        "beta": lambda n: 2 * rng.beta(63.5, 63.5, n) - 1,  # cosines of random vectors in 128 dimensions
    }[shape]
    calibration = fit(unrelated(np.append(draw(50_000), np.ones(10)), np.arange(50_010) >= 50_000))
    assert calibration.measured_people() < 10, "larger galleries follow the tail"
    for people, strangers in ((10, 40_000), (100, 20_000), (1000, 5_000)):
        threshold = calibration.identify_threshold(people)
        blocks = (draw(people * 500).reshape(500, people).max(axis=1) for _ in range(strangers // 500))
        named = np.mean([(block >= threshold).mean() for block in blocks])
        assert named < 0.0135, f"{people} people: {named}"
        assert named > (0.0015 if people == 1000 else 0.006), f"{people} people: {named}, too strict"


def test_galleries_of_people_who_were_not_fitted():
    embeddings, names = crowd(420, 2, seed=5)
    other = second_half(names)
    fitted = fit(compare_all(embeddings[~other], names[~other], names[~other]))
    embeddings[np.flatnonzero(other)[0]] = np.nan
    found = check_galleries(fitted, embeddings[other], names[other])
    assert [(one.people, one.photos) for one in found] == [(10, 1), (10, 2), (100, 1), (100, 2)]
    small, _, large, two = found
    assert large.threshold == fitted.identify_threshold(100) > small.threshold
    assert two.threshold == fitted.identify_threshold(100) + fitted.gain(2)
    assert small.false.total == pytest.approx(20 * 200 * 2, rel=0.01)
    assert small.false.rate < 0.02 and large.false.rate < 0.02


def photos_of(names):
    files = tuple(f"{i}.jpg" for i in range(len(names)))
    return FacePhotos(files, tuple(map(Path, files)), names, np.full(len(names), ""))


@pytest.mark.parametrize("spread", [0.5, 0.9])
def test_the_rate_holds_for_people_with_several_photos(spread):
    embeddings, names = crowd(150, 5, seed=1, dimension=128, spread=spread, common=1)
    found = calibrate(photos_of(names), embeddings, [0.01])
    assert [(one.people, one.photos) for one in found.galleries] == [(10, 1), (10, 2), (10, 3), (10, 5)]
    for one in found.galleries:
        assert 0.004 < one.false.rate < 0.017, f"{one.photos} photos"
    other = second_half(names)
    without = replace(found.calibration, gains=(Gain(2, 0.0),))
    assert check_galleries(without, embeddings[other], names[other])[-1].false.rate > 0.03


def test_a_gain_is_the_rise_of_the_quantile_of_strangers():
    embeddings, names = crowd(120, 3, seed=2)
    embeddings[7] = np.nan
    two, three = measure_gains(embeddings, names)
    assert (two.photos, three.photos) == (2, 3) and 0 < two.similarity < three.similarity
    to_mean, to_each = [], []
    for start in range(9, len(names), 3):  # plain loops, a person after the other
        photos, others = embeddings[start : start + 3], np.delete(embeddings, [7, *range(start, start + 3)], axis=0)
        mean = photos.mean(axis=0)
        to_mean += (others @ (mean / np.linalg.norm(mean))).tolist()
        to_each += (others @ photos.T).ravel().tolist()
    wanted = [np.quantile(to_mean, 1 - rate) - np.quantile(to_each, 1 - rate) for rate in (0.01, 0.001)]
    assert three.similarity == pytest.approx(max(wanted), abs=0.01)
    assert not list(measure_gains(embeddings[:27], names[:27])), "nine people are too few"


@pytest.mark.parametrize(
    ("impostors", "genuine", "far", "problem"),
    [
        (9_999, 50, 0.001, r"9,999 pairs of different people .*: too few for .* rate of 0\.001; at least 10,000"),
        (10_000, 9, 0.001, "9 pairs of one person .*: too few; at least 10"),
        (19, 50, None, r"19 pairs of different people .* 0\.5; at least 20"),
        (0, 50, None, "0 pairs of different people"),
    ],
)
def test_too_few_pairs_are_refused_with_the_number_needed(impostors, genuine, far, problem):
    with pytest.raises(DataError, match=problem):
        fit(bell(impostors, genuine), [far] if far else [])
    if far:
        fit(bell(10_000, 10), [far])


def test_a_sample_of_people_keeps_all_of_their_photos():
    names = np.array([f"p{i % 50}" for i in range(500)])
    kept = some_people(names, 105)
    assert kept.sum() == 100 and all((names[kept] == name).sum() == 10 for name in set(names[kept]))
    assert some_people(names).all()
    assert math.isclose(second_half(names.tolist()).mean(), 0.5)
    few = few_of_each(names, [f"{i}.jpg" for i in range(500)], 3)
    assert all((names[few] == name).sum() == 3 for name in set(names)) and few_of_each(names, names, 10).all()


def test_two_look_alikes_with_many_photos_do_not_decide_alone():
    embeddings, names = crowd(80, 2)
    people = np.unique(names)
    twins = np.repeat(people[~second_half(people)][:2], 60)  # 60 x 60 of 20,000 pairs would be alike
    names, embeddings = np.append(names, twins), np.concatenate([embeddings, np.tile(embeddings[:1], (len(twins), 1))])
    found = calibrate(photos_of(names), embeddings, [0.1])
    assert found.calibration.people == 40
    assert found.calibration.impostor_pairs == 38 * 37 // 2 * 4 + 2 * 10 * 76 + 10 * 10
    assert found.calibration.threshold(0.1) < 0.5
