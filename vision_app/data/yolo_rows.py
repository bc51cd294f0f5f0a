"""Rows of YOLO's labels: boxes and outlines, told from boxes with columns of another kind behind them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from reprlib import repr as shortened

import numpy as np

from vision_app.core.errors import DataError
from vision_app.data.box_form import BoxForm
from vision_app.data.parse import number
from vision_app.data.scan_report import ScanReport

COLUMNS = "class", "center x", "center y", "width", "height"  # of a row that is a box
Box = tuple[float, float, float, float]
NORMALIZED = 1.5  # a part of an image's side is 1 at most; boxes over the edge are a little more
SLACK = 0.01  # of the image's side, by which rounding may miss an edge
DOUBTFUL = 0.1  # part of the rows with more than four numbers from which on the set has no outlines
FEW = 6  # rows of a length that say nothing yet; of as many outlines, one at least does not begin like a box
CROSSING = 0.2  # for each row that begins like a box and may be an outline, rows of its length that cannot be one
APART = 2  # sides of the box around the others, by which a corner is far from them
CORNERS = 64  # of an outline that are looked at, to keep this fast


class RowError(ValueError):
    """A row that cannot be used.

    Attributes:
        kind: See `scan_report`.
        reason: What is wrong.
    """

    def __init__(self, kind: str, reason: str):
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
        self._longer = self._doubtful = self._outlines = 0
        self._by_length: defaultdict[int, Counter[str]] = defaultdict(Counter)  # rows that begin with a box or not
        self._form = BoxForm("center x, center y, width and height")

    def __call__(self, line: str, where: str) -> tuple[float, Box]:
        """Return the class index and the box of a row, x1, y1, x2, y2 as parts of the image's sides.

        Args:
            line: Class index and center x, center y, width and height, or the x and y of three corners or more.
            where: The row in its file, for errors of the whole set.

        Raises:
            RowError: It is no such row.
        """
        label, *values = _numbers(line)
        more = len(values) - 4
        count = more + 5
        if self.key_points is not None:
            if more != self.key_points:
                raise RowError("malformed row", f"has {count} columns, not {5 + self.key_points} as in 'kpt_shape'")
            values, more = values[:4], 0
        in_range = all(-NORMALIZED < value < NORMALIZED for value in values)
        if more and not self._is_outline(values, where, certain=more % 2 == 1 or not in_range):
            raise RowError("malformed row", f"has {count} columns, a class, a box and {_columns(values[4:])}")
        if more % 2:
            raise RowError("malformed row", f"has {count} columns; an outline has a class and pairs of x and y")
        if not in_range:
            raise RowError("not normalized", "is in pixels or percent; write parts of the image's sides, from 0 to 1")
        if not more:
            x, y, w, h = values
            box = x - w / 2, y - h / 2, x + w / 2, y + h / 2
            self._form.add(values, box, 1, 1)
            return label, box
        return label, (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))

    def check(self, source: Path, report: ScanReport) -> None:
        """Refuse a set whose outlines are boxes with more columns, or its boxes corners, by all that was read of it.

        Args:
            source: Names the set in errors.
            report: Takes that boxes may be corners.

        Raises:
            DataError: They are; names `source`.
        """
        self._form.check(source, report)
        mixed = any(map(self._is_mixed, self._by_length))
        if mixed or self._doubtful > max(self._outlines, DOUBTFUL * self._longer):
            raise DataError(
                f"{source}: rows of its labels are no outlines but a class, a box and {self._first}; delete these "
                "columns or, if they are key points, describe them with 'kpt_shape'"
            )

    def _is_outline(self, values: Sequence[float], where: str, *, certain: bool) -> bool:
        """Return whether a row is an outline and no box with more columns; count what may be such a box.

        Args:
            values: All numbers behind the class.
            where: The row in its file.
            certain: Whether it is none if it may begin with a box.
        """
        self._longer += not certain
        kinds = self._by_length[len(values)]
        if not _is_box(values):
            self._outlines += not certain
            kinds["outline"] += 1
            return True
        columns = certain or _is_tracked(values[4:]) or _has_visibility(values) or not _is_simple(values)
        unlikely = not columns and _are_likely_points(values)
        if not certain and (
            columns or unlikely or len(values) == 6 or _are_flags(values[4:])
        ):  # nobody draws triangles
            self._doubtful += 1
            self._first = self._first or f"{_columns(values[4:])} ({where})"
        kinds["columns" if columns else "unlikely" if unlikely else "either"] += not certain
        return not (columns or unlikely)

    def _is_mixed(self, length: int) -> bool:
        """Return whether the rows of a length are boxes with more columns, though some of them passed as outlines.

        Outlines do not cross themselves, and some of many do not begin like a box.
        """
        kinds = self._by_length[length]
        if not kinds["either"] or kinds.total() < FEW:
            return False
        if not kinds["outline"] and (length == 6 or kinds["columns"] + kinds["unlikely"] > kinds["either"]):
            return True
        return length > 6 and kinds["columns"] > CROSSING * kinds["either"]


def _numbers(line: str) -> list[float]:
    """Return the class index and what follows, at least a box.

    Raises:
        RowError: There are fewer numbers, or something else; names the column.
    """
    words = line.split()
    values = [number(word) for word in words]
    if None in values:
        place = values.index(None)
        named = f" ({COLUMNS[place]})" if len(words) == len(COLUMNS) else ""
        spaces = "; separate columns with spaces" * any(sign in words[place] for sign in ",;")
        raise RowError(
            "malformed row", f"has {shortened(words[place])} in column {place + 1}{named}, not a number{spaces}"
        )
    if len(words) < len(COLUMNS):
        columns = f"{len(words)} column{'s' * (len(words) > 1)}"
        raise RowError("malformed row", f"has {columns}, fewer than the {len(COLUMNS)} of {', '.join(COLUMNS)}")
    return [value for value in values if value is not None]


def _is_box(values: Sequence[float]) -> bool:
    """Return whether the first four numbers are a box in the image."""
    x, y, w, h = values[:4]
    inside = all(center - side / 2 >= -SLACK and center + side / 2 <= 1 + SLACK for center, side in ((x, w), (y, h)))
    return inside and min(w, h) > 0


def _is_tracked(more: Sequence[float]) -> bool:
    return len(more) == 2 and _are_flags(more)


def _are_flags(more: Sequence[float]) -> bool:
    """Return whether all but the first, which may be a confidence, are whole numbers."""
    return 0 <= more[0] <= 1 and all(value.is_integer() for value in more[1:])


def _has_visibility(values: Sequence[float]) -> bool:
    more = values[4:]
    return len(more) % 3 == 0 and set(more[2::3]) <= {0, 1, 2} and _in_box(values, 3)


def _are_likely_points(values: Sequence[float]) -> bool:
    """Return whether what may be an outline is more likely a box with key points of x and y.

    These lie in the box, and as an outline its size would be a corner: one far from the others, or, of four, in the
    wrong place for two diagonals that cross.
    """
    if len(values) == 6 or not _in_box(values, 2):
        return False
    corners = np.array(values, np.float64).reshape(-1, 2)
    corners = np.vstack([corners[:2], corners[2:][corners[2:].any(axis=1)]])  # 0, 0 stands for no point
    others = np.delete(corners, 1, axis=0)
    low, high = others.min(axis=0), others.max(axis=0)
    if np.maximum(low - corners[1], corners[1] - high).max() > APART * (high - low).max():
        return True
    kept = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    return len(kept) == 4 and not _is_convex(kept)


def _is_convex(corners: np.ndarray) -> bool:
    """Return whether an outline, which does not cross itself, turns the same way at all of its corners (N, 2)."""
    sides = np.roll(corners, -1, axis=0) - corners
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    return bool((turns >= 0).all() or (turns <= 0).all())


def _in_box(values: Sequence[float], numbers: int) -> bool:
    """Return whether all points behind a box lie in it, or at 0, 0, which stands for no point.

    Args:
        values: Center x, center y, width, height and the points.
        numbers: How many a point has, x and y first.
    """
    x, y, w, h = values[:4]
    points = zip(values[4::numbers], values[5::numbers], strict=False)
    return all((a == b == 0) or (abs(a - x) <= w / 2 + SLACK and abs(b - y) <= h / 2 + SLACK) for a, b in points)


def _columns(more: Sequence[float]) -> str:
    """Say what the columns behind a box may be."""
    if len(more) == 1:
        return "1 more, such as a confidence"
    if _is_tracked(more):
        return "2 more, such as a confidence and a track id"
    if len(more) == 2:
        return "2 more, such as two confidences or a key point"
    if len(more) % 3 == 0 and set(more[2::3]) <= {0, 1, 2}:
        return f"{len(more)} more, such as {len(more) // 3} key points of x, y and visibility"
    return f"{len(more)} more" + f", such as {len(more) // 2} key points of x and y" * (len(more) % 2 == 0)


def _is_simple(values: Sequence[float]) -> bool:
    """Return whether an outline hardly crosses itself or stands still; one of many corners may do so a few times.

    Side i crosses side j where the ends of each lie on different sides of the other.
    """
    corners = np.array(values, np.float64).reshape(-1, 2)
    corners = corners[:: -(-len(corners) // CORNERS)]
    kept = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    count = len(kept)
    if count < 3 or 2 * count < len(corners):
        return False
    sides, to = np.roll(kept, -1, axis=0) - kept, kept - kept[:, None]
    turn = sides[:, None, 0] * to[..., 1] - sides[:, None, 1] * to[..., 0]  # (side, corner)
    split = turn * np.roll(turn, -1, axis=1) < 0
    return bool((split & split.T).sum() / 2 * 10 < count)
