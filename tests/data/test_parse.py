"""Numbers, flags, ids and names are read as people and tools write them."""

import pytest

from vision_app.core.errors import DataError
from vision_app.data.parse import class_names, flag, key, number, numbers, whole_number


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3), (2.5, 2.5), ("40", 40), (" 1e-3 ", 0.001), (-1, -1),
        (True, None), (None, None), ("", None), ("x", None), ([1], None), ({}, None),
        (float("nan"), None), ("nan", None), (float("inf"), None), (10**400, None), (1e9, None),
    ],
)  # fmt: skip
def test_numbers(value, expected):
    assert number(value) == expected


def test_lists_of_numbers():
    assert numbers([1, "2", 3.5]) == [1, 2, 3.5] and numbers([]) == []
    assert [numbers(value) for value in ([1, None], "12", None, 3, {"a": 1})] == [None] * 5


def test_whole_numbers():
    assert [whole_number(value) for value in (2, "2", 2.0, "2.5", 2.5, "two", None)] == [
        2,
        2,
        2,
        None,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        (True, (1, True, 1.0, 2, "1", "1.0", "2", "true", "True", " YES ", "y", "on", "t")),
        (False, (0, False, 0.0, "0", "0.0", "false", "False", "no", "N", "off")),
        (None, (None, "", "maybe", "Unspecified", [1], {}, float("nan"))),
    ],
)
def test_flags(expected, values):
    assert [flag(value) for value in values] == [expected] * len(values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1"), (1.0, "1"), ("1", "1"), ("01", "1"), (" 1", "1"), ("1.0", "1"), ("000", "0"),
        ("-01", "-1"), ("1.5", "1.5"), ("0x1", "0x1"),  ("a b", "a b"), (0, "0"), (-3.0, "-3"), (10**20, str(10**20)),
        (True, None), (None, None), ("", None), (1.5, None), (float("nan"), None), (float("inf"), None), ([1], None),
    ],
)  # fmt: skip
def test_ids(value, expected):
    assert key(value) == expected


def test_names_stay_as_they_are_written():
    assert class_names(["no", "007", "12:30", " a b"], "f") == ("no", "007", "12:30", " a b")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", None], "f has nothing as the name of class 1; each class needs a name of its own"),
        (["", "a"], "f has nothing as the name of class 0; "),
        (["a", "  "], "f has '  ' as the name of class 1; "),
        ([["a", "b"]], r"f has \['a', 'b'\] as the name of class 0; "),
        (["a", "b", "a "], "f lists 'a' more than once; each class needs a name of its own"),
        (["a", "b", "a"], "f lists 'a' more than once; each class needs a name of its own"),
    ],
)
def test_names_that_are_none_are_refused(names, words):
    with pytest.raises(DataError, match=f"^{words}"):
        class_names(names, "f")
