"""The released models answer as they did in the version that released them."""

import json
from pathlib import Path

import pytest
from released_answers import ANSWERS

pytestmark = pytest.mark.slow

EARLIER = json.loads((Path(__file__).parent / "data" / "v0.1" / "answers.json").read_text(encoding="utf-8"))


def close(now, before):
    """Whether two JSON values are the same but for the rounding of another processor."""
    if isinstance(before, dict):
        return now.keys() == before.keys() and all(close(now[key], before[key]) for key in before)
    if isinstance(before, list):
        return len(now) == len(before) and all(map(close, now, before))
    return now == (pytest.approx(before, rel=0.002, abs=0.02) if isinstance(before, float) else before)


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_those_of_version_0_1(name):
    assert close(ANSWERS[name](), EARLIER[name])


def test_close_tells_values_apart():
    assert close({"a": [1.0, "x", None]}, {"a": [1.001, "x", None]})
    assert not close({"a": [1.0, "x"]}, {"a": [1.1, "x"]})
    assert not close({"a": 1}, {"a": 1, "b": 2}) and not close([1.0], [1.0, 2.0]) and not close("x", "y")
