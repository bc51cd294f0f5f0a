import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_app.training.schedules import warmup_cosine


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 0.1),
        (4, 0.5),
        (9, 1.0),
        (10, 1.0),
        (35, 0.05 + 0.95 * (1 + math.cos(math.pi / 4)) / 2),
        (60, 0.525),  # half way down from 1 to 0.05
        (109, 0.05 + 0.95 * (1 + math.cos(math.pi * 0.99)) / 2),
        (110, 0.05),
        (1000, 0.05),
    ],
)
def test_values_of_a_run_of_110_steps_with_10_to_warm_up(step, factor):
    assert warmup_cosine(step, 110, 10) == pytest.approx(factor, abs=1e-12)


@given(steps=st.integers(1, 500), warmup=st.integers(1, 600), final=st.floats(0, 1))
def test_it_climbs_in_equal_steps_then_never_rises(steps, warmup, final):
    values = [warmup_cosine(step, steps, warmup, final) for step in range(steps)]
    climb, fall = values[:warmup], values[warmup:]
    assert climb == pytest.approx([(i + 1) / warmup for i in range(len(climb))])
    assert all(a >= b - 1e-12 for a, b in pairwise(fall))
    assert all(0 < value <= 1 for value in climb) and all(final - 1e-12 <= value <= 1 for value in fall)
