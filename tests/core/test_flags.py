"""Values out of range are named as the caller knows them; more of them in training/test_config."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from vision_app.core.errors import UsageError
from vision_app.core.flags import check_choice, check_ranges, command_line, flag

RANGES = {"strength": (0.0, 1.0), "style_size": (64, 4096)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": 1.5}, "strength 1.5: must lie between 0.0 and 1.0; the nearest valid value is 1.0"),
        ({"strength": float("nan")}, "strength nan: must lie between 0.0 and 1.0; the nearest valid value is 0.0"),
        ({"strength": "high"}, "strength 'high': must be a number"),
        ({"style_size": 100.5}, "style_size 100.5: must be a whole number"),
        ({"style_size": None}, "style_size None: must be a whole number"),
    ],
)
def test_a_value_that_is_not_a_number_of_the_range_is_refused(changes, message):
    with pytest.raises(UsageError) as error:
        check_ranges(SimpleNamespace(**{"strength": 1, "style_size": 512} | changes), RANGES)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("strength", "size", "refused"),
    [
        (0, 64, None), (1, 4096, None), (np.float32(0.5), np.int64(100), None),
        (-0.001, 64, "strength"), (1.001, 64, "strength"), (0, 63, "style_size"), (0, 4097, "style_size"),
    ],
)  # fmt: skip
def test_the_ends_of_a_range_and_numbers_of_numpy_are_accepted_and_nothing_beyond(strength, size, refused):
    try:
        check_ranges(SimpleNamespace(strength=strength, style_size=size), RANGES)
    except UsageError as error:
        assert str(error).split()[0] == refused
    else:
        assert refused is None


def test_a_choice_that_is_none_is_refused_with_the_nearest():
    check_choice("start", "noise", ("content", "noise"))
    with pytest.raises(UsageError) as error:
        check_choice("start", "nose", ("content", "noise"))
    assert str(error.value) == "start nose: must be one of content, noise; did you mean noise?"


def test_options_are_flags_while_a_command_runs_also_within_another_and_parameters_in_python():
    def names():
        return flag("style_size"), flag("alpha")

    with command_line():
        with command_line():
            assert names() == ("--style-size", "--alpha")
        assert names() == ("--style-size", "--alpha")
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(names).result() == ("--style-size", "--alpha")
    assert names() == ("style_size", "alpha")
    with suppress(ValueError), command_line():
        raise ValueError
    assert names() == ("style_size", "alpha")
