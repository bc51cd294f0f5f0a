"""Detection sets: photos with boxes, read from COCO-style JSON and checked before anything is trained."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from reprlib import repr as shortened

import numpy as np

from vision_app.data.names import canonical
from vision_app.errors import DataError, ImageError
from vision_app.images import read_image


@dataclass(frozen=True)
class Sample:
    """One photo and what is in it.

    Attributes:
        path: the photo.
        width, height: its upright size in pixels.
        boxes: (M, 4) float32 xyxy in pixels.
        labels: (M,) indices of the set's classes.
        confidences: (M,) 1 for boxes that people drew, less for a teacher's.
        unknown: (U, 4) float32 boxes that are neither right nor wrong (crowds, difficult objects, a teacher's doubts).
        labeled: indices of the classes of which every object is boxed.
        exhaustive: whether an unboxed object of these classes is certainly none.
    """

    path: Path
    width: int
    height: int
    boxes: np.ndarray
    labels: np.ndarray
    confidences: np.ndarray
    unknown: np.ndarray
    labeled: frozenset[int]
    exhaustive: bool = True


@dataclass
class ScanReport:
    """What was wrong with a set's entries; such entries are left out.

    Attributes:
        problems: one sentence for each entry, in the order of the file.
        kinds: how many of each kind.
    """

    problems: list[str] = field(default_factory=list)
    kinds: Counter = field(default_factory=Counter)

    def add(self, kind: str, sentence: str) -> None:
        self.kinds[kind] += 1
        self.problems.append(f"{kind}: {sentence}")


@dataclass(frozen=True)
class DetectionSet:
    """Samples under one list of class names."""

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    report: ScanReport

    def __len__(self) -> int:
        return len(self.samples)

    def joined(self, other: "DetectionSet") -> "DetectionSet":
        """Both sets after each other; their classes must be the same."""
        if self.classes != other.classes:
            raise ValueError("two sets can only be joined under the same classes")
        report = ScanReport(self.report.problems + other.report.problems, self.report.kinds + other.report.kinds)
        return DetectionSet(self.classes, self.samples + other.samples, report)


def load_coco(path: str | Path, classes: Sequence[str] | None = None) -> DetectionSet:
    """Reads a COCO-style JSON file whose photos lie in `images/` beside it, or beside it.

    Beyond COCO's fields, `difficult` on an annotation marks it as neither right nor wrong, as `iscrowd` does; `labels`
    on an image may be `voc20`: only animals of VOC's classes are boxed there and more may be in the picture.

    Args:
        path: the file.
        classes: names of the set's classes in order; by default the file's own. PASCAL VOC's names are understood.

    Raises:
        DataError: the file cannot be read, is no COCO file, or has a category that `classes` lacks.
    """
    path = Path(path)
    content = _read_json(path)
    report = ScanReport()
    names = {row["id"]: canonical(row["name"]) for row in _well_formed(content, "categories", report)}
    if report.problems:
        raise DataError(f"{path}: {report.problems[0]}")
    classes = tuple(classes) if classes else tuple(dict.fromkeys(names.values()))
    if missing := sorted(set(names.values()) - set(classes)):
        raise DataError(f"{path}: category '{missing[0]}' is none of the {len(classes)} classes of the model")
    index = {key: classes.index(name) for key, name in names.items()}
    images, annotations = _well_formed(content, "images", report), defaultdict(list)
    known = {image["id"] for image in images}
    for row in _well_formed(content, "annotations", report):
        if row["image_id"] in known:
            annotations[row["image_id"]].append(row)
        else:
            report.add("annotation without image", f"annotation {row.get('id')} names image {row['image_id']}")
    samples, seen = [], set()
    for image in images:
        keys = {("name", image["file_name"]), ("id", image["id"])}
        if keys & seen:
            report.add("duplicate image", f"{image['file_name']}, id {image['id']}")
            continue
        seen |= keys
        sample = _sample(path.parent, image, annotations[image["id"]], index, report)
        if sample:
            samples.append(sample)
    if not samples:
        raise DataError(f"{path}: none of its {len(content['images'])} images can be used ({_first(report)})")
    return DetectionSet(classes, tuple(samples), report)


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
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
    return _is_number(value) and value >= 1


def _is_box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


_FIELDS = {  # what a row of each list must have
    "images": {"id": _is_key, "file_name": _is_name, "width": _is_side, "height": _is_side},
    "annotations": {"image_id": _is_key, "category_id": _is_key, "bbox": _is_box},
    "categories": {"id": _is_key, "name": _is_name},
}


def _well_formed(content: dict, name: str, report: ScanReport) -> list[dict]:
    """The rows of one of the file's lists that have all that we need of them; the others are reported."""
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


def _sample(folder: Path, image: dict, rows: list[dict], index: dict[int, int], report: ScanReport) -> Sample | None:
    name = image["file_name"]
    photo = next((p for p in (folder / "images" / name, folder / name) if p.is_file()), None)
    if photo is None:
        report.add("missing image", f"{name} is neither in {folder / 'images'} nor in {folder}")
        return None
    width, height = image["width"], image["height"]
    boxes, labels, unknown = [], [], []
    for row in rows:
        if row["category_id"] not in index:
            report.add("unknown category", f"annotation {row.get('id')} of {name}: {row['category_id']}")
            continue
        box = _checked_box(row, name, width, height, report)
        if box is None:
            continue
        if row.get("iscrowd") or row.get("difficult"):
            unknown.append(box)
        else:
            boxes.append(box)
            labels.append(index[row["category_id"]])
    return Sample(
        path=photo,
        width=width,
        height=height,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        confidences=np.ones(len(labels), np.float32),
        unknown=np.array(unknown, np.float32).reshape(-1, 4),
        labeled=frozenset(index.values()),
        exhaustive=image.get("labels") != "voc20",
    )


def _checked_box(row: dict, name: str, width: int, height: int, report: ScanReport) -> list[float] | None:
    """An annotation's box as xyxy inside the photo, or None when nothing of it is there."""
    x, y, w, h = row["bbox"]
    box = [max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))]
    if not (box[2] - box[0] >= 1 and box[3] - box[1] >= 1):
        report.add("empty box", f"annotation {row.get('id')} of {name}: {row['bbox']} in {width} x {height}")
        return None
    if min(x, y) < -1 or x + w > width + 1 or y + h > height + 1:
        report.add("box out of range", f"annotation {row.get('id')} of {name}: {row['bbox']} (clipped)")
    return box


