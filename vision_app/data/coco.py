"""COCO-style JSON files with boxes."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from vision_app.core.errors import DataError
from vision_app.core.files import parse_json, read_text
from vision_app.data.coco_rows import ImageReader, Row, count_type, problem_of
from vision_app.data.layout import ImageFolders, is_leftover
from vision_app.data.parse import key, number
from vision_app.data.samples import DetectionSet
from vision_app.data.scan_report import ScanReport
from vision_app.released.landmarks import NO_LANDMARKS, Landmarks

CUT = 0.1  # part of the annotations, of images that are not listed, from which on the list of images is a cut


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
    reader = ImageReader(ImageFolders.of_json(path, images), names, landmarks, categories, report)
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
    reader.form.check(path, report)
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


def _categories(content: dict[str, list[Any]], path: Path, report: ScanReport) -> dict[str | None, Row]:
    """Return the categories by id, with names as text."""
    found: dict[str | None, Row] = {}
    for i, row in enumerate(content["categories"]):
        if isinstance(row, dict) and isinstance(row.get("name"), int) and not isinstance(row["name"], bool):
            row = {**row, "name": str(row["name"])}
        if problem := problem_of(row, f"categories[{i}]", {"id": key, "name": _is_name}):
            raise DataError(f"{path}: malformed row: {problem}")
        if (same := found.setdefault(key(row["id"]), row))["name"] != row["name"]:
            raise DataError(f"{path}: categories '{same['name']}' and '{row['name']}' both have the id {row['id']}")
        others = [other["name"] for other in found.values() if other is not row]
        if (like := next((one for one in others if one.strip() == row["name"].strip()), row["name"])) != row["name"]:
            raise DataError(
                f"{path}: categories {like!r} and {row['name']!r} differ in spaces alone; give both one name"
            )
        if twice := [other["id"] for other in found.values() if other is not row and other["name"] == row["name"]]:
            report.count(
                "category listed twice", f"'{row['name']}' with the ids {twice[0]} and {row['id']} (one class)"
            )
    return found


def _well_formed(rows: list[Any], report: ScanReport) -> list[Row]:
    """Return the images that are complete, with sizes as numbers and 0 where one is not known; report the others."""
    found = []
    for i, row in enumerate(rows):
        if problem := problem_of(row, f"images[{i}]", {"id": key, "file_name": _is_name}):
            report.add("malformed row", problem)
            continue
        if is_leftover(row["file_name"]):
            continue
        row = {"width": None, "height": None, **row}
        if problem := problem_of(row, f"images[{i}]", dict.fromkeys(("width", "height"), _is_side)):
            report.add("malformed row", problem)
            continue
        sides = {side: int(number(row[side]) or 0) for side in ("width", "height") if isinstance(row[side], str)}
        found.append({**row, **sides})
    return found


def _by_image(
    rows: list[Any], known: dict[str | None, Any], path: Path, report: ScanReport
) -> dict[str | None, list[tuple[int, Row]]]:
    """Return the annotations of each image by its id, with their places in the file; report those of none.

    Those of images that are not listed are only counted where they are many: the images are a cut of the set then. But
    if one of them has another kind of id than the images, ids are wrong.

    Raises:
        DataError: None of them is of an image of the file.
    """
    found: dict[str | None, list[tuple[int, Row]]] = defaultdict(list)
    others = []  # ids and sentences of those of no image
    for i, row in enumerate(rows):
        if problem := problem_of(row, f"annotations[{i}]", {"image_id": key}):
            report.refuse("malformed row", problem)
        elif (image := key(row["image_id"])) in known:
            found[image].append((i, row))
            count_type(row, "image_id", known[image], report)
        else:
            others.append((image, f"annotation {row.get('id')} names image {row['image_id']}, which is not listed"))
    if others and not found:
        raise DataError(f"{path}: none of its annotations is of an image that it lists ({others[-1][1]})")
    kinds = {_is_number(place) for place in known}
    is_cut = len(others) > CUT * len(rows) and all(_is_number(image) in kinds for image, _ in others)
    for _, sentence in others:
        (report.count if is_cut else report.refuse)("annotation without image", sentence)
    return found


def _is_number(place: str | None) -> bool:
    return bool(place) and str(place).lstrip("-").isdigit()


def _check_written(one: Row, other: Row, path: Path) -> None:
    """Refuse ids that are two where they are read as text and one where they are read as numbers, such as 1 and 01."""
    texts = one["id"], other["id"]
    if one["file_name"] != other["file_name"] and all(isinstance(text, str) for text in texts) and len(set(texts)) > 1:
        named = f"'{one['file_name']}' and '{other['file_name']}' have the ids {texts[0]!r} and {texts[1]!r}"
        if key(texts[0]) == key(texts[1]):
            raise DataError(f"{path}: {named}, which are one number; give each image an id of its own")


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
