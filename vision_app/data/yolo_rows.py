"""Rows of YOLO's labels: boxes and outlines, told from boxes with columns of another kind behind them."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from vision_app.core.errors import DataError
from vision_app.data.parse import number

Box = tuple[float, float, float, float]
NORMALIZED = 1.5  # a part of an image's side is 1 at most; boxes over the edge are a little more
SLACK = 0.01  # of the image's side, by which rounding may miss an edge
LOOKED_AT = 1000  # rows with more than four numbers that are looked at
DOUBTFUL = 0.1  # part of these from which on the set has no outlines


class RowError(ValueError):
    """A row that cannot be used.

    Attributes:
        kind: See `scan_report`.
        reason: What is wrong, "" where that is the kind.
    """

    def __init__(self, kind: str, reason: str = ""):
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason


class RowReader:
    """Reads rows of labels.

    Args:
        key_points: How many numbers of key points stand behind the four of a box; None in a set without them.
    """

    def __init__(self, key_points: int | None):
        self.key_points = key_points
        self._first = ""  # row that looks like a box with more columns
        self._looked_at = self._doubtful = self._outlines = 0

    def __call__(self, line: str, where: str) -> tuple[float, Box]:
        """Return the class index and the box of a row, x1, y1, x2, y2 as parts of the image's sides.

        Args:
            line: Class index and center x, center y, width and height, or the x and y of three corners or more.
            where: The row in its file, for errors of the whole set.

        Raises:
            RowError: It is no such row.
        """
        row = [number(word) for word in line.split()]
        values = [value for value in row if value is not None]
        count = len(row)
        if len(values) < count or count < 5:
            raise RowError("malformed row")
        label, values, more = values[0], values[1:], count - 5
        if self.key_points is not None:
            if more != self.key_points:
                raise RowError("malformed row", f"has {count} columns, not {5 + self.key_points} as in 'kpt_shape'")
            values, more = values[:4], 0
        if more and (more % 2 or not _in_range(values)) and _is_box(values):
            raise RowError("malformed row", f"has {count} columns, a class, a box and {_columns(values[4:])}")
        if more % 2:
            raise RowError("malformed row", f"has {count} columns")
        if not all(-NORMALIZED < value < NORMALIZED for value in values):
            raise RowError("not normalized", "is in pixels or percent; write parts of the image's sides, from 0 to 1")
        if not more:
            x, y, w, h = values
            return label, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        self._look(values, where)
        return label, (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))

    def check(self, source: Path) -> None:
        """Refuse a set whose outlines are boxes with more columns, by all that was read of it.

        Raises:
            DataError: They are; names `source`.
        """
        if self._doubtful > max(self._outlines, DOUBTFUL * self._looked_at):
            raise DataError(
                f"{source}: rows of its labels are no outlines but a class, a box and {self._first}; delete these "
                "columns or, if they are key points, describe them with 'kpt_shape'"
            )

    def _look(self, values: Sequence[float], where: str) -> None:
        """Count whether a row may be a box with more columns."""
        if self._looked_at == LOOKED_AT:
            return
        self._looked_at += 1
        if not (_is_box(values) and _like_columns(values)):
            self._outlines += 1
        elif _unlike_outline(values):
            self._doubtful += 1
            self._first = self._first or f"{_columns(values[4:])} ({where})"


def _in_range(values: Sequence[float]) -> bool:
    return all(-0.1 <= value <= 1.1 for value in values)


def _is_box(values: Sequence[float]) -> bool:
    """Return whether the first four numbers are a box in the image."""
    x, y, w, h = values[:4]
    inside = all(center - side / 2 >= -SLACK and center + side / 2 <= 1 + SLACK for center, side in ((x, w), (y, h)))
    return inside and min(w, h) > 0


def _like_columns(values: Sequence[float]) -> bool:
    """Return whether what stands behind a box may be a confidence and an id, or key points in it."""
    more = values[4:]
    return _is_tracked(more) or _in_box(values, 2) or _has_visibility(values)


def _unlike_outline(values: Sequence[float]) -> bool:
    """Return whether it is hardly the end of an outline: nobody draws triangles or lines that cross themselves."""
    return len(values) == 6 or _has_visibility(values) or not _is_simple(values)


def _is_tracked(more: Sequence[float]) -> bool:
    return len(more) == 2 and 0 <= more[0] <= 1 and more[1].is_integer()


def _has_visibility(values: Sequence[float]) -> bool:
    more = values[4:]
    return len(more) % 3 == 0 and set(more[2::3]) <= {0, 1, 2} and _in_box(values, 3)


def _in_box(values: Sequence[float], step: int) -> bool:
    """Return whether all points behind a box, `step` numbers each, lie in it, or at 0, 0, which stands for no point."""
    x, y, w, h = values[:4]
    points = zip(values[4::step], values[5::step], strict=False)
    return all((a == b == 0) or (abs(a - x) <= w / 2 + SLACK and abs(b - y) <= h / 2 + SLACK) for a, b in points)


def _columns(more: Sequence[float]) -> str:
    """Say what the columns behind a box may be."""
    if len(more) == 1:
        return "1 more, such as a confidence"
    if _is_tracked(more):
        return "2 more, such as a confidence and a track id"
    if len(more) % 3 == 0 and set(more[2::3]) <= {0, 1, 2}:
        return f"{len(more)} more, such as {len(more) // 3} key points of x, y and visibility"
    return f"{len(more)} more" + f", such as {len(more) // 2} key points of x and y" * (len(more) % 2 == 0)


def _is_simple(values: Sequence[float]) -> bool:
    """Return whether an outline has no corner twice in a row and does not cross itself."""
    corners = list(zip(values[::2], values[1::2], strict=True))
    if corners[0] == corners[-1]:
        corners.pop()
    sides = list(zip(corners, corners[1:] + corners[:1], strict=True))
    if len(sides) < 3 or any(a == b for a, b in sides):
        return False
    return not any(
        _crosses(*one, *other) for one, other in combinations(sides, 2) if one[1] != other[0] and other[1] != one[0]
    )


Point = tuple[float, float]


def _crosses(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Return whether the line from a to b crosses that from c to d."""

    def turn(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0
