"""Boxes, outlines, and what looks like outlines and is none."""

import re
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_app.core.errors import DataError
from vision_app.data.scan_report import ScanReport
from vision_app.data.yolo_rows import RowError, RowReader

BOX = "0 .4375 .5 .375 .5"


def text(values):
    return "0 " + " ".join(f"{value:.4f}" for value in np.ravel(values))


@given(st.sets(st.integers(0, 359), min_size=3, max_size=9), st.floats(0.05, 0.4), st.floats(0.45, 0.55))
def test_the_box_around_an_outline_touches_it_on_all_sides(degrees, radius, center):
    angles = np.radians(sorted(degrees))
    x, y = (center + radius * np.cos(angles)).tolist(), (0.5 + radius * np.sin(angles)).tolist()
    row = "7 " + " ".join(f"{a!r} {b!r}" for a, b in zip(x, y, strict=True))
    assert RowReader(None)(row, "") == (7, (min(x), min(y), max(x), max(y)))


@pytest.mark.parametrize(
    ("row", "kind", "reason"),
    [
        ("0 .5 .5 .1", "malformed row", "has 4 columns, fewer than the 5 of class, center x, center y, width, height"),
        ("0", "malformed row", "has 1 column, fewer than the 5"),
        ("0 .5 .5 .1 x", "malformed row", r"has 'x' in column 5 \(height\), not a number$"),
        ("0 .5 .5 .1 nan", "malformed row", r"has 'nan' in column 5 \(height\), not a number$"),
        ("0 .5 inf .1 .2", "malformed row", r"has 'inf' in column 3 \(center y\), not a number$"),
        ("dog .5 .5 .1 .1", "malformed row", r"has 'dog' in column 1 \(class\), not a number$"),
        ("0 .1 .1 .3 .1 .3 .2 x .2", "malformed row", "has 'x' in column 8, not a number$"),
        (
            "0 0,5 0,5 0,1 0,1",
            "malformed row",
            r"'0,5' in column 2 \(center x\), not a number; separate columns with spaces",
        ),
        (
            "0,.5,.5,.1,.1",
            "malformed row",
            "has '0,.5,.5,.1,.1' in column 1, not a number; separate columns with spaces",
        ),
        ("0 .5 .5 .1 " + "z" * 5000, "malformed row", r"has '.{,40}' in column 5 \(height\), not a number$"),
        ("0 .9 .9 .8 .5 .7 .9 .8", "malformed row", "has 8 columns; an outline has a class and pairs of x and y$"),
        (BOX + " .93", "malformed row", "has 6 columns, a class, a box and 1 more, such as a confidence"),
        (BOX + " .93 4", "malformed row", "7 columns, a class, a box and 2 more, such as a confidence and a track id"),
        (BOX + " .3 .3 2" * 4, "malformed row", "has 17 columns, .* such as 4 key points of x, y and visibility"),
        (BOX + " .3 .3 2" * 3, "malformed row", "has 14 columns, .* such as 3 key points of x, y and visibility"),
        (BOX + " .93 1", "malformed row", "7 columns, a class, a box and 2 more, such as a confidence and a track id"),
        (BOX + " .3 .3" * 5, "malformed row", "has 15 columns, .* such as 5 key points of x and y"),
        (BOX + " .3 .3 .6 .7 .3 .6 .6 .3", "malformed row", "has 13 columns, .* such as 4 key points of x and y"),
        (BOX + " .3 .3 1 .4 .6 0", "malformed row", "has 11 columns, .* such as 2 key points of x, y and visibility"),
        ("0 70 60 60 60", "not normalized", "is in pixels or percent"),
        ("0 43.75 50 37.5 50", "not normalized", "is in pixels or percent"),
        ("0 10 10 80 10 80 60", "not normalized", "is in pixels or percent"),
        (BOX.replace(".375", "37.5"), "not normalized", "is in pixels or percent"),
    ],
)
def test_rows_that_are_no_boxes_say_why(row, kind, reason):
    with pytest.raises(RowError) as error:
        RowReader(None)(row, "")
    assert error.value.kind == kind
    assert re.search(reason, error.value.reason)


def test_columns_that_key_points_are_announced_with():
    assert RowReader(4)(BOX + " .1 .1 .2 .2", "") == (0, (0.25, 0.25, 0.625, 0.75))
    with pytest.raises(RowError, match="has 5 columns, not 9 as in 'kpt_shape'"):
        RowReader(4)(BOX, "")


