"""Options of style: what is refused, and with which words."""

import math

import numpy as np
import pytest

from vision_app.core.errors import UsageError
from vision_app.style.options import OptimizeConfig, StyleOptions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": 1.5}, "strength 1.5: must lie between 0.0 and 1.0; the nearest valid value is 1.0"),
        ({"strength": math.nan}, "strength nan: must lie between 0.0 and 1.0"),
        ({"size": 20}, "size 20: must lie between 32 and 16384; the nearest valid value is 32"),
        ({"size": 99.5}, "size 99.5: must be a whole number"),
        ({"style_size": 5000}, "style_size 5000: must lie between 64 and 4096; the nearest valid value is 4096"),
        ({"keep_colors": "luminence"}, "must be one of no, luminance, histogram; did you mean luminance?"),
        ({"strength": None}, "strength None: must be a number"),
        ({"weights": (0.5, -1)}, "weights 0.5,-1: must be numbers from 0 to 1e+09, one of them above 0"),
        ({"weights": (0, 0)}, "weights 0,0: must be numbers from 0 to"),
        ({"weights": (math.inf, 1)}, "weights inf,1: must be numbers from 0 to"),
        ({"weights": (math.nan, 1)}, "weights nan,1: must be numbers from 0 to"),
        ({"weights": (1e308, 1e308)}, "weights 1e+308,1e+308: must be numbers from 0 to 1e+09"),
        ({"weights": np.zeros(2)}, "weights 0.0,0.0: must be numbers from 0 to"),
        ({"weights": 0.5}, "weights 0.5: must be numbers, one for each style"),
        ({"weights": ("much", 1)}, "weights ('much', 1): must be numbers, one for each style"),
        ({"strenght": 1}, "unknown option 'strenght'; did you mean 'strength'?"),
    ],
)
def test_a_wrong_value_is_refused_with_the_nearest_valid_one(changes, message):
    with pytest.raises(UsageError) as error:
        StyleOptions().changed(changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("fsat", {}, "method fsat: must be one of optimize, fast, color; did you mean fast?"),
        ("fast", {"iterations": 9}, "iterations: belongs to method optimize, not to fast; leave it out"),
        ("fast", {"total_variation": 0.0}, "total_variation: belongs to method optimize, not to fast"),
        ("color", {"alpha": 0.0}, "alpha: belongs to method optimize, not to color"),
        ("color", {"keep_colors": "histogram"}, "keep_colors histogram: method color changes only colors"),
    ],
)
def test_an_option_that_a_method_would_ignore_is_refused(method, changes, message):
    with pytest.raises(UsageError) as error:
        StyleOptions(**changes).check_method(method)
    assert message in str(error.value)


def test_shares_sum_to_one():
    assert StyleOptions().shares(4) == (0.25,) * 4
    assert StyleOptions(weights=(3, 1)).shares(2) == (0.75, 0.25)
    assert StyleOptions(weights=np.array([3, 1])) == StyleOptions(weights=[3.0, 1.0]) == StyleOptions(weights=(3, 1))
    with pytest.raises(UsageError, match="weights: 2 numbers for 1 style; give one for each style"):
        StyleOptions(weights=(3, 1)).shares(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1}, "alpha -1: must lie between 0.0 and"),
        ({"beta": float("nan")}, "beta nan: must lie between"),
        ({"strength": 1.5}, "strength 1.5: must lie between 0.0 and 1.0; the nearest valid value is 1.0"),
        ({"iterations": 0}, "iterations 0: must lie between 1 and"),
        ({"optimizer": "adm"}, "optimizer adm: .*did you mean adam"),
        ({"start": "contnet"}, "start contnet: .*did you mean content"),
        ({"alpha": 0, "beta": 0}, "alpha 0 beta 0: one of content and style must count"),
    ],
)
def test_wrong_options_of_optimize_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        OptimizeConfig(**options)
