"""Which objects two answers share."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_app.core.results import Detections
from vision_app.detection.compare.agreement import Counts, agree

LABELS = ("ant", "bee")
boxes = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6))  # x, y, width, height
answers = st.lists(st.tuples(st.sampled_from(LABELS), boxes), max_size=7)


def answer(rows) -> Detections:
    """Detections from (label, (x, y, width, height)); the scores fall."""
    corners = [(x, y, x + width, y + height) for _, (x, y, width, height) in rows]
    scores = np.linspace(0.9, 0.1, len(rows))
    return Detections(np.reshape(corners, (-1, 4)), scores, [label for label, _ in rows], 20, 20, "made up")


def pixels(box) -> set:
    x, y, width, height = box
    return set(product(range(x, x + width), range(y, y + height)))


def overlap(one, other) -> float:
    a, b = pixels(one), pixels(other)
    return len(a & b) / len(a | b)


@given(answers, answers)
def test_pairs_are_those_of_a_search_pixel_by_pixel(one, other):
    """Among the pairs that are left, the one with the largest overlap is taken, until none is left."""
    left = {
        (i, j): round(overlap(a, b), 6)
        for (i, (name, a)), (j, (other_name, b)) in product(enumerate(one), enumerate(other))
        if name == other_name and overlap(a, b) >= 0.5
    }
    expected = []
    while left:
        i, j = min(left, key=lambda pair: (-left[pair], min(pair), max(pair)))
        expected.append((i, j))
        left = {pair: value for pair, value in left.items() if pair[0] != i and pair[1] != j}
    assert sorted(map(tuple, agree(answer(one), answer(other)).pairs.tolist())) == sorted(expected)


@given(answers, answers)
def test_every_object_is_counted_once_and_order_does_not_matter(one, other):
    there, back = agree(answer(one), answer(other)), agree(answer(other), answer(one))
    assert sorted([*there.pairs[:, 0], *there.only_first]) == list(range(len(one)))
    assert sorted([*there.pairs[:, 1], *there.only_second]) == list(range(len(other)))
    assert sorted(map(tuple, there.pairs.tolist())) == sorted((i, j) for j, i in back.pairs.tolist())
    assert there.only_first.tolist() == back.only_second.tolist()
    assert 0 <= there.counts.share == back.counts.share <= 1


@given(answers)
def test_an_answer_agrees_with_itself(rows):
    distinct = list(dict.fromkeys(rows))
    assert agree(answer(distinct), answer(distinct)).counts == Counts(both=len(distinct))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([], [], Counts()),
        ([("ant", (0, 0, 4, 4))], [("bee", (0, 0, 4, 4))], Counts(0, 1, 1)),  # not the same label
        ([("ant", (0, 0, 4, 4))], [("ant", (0, 0, 4, 2))], Counts(1, 0, 0)),  # an overlap of exactly one half
        ([("ant", (0, 0, 4, 4))], [("ant", (0, 0, 4, 1))], Counts(0, 1, 1)),
        ([("ant", (0, 0, 4, 4))], [("ant", (0, 0, 4, 3)), ("ant", (0, 0, 4, 4))], Counts(1, 0, 1)),
    ],
)
def test_small_cases(one, other, expected):
    assert agree(answer(one), answer(other)).counts == expected


def test_the_pair_that_overlaps_most_comes_first_whatever_the_scores():
    found = agree(answer([("ant", (0, 0, 4, 4))]), answer([("ant", (0, 0, 4, 3)), ("ant", (0, 0, 4, 4))]))
    assert found.pairs.tolist() == [[0, 1]] and found.only_second.tolist() == [0]


def test_counts_of_pictures_add_up():
    total = sum([Counts(1, 2, 3), Counts(4, 0, 0)], Counts())
    assert total == Counts(5, 2, 3) and total.share == 0.5 and Counts().share == 1.0
