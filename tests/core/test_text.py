"""Counts in words, and text that a terminal may show."""

import pytest

from vision_app import Detector
from vision_app.core.text import aligned, amount, amounts, brief, format_rate, plural, printable

IRREGULAR = {
    "broccoli": "broccoli",
    "knife": "knives",
    "mouse": "mice",
    "scissors": "scissors",
    "sheep": "sheep",
    "skis": "skis",
}
WITH_ES = {"bench", "bus", "couch", "sandwich", "toothbrush", "wine glass"}


def test_every_coco_class_has_its_plural():
    classes = Detector.load("yolo").classes
    assert {*IRREGULAR, *WITH_ES} <= {*classes}
    for name in classes:
        assert plural(name) == IRREGULAR.get(name, f"{name}es" if name in WITH_ES else f"{name}s")


@pytest.mark.parametrize(("noun", "expected"), [("lorry", "lorries"), ("toy", "toys"), ("box", "boxes")])
def test_other_nouns_follow_the_rules_of_spelling(noun, expected):
    assert plural(noun) == expected


def test_counts_are_followed_by_the_singular_or_the_plural():
    assert [amount(n, "image") for n in (0, 1, 2, 1203)] == ["0 images", "1 image", "2 images", "1,203 images"]
    assert [amount(n, "person", "people") for n in (1, 2)] == ["1 person", "2 people"]
    assert amounts({"person": 3, "dog": 2, "mouse": 1}) == "3 persons, 2 dogs, 1 mouse"
    assert amounts({}) == "no objects"


def test_a_table_has_its_first_columns_to_the_left_and_numbers_to_the_right():
    rows = [("layer", "kind", "size"), ("a", "conv", "1,000"), ("longer", "add", "")]
    assert aligned(rows, left=2) == ["layer   kind   size", "a       conv  1,000", "longer  add"]
    assert aligned(rows, left=1)[2] == "longer   add"


@pytest.mark.parametrize(
    ("count", "seconds", "text"),
    [
        (1203, 29.3, "41 images/s"),
        (5000, 2, "2,500 images/s"),
        (3, 2, "1.5 images/s"),
        (1, 2, "2.0 s/image"),
        (1, 25, "25 s/image"),
        (2, 7200, "3,600 s/image"),
        (0, 0.001, ""),
    ],
)
def test_rates_say_something_at_any_speed(count, seconds, text):
    assert format_rate(count, seconds) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zo\u00eb \u4e2d\u6587 \U0001f600", None),
        ("a\tb\nc\x7f\x9b", r"a\tb\nc\x7f\x9b"),
        ("\u202eevil\u2066\ufeff", r"\u202eevil\u2066\ufeff"),
        ("\u0dc1\u0dca\u200d\u0dbb\u0dd3 \u0dbd\u0d82\u0d9a\u0dcf", None),  # Sri Lanka in Sinhala
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", None),  # a Persian word of two parts
        ("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc", None),
        ("\u0915\u094d\u200c\u0937", None),  # Devanagari, not joined
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", None),  # a family
        ("\U0001f469\U0001f3fd\u200d\U0001f52c \u2764\ufe0f\u200d\U0001f525", None),
        ("A\u200dda", r"A\u200dda"),
        ("A\u200cda", r"A\u200cda"),
        ("\u062f\u200c\u0627", "\u062f\\u200c\u0627"),  # these letters never join: nothing would be seen
        ("\u200d\U0001f467", "\\u200d\U0001f467"),
        ("\U0001f467\u200d", "\U0001f467\\u200d"),
        ("\u200c", r"\u200c"),
        ("\ue000\u200c\ue000", r"\ue000\u200c\ue000"),
        ("\U0001f467\u200d\u200d\U0001f467", "\U0001f467\\u200d\\u200d\U0001f467"),
    ],
)
def test_what_cannot_be_printed_is_escaped_and_joiners_stay_where_scripts_and_emoji_need_them(text, shown):
    assert printable(text) == (text if shown is None else shown)


PATH = "/home/ada/" + "/".join(["x" * 255] * 5) + "/photo.jpg"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("unknown class 'dgo'", "unknown class 'dgo'"),
        (
            f"unknown class '{'x' * 5000}'; did you mean 'dog'?",
            f"unknown class '{'x' * 39}...{'x' * 38}'; did you mean 'dog'?",
        ),
        (f"{PATH}: no such file", f"{PATH}: no such file"),
        ("a " * 5000, "a " * 500 + "..." + "a " * 500),
        ("", ""),
    ],
)
def test_errors_keep_paths_and_lose_the_middle_of_what_nobody_would_read(text, shown):
    assert brief(text) == shown
