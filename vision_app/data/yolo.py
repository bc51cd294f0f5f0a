"""Data sets in the YOLO text format, described by a `data.yaml`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import yaml

from vision_app.core.errors import DataError, ImageError, UsageError, nearest, unknown
from vision_app.core.images import SUFFIXES, read_size
from vision_app.data.samples import AnnotatedImage, DetectionSet, ImageAnnotations
from vision_app.data.scan_report import ScanReport

SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}  # our name -> keys in use
READ = {"path", "names", "nc", "kpt_shape"}.union(*SPLITS.values())
MISCOUNTED = 0.2  # part of the rows with unknown class indices from which on these are not single mistakes
OTHERS = {"author", "kpt_names", "minival"}  # keys of such files that only look like one of these


class YoloFile:
    """A data.yaml: `path` (the root of the set), `train`, `val`, `test`, and `names` as a list or by index.

    A split is a folder of images, a text file that lists images, or a list of such. The labels of `a/images/b.jpg` are
    in `a/labels/b.txt`, or else beside the image; an image without them is background. A row of labels is a class index
    and either center x, center y, width and height as fractions of the image's sides, or the corners of an outline,
    which becomes the box around it. With `kpt_shape` in the file, key points follow each box; they are not read.

    Attributes:
        path: The data.yaml.
        content: What it says.
        splits: The splits that it lists.

    Raises:
        DataError: The file cannot be read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.content = _read_yaml(self.path)
        self.splits = [split for split, keys in SPLITS.items() if any(self.content.get(key) for key in keys)]

    @property
    def title(self) -> str:
        """The last part of its `path`; or else the file's name, or its folder's for a data.yaml."""
        root = Path(str(self.content.get("path") or "")).name.strip(".")
        named = self.path.stem not in ("data", "dataset")
        return root or (self.path.stem if named else self.path.absolute().parent.name)

    def load(self, split: str | None = None) -> DetectionSet:
        """Read the labels and the sizes of the images of a split, by default of all.

        Raises:
            DataError: The split has no usable image or not one file of labels.
            UsageError: There is no such split.
        """
        path, report = self.path, ScanReport()
        index, names = _names(path, self.content)
        key_points, misspelled = _key_points(path, self.content), list(_misspelled(self.content))
        if not self.splits:
            hint = "".join(f"; it has {key}" for key in misspelled)
            raise DataError(f"{path}: lists no images, it has none of the keys {', '.join(SPLITS)}{hint}")
        if split is not None and split not in self.splits:
            raise UsageError(f"{path}: {unknown('split', split, self.splits)}")
        for key in misspelled:
            report.add("unknown key", f"{path.name} has {key}")
        samples: list[AnnotatedImage] = []
        seen: dict[Path, str] = {}
        labeled: set[Path] = set()
        indices: Counter[float | None] = Counter()
        for one in self.splits if split is None else [split]:
            places = list(self._places(one))
            for image, name in _images(places):
                if (place := image.absolute()) in seen:
                    lists = one if seen[place] == one else f"{seen[place]} and in {one}"
                    report.add("duplicate image", f"{name} is listed twice, in {lists}")
                    continue
                seen[place] = one
                labels = _labels_of(image)
                if labels.is_file():
                    labeled.add(labels)
                if sample := _sample(image, name, labels, index, key_points, indices, report):
                    samples.append(sample)
            for labels in _without_image(places, labeled):
                report.add("missing image", f"there is no photo for {labels}")
        _check_indices(path, indices, index)
        if samples and not labeled:
            raise DataError(
                f"{path}: none of its {len(seen)} images has labels; those of {image} should be in {_labels_of(image)}"
            )
        if not samples:
            raise DataError(f"{path}: none of its {len(seen)} images can be used ({report.first()})")
        return DetectionSet(names, tuple(samples), report)

    def _places(self, split: str) -> Iterator[tuple[Path, Path]]:
        """Yield the root of the set and what an entry of a split names, a folder or a list, for each entry.

        People move sets around: `path` may be relative to the file, to the working directory, or name a place
        elsewhere, and some exports write `../train/images` for what is in `train/images`.
        """
        given = next(self.content[key] for key in SPLITS[split] if self.content.get(key))
        root = self.content.get("path")
        roots = (self.path.parent / str(root), Path(str(root)), self.path.parent) if root else (self.path.parent,)
        for entry in map(str, given if isinstance(given, list) else [given]):
            tried = [(base, base / name) for base in roots for name in (entry, entry.removeprefix("../"))]
            found = next((pair for pair in tried if pair[1].exists()), None)
            if found is None:
                looked = ", ".join(dict.fromkeys(str(place) for _, place in tried))
                raise DataError(f"{self.path}: its {split} '{entry}' is not there; looked for {looked}")
            yield found


