"""Confusions and kinds of errors: by hand, and against tables in which the errors were really fixed."""

import numpy as np
import pytest
from detection_tables import by_hand, made_up, table_of
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_app.detection.evaluate.evaluation import measure_precision
from vision_app.detection.evaluate.matching import match
from vision_app.detection.evaluate.mistakes import ERROR_KINDS, confusion_matrix, costs, find_mistakes
from vision_app.detection.evaluate.table import Table

BOX, FAR, NOTHING = (0, 0, 10, 10), (100, 100, 110, 110), (50, 50, 60, 60)
LOW, HALF = (0, 7, 10, 17), (0, 3, 10, 13)  # IoU with BOX: 3 / 17 = 0.18, 7 / 13 = 0.54


def kinds(true, found):
    table = by_hand(true, found)
    mistakes = find_mistakes(table, match(table))
    return [ERROR_KINDS[kind] if kind >= 0 else None for kind in mistakes.kind], mistakes.missed.tolist()


@pytest.mark.parametrize(
    ("true", "found", "kind", "missed"),
    [
        ([("cat", BOX)], [("cat", HALF, 0.9)], [None], [False]),
        ([("cat", BOX)], [("dog", HALF, 0.9)], ["classification"], [False]),
        ([("cat", BOX)], [("cat", LOW, 0.9)], ["localization"], [False]),
        ([("cat", BOX)], [("dog", LOW, 0.9)], ["both"], [True]),
        ([("cat", BOX)], [("cat", BOX, 0.9), ("cat", HALF, 0.8)], [None, "duplicate"], [False]),
        ([("cat", BOX)], [("cat", NOTHING, 0.9)], ["background"], [True]),
        ([("cat", BOX)], [("cat", (0, 9, 10, 19), 0.9)], ["background"], [True]),  # IoU 1 / 19
        ([("cat", BOX)], [], [], [True]),
        ([("cat", BOX, "ignored")], [("cat", BOX, 0.9), ("dog", BOX, 0.8)], [None, "background"], [False]),
        # The own class comes first, the other image never.
        ([("cat", BOX), ("dog", LOW)], [("cat", LOW, 0.9)], ["localization"], [False, True]),
        ([("cat", BOX)], [("cat", BOX, 0.9, 1)], ["background"], [True]),
        # An object that was found already can be taken for another one, too.
        ([("cat", BOX)], [("cat", BOX, 0.9), ("dog", BOX, 0.8)], [None, "classification"], [False]),
    ],
)
def test_a_mistake_has_the_kind_that_tide_gives_it(true, found, kind, missed):
    assert kinds(true, found) == (kind, missed)


def test_kinds_are_counted():
    table = by_hand([("cat", BOX), ("dog", FAR)], [("cat", BOX, 0.9), ("cat", BOX, 0.8), ("cat", BOX, 0.7)])
    counts = find_mistakes(table, match(table)).counts()
    assert dict(zip(ERROR_KINDS, counts.tolist(), strict=True)) == dict.fromkeys(ERROR_KINDS, 0) | {
        "duplicate": 2,
        "missed": 1,
    }


TRUE = [("cat", BOX), ("cat", FAR), ("dog", BOX, 1)]
RIGHT = [("cat", FAR, 0.5), ("dog", BOX, 0.4, 1)]


