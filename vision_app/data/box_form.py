"""Tells by all boxes of a set that they have another form than they should: two corners, or parts of a side."""

from collections.abc import Sequence
from pathlib import Path

from vision_app.core.errors import DataError
from vision_app.data.scan_report import ScanReport

FEW = 3  # boxes that say nothing yet
FAR = 0.05  # of an image's side, by which a box that reaches beyond it does so for sure
NEAR = 0.01  # by which a box may reach beyond it and fit
RARE = 0.1  # part of the boxes that may reach beyond their images
WELL_BEYOND = 0.15  # of a side: how far boxes reach beyond on average that are not just drawn past an edge
CORNERS = 0.98  # part of the boxes that fit as corners where all are some, but for mistakes
SAME_AREA = 0.01  # part of an area by which two may differ


class BoxForm:
    """Counts boxes that do not fit their images as they should be read, and those that fit in another form.

    Args:
        wanted: How boxes should be given, for the message, such as "x, y, width and height".
    """

    def __init__(self, wanted: str):
        self.wanted = wanted
        self.boxes = self.beyond = self.corners = self.corner_areas = self.parts = 0
        self.distance = 0.0  # sum of how far boxes reach beyond

    def add(
        self, given: Sequence[float], box: Sequence[float], width: float, height: float, area: float | None = None
    ) -> None:
        """Count a box.

        Args:
            given: The four numbers as they are given.
            box: X1, y1, x2, y2 of the box that they should be.
            width: Width of the image, in the same unit.
            height: Its height.
            area: What is given as the area of the object, in squares of that unit.
        """
        self.boxes += 1
        if (distance := _beyond(box, width, height)) > FAR:
            self.beyond, self.distance = self.beyond + 1, self.distance + distance
        if given[0] < given[2] and given[1] < given[3] and _beyond(given, width, height) <= NEAR:
            self.corners += 1
            self.corner_areas += area is not None and _is_area(area, given) and not _is_area(area, box)
        is_whole = all(float(value).is_integer() for value in given)
        self.parts += min(width, height) > 2 and not is_whole and _beyond(given, 1, 1) <= NEAR

    def check(self, source: Path, report: ScanReport) -> None:
        """Refuse a set whose boxes are parts of their images' sides or corners; report one where it may be so.

        Boxes are corners where nearly all fit as such and their areas are those of corners, or more reach beyond their
        images than boxes drawn past an edge do: most, or more than a few and well beyond.

        Raises:
            DataError: It is such a set; names `source`.
        """
        if self.boxes < FEW:
            return
        if 2 * self.parts > self.boxes:
            found = f"{self.parts:,} of its {self.boxes:,} boxes are in parts of their images' sides, from 0 to 1"
            raise DataError(f"{source}: not in pixels, {found}; write {self.wanted} in pixels")
        found = f"read as {self.wanted}, {self.beyond:,} of {self.boxes:,} reach beyond their images"
        if self.corners < CORNERS * self.boxes:
            if self.beyond > RARE * self.boxes:
                report.count("boxes may have another form", f"{found}; they may be given by their centers")
            return
        fit = "all" if self.corners == self.boxes else f"{self.corners:,}"
        mean = self.distance / max(self.beyond, 1)
        is_far = 2 * self.beyond > self.boxes or (self.beyond > RARE * self.boxes and mean > WELL_BEYOND)
        if 2 * self.corner_areas > self.boxes and not is_far:
            found = f"the areas of {self.corner_areas:,} of {self.boxes:,} are those of corners"
        elif not is_far:
            if self.beyond:
                report.count("boxes may be corners", f"{found}, and as corners x1, y1, x2, y2 {fit} fit")
            return
        raise DataError(
            f"{source}: its boxes are two corners, x1, y1, x2 and y2: {found}, and as corners {fit} fit; "
            f"write {self.wanted}, and cut boxes at the edges of their images"
        )


def _beyond(box: Sequence[float], width: float, height: float) -> float:
    """Return how far a box reaches beyond its image, as a part of a side; less than 0 where it does not."""
    x1, y1, x2, y2 = box
    return max(-x1 / width, -y1 / height, x2 / width - 1, y2 / height - 1)


def _is_area(area: float, box: Sequence[float]) -> bool:
    x1, y1, x2, y2 = box
    return area > 0 and abs((x2 - x1) * (y2 - y1) - area) <= SAME_AREA * area