def check_photos(
    data: DetectionSet, log: Callable[[str], None] = lambda line: None
) -> tuple[DetectionSet, list[np.ndarray]]:
    """Decodes every photo once; leaves out those that cannot be read or whose size is not the file's word.

    All photos are held in memory at three bytes a pixel, 0.4 MB each at 416 x 312.

    Args:
        log: called with a line of progress every thousand photos.

    Returns:
        The set that is left and its photos, (H, W, 3) uint8.
    """
    kept, photos = [], []
    report = ScanReport(list(data.report.problems), Counter(data.report.kinds))
    for done, sample in enumerate(data.samples):
        if done and done % 1000 == 0:
            log(f"checked {done} of {len(data)} photos")
        try:
            image = read_image(sample.path)
        except ImageError as error:
            report.add("corrupt image", str(error))
            continue
        if (image.width, image.height) != (sample.width, sample.height):
            listed = f"{sample.width} x {sample.height}"
            report.add("wrong size", f"{sample.path.name} is {image.width} x {image.height}, listed as {listed}")
            continue
        kept.append(sample)
        photos.append(image.pixels)
    if not kept:
        raise DataError(f"none of the {len(data)} photos can be read ({_first(report)})")
    return replace(data, samples=tuple(kept), report=report), photos


def _first(report: ScanReport) -> str:
    return report.problems[0] if report.problems else "it lists none"
