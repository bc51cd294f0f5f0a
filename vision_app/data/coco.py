"""COCO-style JSON files with boxes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import numpy as np

from vision_app.core.errors import DataError, ImageError
from vision_app.core.files import parse_json, read_text
from vision_app.core.images import read_size
from vision_app.data.layout import ImageFolders, found_name, is_leftover
from vision_app.data.parse import flag, key, number, numbers
from vision_app.data.samples import AnnotatedImage, DetectionSet, ImageAnnotations
from vision_app.data.scan_report import ScanReport
from vision_app.released.landmarks import NO_LANDMARKS, Landmarks

Row = dict[str, Any]


def load_coco(path: str | Path, images: Sequence[Path] = ()) -> DetectionSet:
    """Read a COCO-style JSON file.

    Its images are in `images/` beside it, beside it, or in a sub-folder of these that is called like the file; a file
    in `annotations/` has them beside that folder. See `layout.ImageFolders`.

    Beyond COCO's fields, `difficult` on an annotation marks an ignore region, as `iscrowd` does; `labels` on an image
    may be `voc20`: only animals of VOC's classes are boxed there and more may be in the image.

    The `keypoints` of a category are the names of its landmarks, those of an annotation x, y and v for each of them, v
    being 0 where a point is not known. All categories that have any name the same ones.

    Numbers and ids may be written as text, a missing box is taken from its outline, and a missing size from the image;
    each is counted in the report. An image of which no annotation can be used is left out.

    Args:
        path: The file.
        images: Folders that have the images, if they are elsewhere.

    Raises:
        DataError: The file cannot be read, is not a COCO file, most of its annotations cannot be used, or none of its
            images can.
    """
    path = Path(path)
    content = _read_json(path)
    report = ScanReport()
    categories = _categories(content, path, report)
    names = tuple(dict.fromkeys(row["name"] for row in categories.values()))
    landmarks = _landmarks(list(categories.values()), path)
    reader = _ImageReader(ImageFolders.of_json(path, images), names, landmarks, categories, report)
    listed = _well_formed(content["images"], report)
    annotations = _by_image(content["annotations"], {key(row["id"]): row["id"] for row in listed}, path, report)
    first: dict[tuple[str, str | None], Row] = {}
    rows: dict[int, list[tuple[int, Row]]] = {}
    for image in listed:
        keys = ("name", image["file_name"]), ("id", key(image["id"]))
        known = [first[one] for one in keys if one in first]
        if known:
            _check_written(known[0], image, path)
            report.add("duplicate image", f"{image['file_name']}, id {image['id']}")
            if known[0]["file_name"] == image["file_name"]:  # the annotations of both are those of one photo
                rows[id(known[0])] += annotations.pop(key(image["id"]), [])
            continue
        first |= dict.fromkeys(keys, image)
        rows[id(image)] = annotations.pop(key(image["id"]), [])
    read = [reader(image, rows[id(image)]) for image in listed if id(image) in rows]
    uses = Counter(sample.path for sample in read if sample)
    for file in [file for file, count in uses.items() if count > 1]:
        report.add("duplicate image", f"{file} is all that is found for {uses[file]} images (left out)")
    samples = tuple(sample for sample in read if sample and uses[sample.path] == 1)
    report.check_rows(path)
    if not samples:
        raise DataError(f"{path}: none of its {len(content['images'])} images can be used ({report.first()})")
    return DetectionSet(names, samples, report, landmarks=landmarks)


def _read_json(path: Path) -> dict[str, list[Any]]:
    try:
        content: dict[str, list[Any]] = parse_json(read_text(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not a JSON file ({error})") from error
    for name in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DataError(f"{path}: not a COCO file, it has no list '{name}'")
    return content


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_side(value: object) -> bool:
    """Return whether this is a side of an image, or says that it is not known."""
    return value is None or (number(value) or 0) >= 1 or value == 0


def _problem(row: object, where: str, fields: Mapping[str, Callable[[object], object]]) -> str | None:
    """Say what is wrong with a row of the file; None where nothing is."""
    if not isinstance(row, dict):
        return f"{where} is {shortened(row)}, not an object"
    if missing := next((name for name in fields if name not in row), None):
        return f"{where} has no '{missing}'"
    wrong = next((name for name, valid in fields.items() if valid(row[name]) in (None, False)), None)
    return wrong and f"{where} has '{wrong}': {shortened(row[wrong])}"


def _categories(content: dict[str, list[Any]], path: Path, report: ScanReport) -> dict[str | None, Row]:
    """Return the categories by id, with names as text."""
    found: dict[str | None, Row] = {}
    for i, row in enumerate(content["categories"]):
        if isinstance(row, dict) and isinstance(row.get("name"), int) and not isinstance(row["name"], bool):
            row = {**row, "name": str(row["name"])}
        if problem := _problem(row, f"categories[{i}]", {"id": key, "name": _is_name}):
            raise DataError(f"{path}: malformed row: {problem}")
        if (same := found.setdefault(key(row["id"]), row))["name"] != row["name"]:
            raise DataError(f"{path}: categories '{same['name']}' and '{row['name']}' both have the id {row['id']}")
        others = [other["name"] for other in found.values() if other is not row]
        if (like := next((one for one in others if one.strip() == row["name"].strip()), row["name"])) != row["name"]:
            raise DataError(
                f"{path}: categories {like!r} and {row['name']!r} differ in spaces alone; give both one name"
            )
        if row["name"] in others:
            report.count("category listed twice", f"'{row['name']}'")
    return found


def _well_formed(rows: list[Any], report: ScanReport) -> list[Row]:
    """Return the images that are complete, with sizes as numbers and 0 where one is not known; report the others."""
    found = []
    for i, row in enumerate(rows):
        if problem := _problem(row, f"images[{i}]", {"id": key, "file_name": _is_name}):
            report.add("malformed row", problem)
            continue
        if is_leftover(row["file_name"]):
            continue
        row = {"width": None, "height": None, **row}
        if problem := _problem(row, f"images[{i}]", dict.fromkeys(("width", "height"), _is_side)):
            report.add("malformed row", problem)
            continue
        sides = {side: int(number(row[side]) or 0) for side in ("width", "height") if isinstance(row[side], str)}
        found.append({**row, **sides})
    return found


def _by_image(
    rows: list[Any], known: dict[str | None, Any], path: Path, report: ScanReport
) -> dict[str | None, list[tuple[int, Row]]]:
    """Return the annotations of each image by its id, with their places in the file; report those of none.

    Raises:
        DataError: None of them is of an image of the file.
    """
    found: dict[str | None, list[tuple[int, Row]]] = defaultdict(list)
    strange = None
    for i, row in enumerate(rows):
        if problem := _problem(row, f"annotations[{i}]", {"image_id": key}):
            report.refuse("malformed row", problem)
        elif (image := key(row["image_id"])) in known:
            found[image].append((i, row))
            _count_type(row, "image_id", known[image], report)
        else:
            strange = f"annotation {row.get('id')} names image {row['image_id']}, which is not listed"
            report.refuse("annotation without image", strange)
    if strange and not found:
        raise DataError(f"{path}: none of its annotations is of an image that it lists ({strange})")
    return found


def _check_written(one: Row, other: Row, path: Path) -> None:
    """Refuse ids that are two where they are read as text and one where they are read as numbers, such as 1 and 01."""
    texts = one["id"], other["id"]
    if one["file_name"] != other["file_name"] and all(isinstance(text, str) for text in texts) and len(set(texts)) > 1:
        named = f"'{one['file_name']}' and '{other['file_name']}' have the ids {texts[0]!r} and {texts[1]!r}"
        if key(texts[0]) == key(texts[1]):
            raise DataError(f"{path}: {named}, which are one number; give each image an id of its own")


def _count_type(row: Row, name: str, original: object, report: ScanReport) -> None:
    """Count an id that is written otherwise than what it refers to."""
    if type(row[name]) is not type(original) or row[name] != original:
        kind = "id written otherwise" if type(row[name]) is type(original) else "id of another type"
        report.count(kind, f"'{name}': {row[name]!r} for {original!r}")


def _landmarks(categories: list[Row], path: Path) -> Landmarks:
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


class _ImageReader:
    """Turns an image of the file and its annotations into a sample.

    Args:
        folders: Where the images are.
        names: Of the classes.
        landmarks: Of the set.
        categories: Rows by id.
        report: Takes what is wrong.
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
        self.index = {place: names.index(row["name"]) for place, row in categories.items()}
        count = len(landmarks)
        self.points = {place: count * (row["name"] in landmarks.classes) for place, row in categories.items()}

    def __call__(self, image: Row, rows: Sequence[tuple[int, Row]]) -> AnnotatedImage | None:
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
        fields: dict[str, Callable[[object], object]] = {"category_id": key} | ({} if box else {"bbox": numbers})
        if (problem := _problem(row, f"annotations[{place}]", fields)) or not box:
            problem = problem or f"annotations[{place}] has 'bbox': {shortened(row['bbox'])}"
            annotations.refuse("malformed row", problem)
            return
        category = key(row["category_id"])
        if category not in self.index:
            annotations.refuse("unknown category", f"{where}: {row['category_id']}")
            return
        _count_type(row, "category_id", self.categories[category]["id"], report)
        x, y, w, h = box
        what = f"{where}: {row['bbox'] if row.get('bbox') else box}"
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
