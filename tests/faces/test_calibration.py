"""Thresholds: between measured rates, beyond them, and for galleries of any size."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from vision_app.core.errors import ModelError, UsageError
from vision_app.faces.calibration import UNMEASURED_GAIN, Calibration, Gain, Rate

RATES = tuple(
    Rate(far, threshold, threshold - 0.02, threshold + 0.01)
    for far, threshold in ((0.5, 0.0), (0.1, 0.1), (0.01, 0.2), (0.001, 0.3), (0.0001, 0.4))
)
CALIBRATION = Calibration(RATES, 0.001, 0.05, impostor_pairs=100_000, genuine_pairs=2_000, people=300)


def test_a_calibration_round_trips_through_json():
    content = json.loads(json.dumps(CALIBRATION.to_dict()))
    assert Calibration.from_dict(content | {"metric": "cosine"}, "x") == CALIBRATION
    assert Calibration.of({"calibration": content}, "x") == CALIBRATION
    measured = replace(CALIBRATION, gains=(Gain(2, 0.02), Gain(5, 0.04)))
    assert Calibration.from_dict(json.loads(json.dumps(measured.to_dict())), "x") == measured


def test_a_threshold_is_linear_in_the_logarithm_of_the_rate():
    assert [CALIBRATION.threshold(rate.far) for rate in RATES] == pytest.approx([rate.threshold for rate in RATES])
    assert CALIBRATION.threshold(10**-2.25) == pytest.approx(0.225)


@pytest.mark.parametrize(("far", "nearest"), [(0.00009, "0.0001"), (0, "0.0001"), (0.6, "0.5"), (math.nan, "0.5")])
def test_a_rate_that_was_not_measured_is_refused_with_the_nearest(far, nearest):
    with pytest.raises(UsageError, match=rf"100,000 pairs .* nearest is {nearest}$"):
        CALIBRATION.threshold(far)


def test_the_band_reaches_from_ten_times_the_rate_to_the_end_of_the_interval():
    assert CALIBRATION.band(0.001) == pytest.approx((0.2, 0.31))
    assert CALIBRATION.band(0.1) == pytest.approx((0.0, 0.11)), "no rate above one in two"
    for far in (0.4, 0.03, 0.0001):
        low, high = CALIBRATION.band(far)
        assert low <= CALIBRATION.threshold(far) <= high


def test_the_threshold_of_a_gallery_is_that_of_one_of_its_comparisons():
    for people in (1, 2, 9):
        far = 1 - (1 - 0.01) ** (1 / people)
        assert CALIBRATION.identify_threshold(people) == pytest.approx(CALIBRATION.threshold(far))
    far = 1 - (1 - 0.01) ** (1 / 5000)
    assert CALIBRATION.identify_threshold(5000) == pytest.approx(0.3 + 0.05 * math.log(0.001 / far))


def test_the_threshold_rises_with_the_gallery_and_ends_at_one():
    thresholds = [CALIBRATION.identify_threshold(people) for people in (1, 5, 10, 11, 100, 10_000, 1_000_000)]
    assert (np.diff(thresholds) > 0).all()
    assert CALIBRATION.identify_threshold(100, 0.001) > CALIBRATION.identify_threshold(100, 0.01)
    assert CALIBRATION.identify_threshold(10**12) == 1


def test_gains_follow_the_inverse_of_the_number_of_photos():
    measured = replace(CALIBRATION, gains=(Gain(2, 0.02), Gain(5, 0.04)))
    assert [measured.gain(photos) for photos in (1, 2, 5)] == pytest.approx([0, 0.02, 0.04])
    assert measured.gain(10**9) == pytest.approx(0.05), "as from five on"
    gains = [measured.gain(photos) for photos in range(1, 100)]
    assert (np.diff(gains) > 0).all()


def test_an_older_calibration_uses_a_generous_default_gain():
    content = CALIBRATION.to_dict()
    del content["gains"]
    older = Calibration.from_dict(content, "x")
    assert older == CALIBRATION and older.gain(1) == 0
    assert [older.gain(photos) for photos in (2, 3)] == pytest.approx([UNMEASURED_GAIN / 2, UNMEASURED_GAIN * 2 / 3])


def test_the_largest_gallery_with_a_measured_threshold():
    most = CALIBRATION.measured_people(0.01)
    assert 1 - (1 - 0.01) ** (1 / most) >= 0.001 > 1 - (1 - 0.01) ** (1 / (most + 1))


@pytest.mark.parametrize(("people", "fpir"), [(0, 0.01), (-3, 0.01), (10, 0), (10, 0.5), (10, math.nan)])
def test_a_gallery_without_people_or_an_invalid_rate_is_refused(people, fpir):
    with pytest.raises(UsageError, match=r"people|must be between 0 and 0\.5"):
        CALIBRATION.identify_threshold(people, fpir)


def test_an_uncalibrated_model_is_refused_with_the_command_that_calibrates_it():
    command = "`vision-app faces calibrate --model mine --data PEOPLE/ --output DIR --apply`"
    with pytest.raises(ModelError, match=f"'mine' is not calibrated; {command}"):
        Calibration.of({"task": "face-embedding"}, "mine")


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        CALIBRATION.to_dict() | {"rates": [{"far": 0.1}]},
        CALIBRATION.to_dict() | {"tail": None},
        CALIBRATION.to_dict() | {"people": "many"},
        replace(CALIBRATION, rates=RATES[:1]).to_dict(),
        replace(CALIBRATION, rates=RATES[::-1]).to_dict(),
        replace(CALIBRATION, rates=(*RATES[:4], Rate(0.0001, 0.29, 0.28, 0.4))).to_dict(),
        replace(CALIBRATION, rates=(*RATES[:4], Rate(0.0001, math.nan, 0.3, 0.4))).to_dict(),
        replace(CALIBRATION, tail_far=0.002).to_dict(),
        replace(CALIBRATION, tail_scale=math.nan).to_dict(),
        CALIBRATION.to_dict() | {"gains": [{"photos": 2}]},
        replace(CALIBRATION, gains=(Gain(1, 0.1),)).to_dict(),
        replace(CALIBRATION, gains=(Gain(2, math.nan),)).to_dict(),
        replace(CALIBRATION, gains=(Gain(3, 0.1), Gain(2, 0.1))).to_dict(),
    ],
)
def test_a_damaged_calibration_is_refused(content):
    with pytest.raises(ModelError, match=r"^model 'mine': its calibration cannot be used"):
        Calibration.from_dict(content, "model 'mine'")