def boxes(count, generator):
    """(count, 4) center and size of boxes in the image."""
    size = generator.uniform(0.1, 0.4, (count, 2))
    return np.hstack([generator.uniform(size / 2, 1 - size / 2), size])


def points(box, count, generator):
    """(count, 2) points in a box."""
    return box[:2] + box[2:] * generator.uniform(-0.5, 0.5, (count, 2))


def key_points(count, per_row, visible=False):
    generator = np.random.default_rng(0)
    rows = []
    for box in boxes(count, generator):
        found = points(box, per_row, generator)
        if visible:
            found = np.hstack([found, generator.integers(0, 2, (per_row, 1))])
        rows.append(text(np.concatenate([box, found.ravel()])))
    return rows


def tracked(count):
    generator = np.random.default_rng(0)
    return [text([*box, generator.uniform(), generator.integers(2)]) for box in boxes(count, generator)]


def columns(count, more):
    """Boxes and more numbers, which have nothing to do with them."""
    generator = np.random.default_rng(0)
    return [text([*box, *generator.uniform(0, 1, more)]) for box in boxes(count, generator)]


def flags(count):
    generator = np.random.default_rng(0)
    return [text([*box, generator.uniform(), *generator.integers(0, 2, 3)]) for box in boxes(count, generator)]


def outlines(count, corners, center=(0.1, 0.9)):
    """Outlines around points of the image, the corners in turn."""
    generator, rows = np.random.default_rng(0), []
    for _ in range(count):
        middle = generator.uniform(*center, 2)
        angles = np.sort(generator.uniform(0, 2 * np.pi, corners))
        radius = generator.uniform(0.03, 0.1)
        rows.append(text(middle + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)))
    return rows


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (tracked(20), "2 more, such as a confidence and a track id"),
        (tracked(1), "2 more, such as a confidence and a track id"),
        (key_points(20, 1), "2 more, such as two confidences or a key point"),
        (key_points(20, 2), "4 more, such as 2 key points of x and y"),
        (key_points(20, 5), "10 more, such as 5 key points of x and y"),
        (key_points(20, 17), "34 more, such as 17 key points of x and y"),
        (key_points(20, 2, visible=True), "6 more, such as 2 key points of x, y and visibility"),
        ([BOX + " .3 .3" * 5], "10 more, such as 5 key points of x and y"),
        (columns(20, 2), "2 more, such as two confidences or a key point"),
        (columns(20, 4), "4 more, such as 2 key points of x and y"),
        (flags(20), "4 more, such as 2 key points of x and y"),
        (outlines(3, 6) + key_points(20, 5), "10 more, such as 5 key points of x and y"),
    ],
)
def test_outlines_that_are_boxes_with_more_columns_are_refused_by_naming_these(rows, words):
    reader = RowReader(None)
    for number, row in enumerate(rows):
        with suppress(RowError):
            reader(row, f"line {number}")
    with pytest.raises(DataError, match=f"^data.yaml: .* no outlines but a class, a box and {words} .line"):
        reader.check(Path("data.yaml"), ScanReport())


@pytest.mark.parametrize("corners", [3, 4, 5, 8, 30])
@pytest.mark.parametrize("center", [(0.1, 0.9), (0.45, 0.55)])
def test_outlines_stay_outlines(corners, center):
    reader = RowReader(None)
    for row in outlines(40, max(corners, 4) if center[0] > 0.4 else corners, center):
        reader(row, "a row")
    reader.check(Path("data.yaml"), ScanReport())
    assert reader("0 .4 .4 .6 .4 .6 .6 .4 .6", "") == (0, (0.4, 0.4, 0.6, 0.6))


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ("0 .5 .5 .2 .6 .5 .25 .5 .75", "9 .* 4 more, such as 2 key points of x and y"),  # head and feet
        ("0 .5 .5 .6 .2 .25 .5 .75 .52", "9 .* 4 more, such as 2 key points of x and y"),  # nose and tail
        ("0 .7 .6 .1 .1 .68 .58 .72 .62", "9 .* 4 more, such as 2 key points of x and y"),
        ("0 .7 .6 .1 .1 0 0 .72 .58", "9 .* 4 more, such as 2 key points of x and y"),  # the first is not known
        ("0 .7 .6 .1 .1 .7 .56 .74 .6 .7 .64", "11 .* 6 more, such as 3 key points of x and y"),
        ("0 .7 .6 .1 .1 .7 .56 .74 .58 .74 .62 .7 .64", "13 .* 8 more, such as 4 key points of x and y"),
        ("0 0 0 .01 .01 0 0 0 0", "9 .* 4 more, such as 2 key points of x and y"),
        ("0 .4 .4 .6 .4 .6 .6 .4 .6", None),  # turned boxes, two of them in the middle, where one may be a box
        ("0 .45 .4 .6 .45 .55 .6 .4 .55", None),
        ("0 .3 .3 .32 .4 .3 .5 .28 .4", None),
        ("0 .9 .9 .8 .5 .7 .9 .8 .8", None),  # an arrow that does not begin like a box
        ("0 .5 .5 .4 .4 .75 .4 .52 .43", None),  # one of which a corner is outside of what may be a box
        ("0 .4 .4 .6 .4 .6 .5 .5 .5 .5 .6 .4 .6", None),  # an L
    ],
)
def test_key_points_of_x_and_y_alone_are_told_from_outlines_in_a_single_row(row, columns):
    if columns is None:
        assert RowReader(None)(row, "")[0] == 0
        return
    with pytest.raises(RowError, match=f"has {columns}"):
        RowReader(None)(row, "")


