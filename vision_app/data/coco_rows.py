"""Annotations of a COCO-style file: each image's become a sample."""

from collections.abc import Callable, Mapping, Sequence
from reprlib import repr as shortened
from typing import Any

import numpy as np

from vision_app.core.errors import DataError, ImageError
from vision_app.core.images import read_size
from vision_app.data.box_form import BoxForm
from vision_app.data.layout import ImageFolders, found_name
from vision_app.data.parse import flag, key, number, numbers
from vision_app.data.samples import AnnotatedImage, ImageAnnotations
from vision_app.data.scan_report import ScanReport
from vision_app.released.landmarks import Landmarks

Row = dict[str, Any]


def problem_of(row: object, where: str, fields: Mapping[str, Callable[[object], object]]) -> str | None:
    """Say what is wrong with a row of the file; None where nothing is."""
    if not isinstance(row, dict):
        return f"{where} is {shortened(row)}, not an object"
    if missing := next((name for name in fields if name not in row), None):
        return f"{where} has no '{missing}'"
    wrong = next((name for name, valid in fields.items() if valid(row[name]) in (None, False)), None)
    return wrong and f"{where} has '{wrong}': {shortened(row[wrong])}"


def count_type(row: Row, name: str, original: object, report: ScanReport) -> None:
    """Count an id that is written otherwise than what it refers to."""
    if type(row[name]) is not type(original) or row[name] != original:
        kind = "id written otherwise" if type(row[name]) is type(original) else "id of another type"
        report.count(kind, f"'{name}': {row[name]!r} for {original!r}")


class ImageReader:
    """Turns an image of the file and its annotations into a sample.

    Args:
        folders: Where the images are.
        names: Of the classes.
        landmarks: Of the set.
        categories: Rows by id.
        report: Takes what is wrong.

    Attributes:
        form: Tells whether the boxes that were read have another form.
    """

    def __init__(
        self,
        folders: ImageFolders,
        names: tuple[str, ...],
        landmarks: Landmarks,
        categories: dict[str | None, Row],
        report: ScanReport,
    ):
        self.folders, self.categories, self.report = folders, categories, report
        self.form = BoxForm("x, y, width and height")
        self.index = {place: names.index(row["name"]) for place, row in categories.items()}
        count = len(landmarks)
        self.points = {place: count * (row["name"] in landmarks.classes) for place, row in categories.items()}

    def __call__(self, image: Row, rows: Sequence[tuple[int, Row]]) -> AnnotatedImage | None:
        """Return an image with its annotations and their places in the file; None, which is reported, if it is lost."""
        name = image["file_name"]
        try:
            path = self.folders.find(name, self.report)
            name = found_name(name, path)
            size = image["width"], image["height"]
            width, height = size if all(size) else read_size(path)
        except DataError as error:
            self.report.add("missing image", str(error))
            return None
        except ImageError as error:
            self.report.add("corrupt image", str(error))
            return None
        points = max(self.points.values(), default=0)
        annotations = ImageAnnotations(name, width, height, self.report, points)
        for place, row in rows:
            self._add(place, row, annotations)
        return annotations.sample(path, self.index.values(), exhaustive=image.get("labels") != "voc20")

    def _add(self, place: int, row: Row, annotations: ImageAnnotations) -> None:
        """Add an annotation to those of its image, or report it."""
        where, report = f"annotation {row.get('id')} of {annotations.name}", self.report
        box = _box(row, where, report)
        fields: dict[str, Callable[[object], object]] = {"category_id": key} | ({} if box else {"bbox": lambda _: True})
        if (problem := problem_of(row, f"annotations[{place}]", fields)) or not box:
            problem = problem or f"annotations[{place}] has 'bbox': {shortened(row['bbox'])}, not four numbers"
            annotations.refuse("malformed row", problem)
            return
        category = key(row["category_id"])
        if category not in self.index:
            annotations.refuse("unknown category", f"{where}: {row['category_id']}")
            return
        count_type(row, "category_id", self.categories[category]["id"], report)
        x, y, w, h = box
        what = f"{where}: {row['bbox'] if row.get('bbox') else box}"
        if numbers(row.get("bbox")) == box:
            sides = annotations.width, annotations.height
            self.form.add(box, (x, y, x + w, y + h), *sides, number(row.get("area")))
        ignored = [_switch(row, name, where, report) for name in ("iscrowd", "difficult")]
        landmarks = _points(row, self.points[category], what, report)
        annotations.add(
            (x, y, x + w, y + h), self.index[category], what,
            ignored=any(ignored), area=number(row.get("area")), landmarks=landmarks,
        )  # fmt: skip


def _box(row: Row, where: str, report: ScanReport) -> list[float] | None:
    """Return the x, y, width and height of an annotation; without a box, or with an empty one, those of its outline."""
    given = row.get("bbox")
    box = numbers(given)
    box = box if box and len(box) == 4 else None
    if not box or min(box[2:]) <= 0:
        parts = row.get("segmentation")
        rings = parts if isinstance(parts, list) and all(isinstance(part, list) for part in parts) else [parts]
        values = [numbers(ring) or [] for ring in rings]
        if all(len(ring) >= 6 and len(ring) % 2 == 0 for ring in values) and values:
            x, y = (np.concatenate([ring[start::2] for ring in values]) for start in (0, 1))
            report.count("box from its outline", where)
            return [float(x.min()), float(y.min()), float(np.ptp(x)), float(np.ptp(y))]
    if box and any(isinstance(value, str) for value in given or ()):
        report.count("number written as text", f"{where}: {given}")
    return box


def _switch(row: Row, name: str, where: str, report: ScanReport) -> bool:
    """Return whether a flag is set, which it is not where it is left out."""
    value = row.get(name)
    if value is None or value == "":
        return False
    if (found := flag(value)) is None:
        report.count("unknown flag", f"{where}: '{name}' is {shortened(value)} (taken as not set)")
    elif isinstance(value, str):
        report.count("flag written as text", f"{where}: '{name}' is {value!r}")
    return bool(found)


def _points(row: Row, points: int, what: str, report: ScanReport) -> np.ndarray | None:
    """Return the (K, 2) keypoints of an annotation, NaN where one is not known; None where it has none."""
    given = row.get("keypoints")
    if not points or not given:
        return None
    values = numbers(given)
    if values is None or len(values) != 3 * points:
        report.add("malformed keypoints", f"{what} has {shortened(given)}, not x, y, v of {points} points (none known)")
        return None
    table = np.array(values, np.float64).reshape(points, 3)
    return np.where(table[:, 2:] > 0, table[:, :2], np.nan)
