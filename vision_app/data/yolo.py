"""Data sets in the YOLO text format, described by a `data.yaml`."""

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

import yaml

from vision_app.core.errors import DataError, ImageError, UsageError, nearest, unknown
from vision_app.core.images import SUFFIXES, read_size
from vision_app.data.samples import DetectionSet, Objects, Sample, ScanReport

SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}  # our name -> keys in use
READ = {"path", "names", "nc", "kpt_shape"}.union(*SPLITS.values())
MISCOUNTED = 0.2  # part of the rows with unknown class indices from which on these are not single mistakes
OTHERS = {"author", "kpt_names", "minival"}  # keys of such files that only look like one of these


def load_yolo(path: str | Path, classes: Sequence[str] | None = None, split: str | None = None) -> DetectionSet:
    """Reads a data.yaml: `path` (its root), `train`, `val`, `test`, and `names` as a list or by index.

    A split is a folder of photos, a text file that lists photos, or a list of such. The labels of `a/images/b.jpg` are
    in `a/labels/b.txt`, or else beside the photo; a photo without them is background. A row of labels is a class index
    and either center x, center y, width and height as fractions of the photo's sides, or the corners of an outline,
    which becomes the box around it. With `kpt_shape` in the file, key points follow each box; they are not read.

    Args:
        path: the data.yaml.
        classes: names of the set's classes in order; by default the file's.
        split: train, val or test; by default all that there are.

    Raises:
        DataError: the file cannot be read, the split has no usable photo or not one file of labels, or a class is
            missing from `classes`.
        UsageError: there is no such split.
    """
    path = Path(path)
    content = _read_yaml(path)
    index, names = _names(path, content)
    key_points = _key_points(path, content)
    available = yolo_splits(path)
    if not available:
        hint = "".join(f"; it has {key}" for key in _misspelled(content))
        raise DataError(f"{path}: lists no photos, it has none of the keys {', '.join(SPLITS)}{hint}")
    if split is not None and split not in available:
        raise UsageError(f"{path}: {unknown('split', split, available)}")
    report = ScanReport()
    for key in _misspelled(content):
        report.add("unknown key", f"{path.name} has {key}")
    samples, seen, labeled, indices = [], {}, set(), Counter()
    for one in available if split is None else [split]:
        for photo, name in _photos(path, content, one):
            if (place := photo.absolute()) in seen:
                lists = one if seen[place] == one else f"{seen[place]} and in {one}"
                report.add("duplicate image", f"{name} is listed twice, in {lists}")
                continue
            seen[place] = one
            labels = _labels_of(photo)
            if labels.is_file():
                labeled.add(labels)
            sample = _sample(photo, name, labels, index, key_points, indices, report)
            if sample:
                samples.append(sample)
        for labels in _without_photo(path, content, one, labeled):
            report.add("missing image", f"there is no photo for {labels}")
    _check_indices(path, indices, index)
    if samples and not labeled:
        raise DataError(f"{path}: none of its {len(seen)} photos has labels; those of {photo} should be in {labels}")
    if not samples:
        raise DataError(f"{path}: none of its {len(seen)} photos can be used ({report.first()})")
    data = DetectionSet(names, tuple(samples), report)
    return data if classes is None else data.relabeled(classes, path)


def yolo_splits(path: Path) -> list[str]:
    """The splits that a data.yaml lists."""
    content = _read_yaml(path)
    return [split for split, keys in SPLITS.items() if any(content.get(key) for key in keys)]


def yolo_title(path: Path) -> str:
    """What a set is called: the last part of its `path`; or else its file's name, or its folder's for a data.yaml."""
    root = Path(str(_read_yaml(path).get("path") or "")).name.strip(".")
    return root or (path.absolute().parent.name if path.stem in ("data", "dataset") else path.stem)