def _read_yaml(path: Path) -> dict[Any, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: not a data.yaml, it has no keys such as train, val and names")
    return content


def _misspelled(content: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the keys that are none but look like one that is read, each with that one."""
    for key in map(str, content):
        if key not in READ | OTHERS and (guess := nearest(key, READ)):
            yield f"{key!r}; did you mean {guess!r}?"


def _names(path: Path, content: Mapping[Any, Any]) -> tuple[dict[int, int], tuple[str, ...]]:
    """Return our class index by that of the labels, and the names of the classes."""
    listed, count = content.get("names"), content.get("nc")
    if listed is None and isinstance(count, int):
        listed = [f"class {i}" for i in range(count)]
    rows = dict(enumerate(listed)) if isinstance(listed, list) else listed
    if not isinstance(rows, dict) or not rows or not all(isinstance(key, int) for key in rows):
        raise DataError(f"{path}: 'names' must list the names of the classes")
    if isinstance(count, int) and count != len(rows):
        raise DataError(f"{path}: 'nc' is {count}, but 'names' lists {len(rows)}")
    indices = sorted(rows)
    names = tuple(str(rows[key]) for key in indices)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: 'names' lists {twice!r} more than once; each class needs a name of its own")
    return {key: place for place, key in enumerate(indices)}, names


def _check_indices(path: Path, found: Counter[float | None], known: Mapping[int, int]) -> None:
    """Refuse labels whose classes are counted otherwise than `names`, such as from 1.

    Args:
        path: The data.yaml.
        found: How many rows have which class index; None stands for rows without one.
        known: The class indices of `names`.
    """
    strange = sum(count for index, count in found.items() if index is not None and index not in known)
    if strange > MISCOUNTED * found.total():
        given = [index for index in found if index is not None]
        raise DataError(
            f"{path}: {strange} of {found.total()} rows of its labels have a class that 'names' lacks: class indices "
            f"run {min(given):g}..{max(given):g}, names {min(known)}..{max(known)}"
        )


def _key_points(path: Path, content: Mapping[Any, Any]) -> int | None:
    """Return how many numbers the key points of an object have, K points of D numbers each; None without them."""
    match content.get("kpt_shape"):
        case None:
            return None
        case [int(points), int(numbers)]:
            return points * numbers
    raise DataError(f"{path}: 'kpt_shape' must be two whole numbers, the key points and the numbers of each")


def _images(places: Sequence[tuple[Path, Path]]) -> Iterator[tuple[Path, str]]:
    """Yield the images of a split in order, each with its name: the path from the root of the set, if inside."""
    for root, place in places:
        if place.is_dir():
            images = sorted(file for file in place.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        else:
            images = [_listed(line.strip(), place, root) for line in _lines(place) if line.strip()]
        for image in images:
            yield image, (image.relative_to(root) if image.is_relative_to(root) else image).as_posix()


def _without_image(places: Sequence[tuple[Path, Path]], known: Set[Path]) -> Iterator[Path]:
    """Yield the files of labels that belong to the folders of a split and to no image.

    Args:
        places: The root and the folder or list of each entry.
        known: The files of labels that belong to an image.
    """
    for _, place in places:
        folder = _labels_of(place / "any").parent
        if place.is_dir() and folder != place:  # other texts may lie beside images
            yield from sorted(set(folder.rglob("*.txt")) - known - {folder / "classes.txt"})


def _listed(line: str, file: Path, root: Path) -> Path:
    """Return the image that a line of a text file names: from the file's folder, or else from the set's root."""
    return next((place for place in (file.parent / line, root / line) if place.exists()), root / line)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from error


def _labels_of(image: Path) -> Path:
    """Return the file of an image's labels: the last `images` of its path read as `labels`, or else beside it."""
    parts = list(image.parts)
    beside = image.with_suffix(".txt")
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        swapped = Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt")
        return swapped if swapped.is_file() or not beside.is_file() else beside
    return beside


def _sample(
    image: Path,
    name: str,
    labels: Path,
    index: Mapping[int, int],
    key_points: int | None,
    indices: Counter[float | None],
    report: ScanReport,
) -> AnnotatedImage | None:
    if not image.is_file():
        report.add("missing image", f"{image} is not there")
        return None
    try:
        width, height = read_size(image)
        lines = _lines(labels) if labels.is_file() else []
    except ImageError as error:
        report.add("corrupt image", str(error))
        return None
    except DataError as error:
        report.add("malformed annotation", str(error))
        return None
    annotations = ImageAnnotations(name, width, height, report)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        what = f"{labels.name} line {number}: {line.strip()[:60]}"
        row = _numbers(line, key_points)
        indices[row[0] if row else None] += 1
        if row is None or row[0] not in index:
            kind = "malformed row" if row is None else "unknown category"
            annotations.refuse(kind, f"{what} (of {name})")
            continue
        x1, y1, x2, y2 = _box(row[1:] if key_points is None else row[1:5])
        annotations.add((x1 * width, y1 * height, x2 * width, y2 * height), index[int(row[0])], what)
    return annotations.sample(image, index.values())


def _numbers(line: str, key_points: int | None) -> list[float] | None:
    """Return a class index and four numbers, or the x and y of three corners or more; None where it is no such row.

    Args:
        line: A row of labels.
        key_points: How many numbers of key points stand behind the four; None in a set without them.
    """
    try:
        row = [float(word) for word in line.split()]
    except ValueError:
        return None
    complete = len(row) >= 5 and len(row) % 2 == 1 if key_points is None else len(row) == 5 + key_points
    return row if complete and all(abs(value) < 1e6 for value in row) else None


def _box(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Turn center and size, or the corners of an outline, into x1, y1, x2, y2."""
    if len(values) == 4:
        x, y, w, h = values
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
