"""Tells by all boxes of a set that they have another form than they should: two corners, or parts of a side."""

from collections.abc import Sequence
from pathlib import Path

from vision_app.core.errors import DataError

FEW = 3  # boxes that say nothing yet
FAR = 0.05  # of an image's side, by which a box that reaches beyond it does so for sure
NEAR = 0.01  # by which a box may reach beyond it and fit


class BoxForm:
    """Counts boxes that do not fit their images as they should be read, and those that fit in another form.

    Args:
        wanted: How boxes should be given, for the message, such as "x, y, width and height".
    """

    def __init__(self, wanted: str):
        self.wanted = wanted
        self.boxes = self.beyond = self.corners = self.parts = 0

    def add(self, given: Sequence[float], box: Sequence[float], width: float, height: float) -> None:
        """Count a box.

        Args:
            given: The four numbers as they are given.
            box: X1, y1, x2, y2 of the box that they should be.
            width: Width of the image, in the same unit.
            height: Its height.
        """
        self.boxes += 1
        self.beyond += not _is_inside(box, width, height, FAR)
        self.corners += given[0] <= given[2] and given[1] <= given[3] and _is_inside(given, width, height, NEAR)
        is_whole = all(float(value).is_integer() for value in given)
        self.parts += min(width, height) > 2 and not is_whole and _is_inside(given, 1, 1, NEAR)

    def check(self, source: Path) -> None:
        """Refuse a set of whose boxes most are parts of their images' sides, or reach beyond them and fit as corners.

        Raises:
            DataError: It is such a set; names `source`.
        """
        if self.boxes < FEW:
            return
        if 2 * self.parts > self.boxes:
            found = f"{self.parts:,} of its {self.boxes:,} boxes are in parts of their images' sides, from 0 to 1"
            raise DataError(f"{source}: not in pixels, {found}; write {self.wanted} in pixels")
        if 2 * self.beyond > self.boxes == self.corners:
            found = f"read as {self.wanted}, {self.beyond:,} of {self.boxes:,} reach beyond their images"
            raise DataError(
                f"{source}: its boxes are two corners, x1, y1, x2 and y2: {found}, and as corners all fit; "
                f"write {self.wanted}"
            )


def _is_inside(box: Sequence[float], width: float, height: float, slack: float) -> bool:
    x1, y1, x2, y2 = box
    return min(x1 / width, y1 / height) >= -slack and max(x2 / width, y2 / height) <= 1 + slack