@pytest.mark.parametrize(
    ("kind", "wrong", "fixed"),
    [
        ("classification", [("dog", BOX, 0.9)], [("cat", BOX, 0.9)]),
        ("localization", [("cat", LOW, 0.9)], [("cat", BOX, 0.9)]),
        ("both", [("dog", LOW, 0.9)], []),
        ("duplicate", [("cat", FAR, 0.45), ("cat", BOX, 0.3)], [("cat", BOX, 0.3)]),
        ("background", [("cat", NOTHING, 0.9)], []),
        # Of two detections that then find one object the weaker one goes, whichever was right before.
        ("classification", [("cat", BOX, 0.8), ("dog", BOX, 0.9)], [("cat", BOX, 0.9)]),
        ("classification", [("dog", BOX, 0.9), ("dog", HALF, 0.8)], [("cat", BOX, 0.9)]),
        ("localization", [("cat", BOX, 0.8), ("cat", LOW, 0.3)], [("cat", BOX, 0.8)]),
    ],
)
def test_a_cost_is_what_coco_gives_for_the_fixed_answers(kind, wrong, fixed):
    table = by_hand(TRUE, wrong + RIGHT)
    matches = match(table)
    cost = dict(zip(ERROR_KINDS, costs(table, matches, find_mistakes(table, matches)), strict=True))
    gained = ap50(by_hand(TRUE, fixed + RIGHT)) - ap50(table)
    assert cost[kind] == pytest.approx(gained, abs=1e-9)
    assert gained > 0 or kind == "localization"
    others = set(ERROR_KINDS) - {kind, "missed"}
    assert [cost[other] for other in others] == pytest.approx([0] * len(others), abs=1e-9)


def test_missed_objects_cost_what_is_gained_without_them():
    table = by_hand([("cat", BOX), ("cat", FAR), ("dog", BOX)], [("cat", BOX, 0.9), ("dog", LOW, 0.8)])
    matches = match(table)
    cost = dict(zip(ERROR_KINDS, costs(table, matches, find_mistakes(table, matches)), strict=True))
    # The dog was found in the wrong place and is not missed; the far cat is: cats go from 51 / 101 to 1.
    assert cost["missed"] == pytest.approx((1 + 0) / 2 - (51 / 101 + 0) / 2)
    assert ap50(by_hand([("cat", BOX), ("dog", BOX)], [("cat", BOX, 0.9), ("dog", LOW, 0.8)])) == pytest.approx(0.5)


def test_a_class_that_was_missed_altogether_is_perfect_without_its_objects():
    table = by_hand([("cat", BOX), ("cat", FAR), ("dog", BOX)], [("cat", BOX, 0.9)])
    matches = match(table)
    cost = costs(table, matches, find_mistakes(table, matches))
    assert cost[ERROR_KINDS.index("missed")] == pytest.approx((1 + 1) / 2 - (51 / 101 + 0) / 2)


def ap50(table: Table) -> float:
    return measure_precision(table).metrics["AP50"]


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_every_wrong_detection_is_of_one_kind_and_fixing_never_hurts(seed):
    table = table_of(*made_up(seed))
    matches = match(table)
    mistakes = find_mistakes(table, matches)
    assert ((mistakes.kind >= 0) == matches.false_positives).all()
    assert not mistakes.missed[matches.matched[matches.true_positives]].any()
    assert (costs(table, matches, mistakes)[2:5] >= 0).all()


def test_a_confusion_matrix_counts_right_confused_missed_and_invented():
    true = [("cat", BOX), ("cat", FAR), ("dog", (200, 0, 210, 10)), ("dog", (300, 0, 310, 10), "ignored")]
    found = [
        ("cat", BOX, 0.9),  # right
        ("dog", BOX, 0.8),  # the cat there is found already: a dog where nothing is left
        ("dog", FAR, 0.7),  # a cat taken for a dog
        ("cat", NOTHING, 0.6),
        ("dog", (300, 0, 310, 10), 0.5),  # does not count
    ]
    table = by_hand(true, found)
    assert confusion_matrix(table, match(table)).tolist() == [
        [1, 1, 0],
        [0, 0, 1],  # the dog that nobody found
        [1, 1, 0],
    ]


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_confusions_add_up_to_the_objects_and_detections(seed):
    table = table_of(*made_up(seed))
    matches = match(table)
    matrix = confusion_matrix(table, matches)
    assert matrix[:-1].sum(axis=1).tolist() == table.wanted.tolist()
    assert (
        matrix[:, :-1].sum(axis=0).tolist()
        == np.bincount(table.detections.labels[matches.counted], minlength=3).tolist()
    )
    assert matrix.trace() == matches.true_positives.sum() and matrix[-1, -1] == 0
