"""COCO-style JSON files with boxes."""

import json
from collections import defaultdict
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import numpy as np

from vision_app.core.errors import DataError
from vision_app.data.samples import AnnotatedImage, DetectionSet, ImageAnnotations
from vision_app.data.scan_report import ScanReport
from vision_app.released.landmarks import NO_LANDMARKS, Landmarks


def load_coco(path: str | Path) -> DetectionSet:
    """Read a COCO-style JSON file whose images are in `images/` beside it, or beside it.

    Beyond COCO's fields, `difficult` on an annotation marks an ignore region, as `iscrowd` does; `labels` on an image
    may be `voc20`: only animals of VOC's classes are boxed there and more may be in the image.

    The `keypoints` of a category are the names of its landmarks, those of an annotation x, y and v for each of them, v
    being 0 where a point is not known. All categories that have any name the same ones.

    Raises:
        DataError: The file cannot be read, is not a COCO file, or none of its images can be used.
    """
    path = Path(path)
    content = _read_json(path)
    report = ScanReport()
    rows = _well_formed(content, "categories", report)
    if report.entries:
        raise DataError(f"{path}: {report.first()}")
    names = tuple(dict.fromkeys(row["name"] for row in rows))
    index = {row["id"]: names.index(row["name"]) for row in rows}
    landmarks = _landmarks(rows, path)
    points = {row["id"]: len(landmarks) * (row["name"] in landmarks.classes) for row in rows}
    images, annotations = _well_formed(content, "images", report), defaultdict(list)
    known = {image["id"] for image in images}
    for row in _well_formed(content, "annotations", report):
        if row["image_id"] in known:
            annotations[row["image_id"]].append(row)
        else:
            report.add("annotation without image", f"annotation {row.get('id')} names image {row['image_id']}")
    samples: list[AnnotatedImage] = []
    seen: set[tuple[str, Any]] = set()
    for image in images:
        keys = {("name", image["file_name"]), ("id", image["id"])}
        if keys & seen:
            report.add("duplicate image", f"{image['file_name']}, id {image['id']}")
            continue
        seen |= keys
        sample = _sample(path.parent, image, annotations[image["id"]], index, points, report)
        if sample:
            samples.append(sample)
    if not samples:
        raise DataError(f"{path}: none of its {len(content['images'])} images can be used ({report.first()})")
    return DetectionSet(names, tuple(samples), report, landmarks=landmarks)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not a JSON file ({error})") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(f"{path}: not a COCO file, it has no list '{key}'")
    return content


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9  # no NaN, no infinity


def _is_key(value: object) -> bool:
    return isinstance(value, int | str)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_side(value: object) -> bool:
    return isinstance(value, int | float) and 1 <= value < 1e9


def _is_box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


_FIELDS = {  # what a row of each list must have
    "images": {"id": _is_key, "file_name": _is_name, "width": _is_side, "height": _is_side},
    "annotations": {"image_id": _is_key, "category_id": _is_key, "bbox": _is_box},
    "categories": {"id": _is_key, "name": _is_name},
}


def _well_formed(content: dict[str, Any], name: str, report: ScanReport) -> list[dict[str, Any]]:
    """Return the rows of one of the file's lists that are complete; report the others."""
    rows = []
    for i, row in enumerate(content[name]):
        if not isinstance(row, dict):
            report.add("malformed row", f"{name}[{i}] is {shortened(row)}, not an object")
        elif missing := [key for key in _FIELDS[name] if key not in row]:
            report.add("malformed row", f"{name}[{i}] has no '{missing[0]}'")
        elif wrong := [key for key, valid in _FIELDS[name].items() if not valid(row[key])]:
            report.add("malformed row", f"{name}[{i}] has '{wrong[0]}': {shortened(row[wrong[0]])}")
        else:
            rows.append(row)
    return rows


def _landmarks(categories: list[dict[str, Any]], path: Path) -> Landmarks:
    """Return the points that the file's categories name, and the classes that have them."""
    named = {row["name"]: row["keypoints"] for row in categories if row.get("keypoints")}
    for label, names in named.items():
        if not isinstance(names, list) or not all(map(_is_name, names)) or len(set(names)) < len(names):
            raise DataError(f"{path}: category '{label}' has 'keypoints': {shortened(names)}, not a list of names")
    lists = list(dict.fromkeys(map(tuple, named.values())))
    if len(lists) > 1:
        different = [next(label for label, names in named.items() if tuple(names) == one) for one in lists[:2]]
        raise DataError(
            f"{path}: categories '{different[0]}' and '{different[1]}' name different keypoints; "
            "a detector learns one list of them, with v = 0 for those that an object has not"
        )
    return Landmarks(lists[0], tuple(named)) if named else NO_LANDMARKS


def _sample(
    folder: Path,
    image: dict[str, Any],
    rows: list[dict[str, Any]],
    index: dict[int, int],
    points: dict[int, int],
    report: ScanReport,
) -> AnnotatedImage | None:
    name = image["file_name"]
    path = next((p for p in (folder / "images" / name, folder / name) if p.is_file()), None)
    if path is None:
        report.add("missing image", f"{name} is neither in {folder / 'images'} nor in {folder}")
        return None
    annotations = ImageAnnotations(name, image["width"], image["height"], report, max(points.values(), default=0))
    for row in rows:
        if row["category_id"] not in index:
            annotations.refuse("unknown category", f"annotation {row.get('id')} of {name}: {row['category_id']}")
            continue
        x, y, w, h = row["bbox"]
        ignored, area = bool(row.get("iscrowd") or row.get("difficult")), row.get("area")
        what = f"annotation {row.get('id')} of {name}: {row['bbox']}"
        landmarks = _points(row, points[row["category_id"]], what, report)
        annotations.add(
            (x, y, x + w, y + h), index[row["category_id"]], what,
            ignored=ignored, area=area if _is_number(area) else None, landmarks=landmarks,
        )  # fmt: skip
    return annotations.sample(path, index.values(), exhaustive=image.get("labels") != "voc20")


def _points(row: dict[str, Any], points: int, what: str, report: ScanReport) -> np.ndarray | None:
    """Return the (K, 2) keypoints of an annotation, NaN where one is not known; None where it has none."""
    values = row.get("keypoints")
    if not points or not values:
        return None
    if not isinstance(values, list) or len(values) != 3 * points or not all(map(_is_number, values)):
        report.add(
            "malformed keypoints", f"{what} has {shortened(values)}, not x, y, v of {points} points (none known)"
        )
        return None
    table = np.array(values, np.float64).reshape(points, 3)
    return np.where(table[:, 2:] > 0, table[:, :2], np.nan)