def test_sets_of_key_points_are_refused_although_every_row_may_be_an_outline_of_its_own_or_crosses_none():
    reader = RowReader(None)
    for row in ["0 .5 .5 .2 .6 .5 .25 .5 .75"] * 4 + ["0 .4 .4 .6 .4 .6 .6 .4 .6"] * 3:
        with suppress(RowError):
            reader(row, "a row")
    with pytest.raises(DataError, match=r"a box and 4 more, such as 2 key points of x and y \(a row"):
        reader.check(Path("data.yaml"), ScanReport())


def test_a_few_arrows_among_outlines_cost_their_rows_alone():
    reader, refused = RowReader(None), 0
    for row in [*outlines(60, 4, (0.7, 0.9)), *["0 .4 .4 .6 .5 .4 .6 .5 .5"] * 3, "0 .4 .4 .6 .4 .6 .6 .4 .6"]:
        try:
            reader(row, "a row")
        except RowError:
            refused += 1
    reader.check(Path("data.yaml"), ScanReport())
    assert refused == 3


@pytest.mark.parametrize("strange", [tracked(9), key_points(9, 8), key_points(9, 2, visible=True)])
def test_a_few_rows_with_more_columns_among_outlines_are_refused_one_by_one(strange):
    reader, refused = RowReader(None), 0
    for row in [*outlines(60, 8), *strange, *outlines(31, 8)]:
        try:
            reader(row, "a row")
        except RowError:
            refused += 1
            assert row in strange
    reader.check(Path("data.yaml"), ScanReport())
    assert refused == 9


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (outlines(60, 8) + columns(9, 2), "2 more, such as two confidences or a key point"),
        (outlines(60, 8) + key_points(20, 2), "4 more, such as 2 key points of x and y"),
        (outlines(60, 8) + columns(5, 2), None),  # so few may be triangles
        (outlines(60, 8) + outlines(40, 3), None),
        (outlines(60, 8) + outlines(40, 4, (0.45, 0.55)), None),
    ],
)
def test_rows_of_one_length_among_outlines_that_are_boxes_with_more_columns_are_refused(rows, words):
    reader = RowReader(None)
    for number, row in enumerate(rows):
        with suppress(RowError):
            reader(row, f"line {number}")
    if words is None:
        reader.check(Path("data.yaml"), ScanReport())
    else:
        with pytest.raises(DataError, match=f"no outlines but a class, a box and {words} .line 6"):
            reader.check(Path("data.yaml"), ScanReport())


@pytest.mark.parametrize(
    "corners",
    [
        ".4 .5 .6 .5 .7 .9 -.15 .9",  # outside of the image
        ".4 .5 .6 .5 .7 1 0 1",  # in its corner
        ".4 .5 .6 .5 .6 .7 .4 .7 .4 .5",  # closed
        ".4 .5 .6 .5 .6 .5 .6 .7 .4 .7",  # with a corner that is there twice
    ],
)
def test_outlines_that_begin_like_a_box_stay_outlines(corners):
    values = [float(value) for value in corners.split()]
    expected = min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    assert RowReader(None)(f"0 {corners}", "") == (0, expected)


def test_a_long_outline_that_crosses_itself_once_stays_one_and_is_read_at_once():
    angles = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    eight = 0.5 + 0.2 * np.stack([np.sin(angles), np.sin(angles) * np.cos(angles)], axis=1)
    reader, start = RowReader(None), time.process_time()
    for _ in range(3):
        assert reader(text(np.roll(eight, -1, axis=0)), "") == (0, (0.3, 0.4, 0.7, 0.6))
    assert time.process_time() - start < 1