def _read_yaml(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: not a data.yaml, it has no keys such as train, val and names")
    return content


def _misspelled(content: dict) -> Iterator[str]:
    """The keys that are none but look like one that is read, each with that one."""
    for key in map(str, content):
        if key not in READ | OTHERS and (guess := nearest(key, READ)):
            yield f"{key!r}; did you mean {guess!r}?"


def _names(path: Path, content: dict) -> tuple[dict[int, int], tuple[str, ...]]:
    """From the class indices of labels to ours, and the names of these."""
    names, count = content.get("names"), content.get("nc")
    if names is None and isinstance(count, int):
        names = [f"class {i}" for i in range(count)]
    rows = dict(enumerate(names)) if isinstance(names, list) else names
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


def _check_indices(path: Path, found: Counter, known: dict[int, int]) -> None:
    """Refuses labels whose classes are counted otherwise than `names`, such as from 1.

    Args:
        found: how many rows have which class index; None stands for rows without one.
    """
    strange = sum(count for index, count in found.items() if index is not None and index not in known)
    if strange > MISCOUNTED * found.total():
        first, last = (f"{end(index for index in found if index is not None):g}" for end in (min, max))
        raise DataError(
            f"{path}: {strange} of {found.total()} rows of its labels have a class that 'names' lacks: class indices "
            f"run {first}..{last}, names {min(known)}..{max(known)}"
        )


def _key_points(path: Path, content: dict) -> int | None:
    """How many numbers the key points of an object have, K points of D numbers each; None in a set without them."""
    match content.get("kpt_shape"):
        case None:
            return None
        case [int(points), int(numbers)]:
            return points * numbers
    raise DataError(f"{path}: 'kpt_shape' must be two whole numbers, the key points and the numbers of each")


def _photos(path: Path, content: dict, split: str) -> Iterator[tuple[Path, str]]:
    """The photos of a split in order, each with its name: the path from the root of the set, where it lies there."""
    for root, place in _places(path, content, split):
        if place.is_dir():
            photos = sorted(file for file in place.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        else:
            photos = [_listed(line.strip(), place, root) for line in _lines(place) if line.strip()]
        for photo in photos:
            yield photo, (photo.relative_to(root) if photo.is_relative_to(root) else photo).as_posix()


def _places(path: Path, content: dict, split: str) -> Iterator[tuple[Path, Path]]:
    """What the entries of a split name, a folder or a list each, after the root of the set."""
    given = next(content[key] for key in SPLITS[split] if content.get(key))
    for entry in given if isinstance(given, list) else [given]:
        yield _found(path, content, split, str(entry))


def _without_photo(path: Path, content: dict, split: str, known: Set[Path]) -> Iterator[Path]:
    """The files of labels that belong to the folders of a split, and to no photo.

    Args:
        known: those of the photos.
    """
    for _, place in _places(path, content, split):
        folder = _labels_of(place / "any").parent
        if place.is_dir() and folder != place:  # other texts may lie beside photos
            yield from sorted(set(folder.rglob("*.txt")) - known - {folder / "classes.txt"})


def _found(path: Path, content: dict, split: str, entry: str) -> tuple[Path, Path]:
    """The root of the set and what an entry of a split names.

    People move sets around: `path` may be relative to the file, to the working directory, or name a place elsewhere,
    and some exports write `../train/images` for what lies in `train/images`.
    """
    given, tried = content.get("path"), []
    for root in (path.parent / str(given), Path(str(given)), path.parent) if given else (path.parent,):
        for name in (entry, entry.removeprefix("../")):
            if (place := root / name).exists():
                return root, place
            tried.append(place)
    raise DataError(
        f"{path}: its {split} '{entry}' is not there; looked for {', '.join(dict.fromkeys(map(str, tried)))}"
    )


def _listed(line: str, file: Path, root: Path) -> Path:
    """The photo that a line of a text file names: from the file's folder, or else from the root of the set."""
    return next((place for place in (file.parent / line, root / line) if place.exists()), root / line)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from error


def _labels_of(photo: Path) -> Path:
    """Where the labels of a photo are: the last `images` of its path read as `labels`, or else beside it."""
    parts = list(photo.parts)
    beside = photo.with_suffix(".txt")
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        swapped = Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt")
        return swapped if swapped.is_file() or not beside.is_file() else beside
    return beside


def _sample(
    photo: Path,
    name: str,
    labels: Path,
    index: dict[int, int],
    key_points: int | None,
    indices: Counter,
    report: ScanReport,
) -> Sample | None:
    if not photo.is_file():
        report.add("missing image", f"{photo} is not there")
        return None
    try:
        width, height = read_size(photo)
        lines = _lines(labels) if labels.is_file() else []
    except ImageError as error:
        report.add("corrupt image", str(error))
        return None
    except DataError as error:
        report.add("malformed annotation", str(error))
        return None
    objects = Objects(name, width, height, report)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        what = f"{labels.name} line {number}: {line.strip()[:60]}"
        row = _numbers(line, key_points)
        indices[row and row[0]] += 1
        if row is None or row[0] not in index:
            kind = "malformed row" if row is None else "unknown category"
            objects.refuse(kind, f"{what} (of {name})")
            continue
        x1, y1, x2, y2 = _box(row[1:] if key_points is None else row[1:5])
        objects.add((x1 * width, y1 * height, x2 * width, y2 * height), index[row[0]], what)
    return objects.sample(photo, index.values())


def _numbers(line: str, key_points: int | None) -> list[float] | None:
    """A class index and four numbers, or the x and y of three corners or more; None where it is no such row.

    Args:
        key_points: how many numbers of key points stand behind the four; None in a set without them.
    """
    try:
        row = [float(word) for word in line.split()]
    except ValueError:
        return None
    complete = len(row) >= 5 and len(row) % 2 == 1 if key_points is None else len(row) == 5 + key_points
    return row if complete and all(abs(value) < 1e6 for value in row) else None


def _box(values: list[float]) -> tuple[float, float, float, float]:
    """Center and size, or the corners of an outline -> xyxy."""
    if len(values) == 4:
        x, y, w, h = values
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
