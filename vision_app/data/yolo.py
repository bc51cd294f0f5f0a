"""Data sets in the YOLO text format, described by a `data.yaml`."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from vision_app.core.errors import DataError, ImageError, UsageError, unknown
from vision_app.core.images import SUFFIXES, read_size
from vision_app.data.layout import ImageFolders, files_below, is_leftover, relocated
from vision_app.data.samples import AnnotatedImage, DetectionSet, ImageAnnotations
from vision_app.data.scan_report import ScanReport
from vision_app.data.yolo_description import (
    SPLITS,
    key_point_numbers,
    lines_of,
    misspelled_keys,
    names_by_index,
    read_description,
    unnamed,
)
from vision_app.data.yolo_rows import RowError, RowReader

MISCOUNTED = 0.2  # part of the rows with unknown class indices from which on these are not single mistakes


class YoloFile:
    """A data.yaml: `path` (the root of the set), `train`, `val`, `test`, and `names` as a list or by index.

    A split is a folder of images, a text file that lists images, or a list of such. The labels of `a/images/b.jpg` are
    in `a/labels/b.txt`, or else beside the image; an image without them is background. A row of labels is a class index
    and either center x, center y, width and height as fractions of the image's sides, or the corners of an outline,
    which becomes the box around it. With `kpt_shape` in the file, key points follow each box; they are not read.
    `names` may be a text file with a name per line. A Darknet file, obj.data, says the same in lines of `key = value`.

    Args:
        path: The data.yaml.
        images: Folders that have the images, if they are elsewhere.

    Attributes:
        content: What it says.
        splits: The splits that it lists.

    Raises:
        DataError: The file cannot be read.
    """

    def __init__(self, path: str | Path, images: Sequence[Path] = ()):
        self.path, self.images = Path(path), tuple(images)
        self.content = read_description(self.path)
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
            DataError: The split has no usable image or not one file of labels, or most rows cannot be used.
            UsageError: There is no such split.
        """
        path, report = self.path, ScanReport()
        index, names = names_by_index(path, self.content)
        key_points, misspelled = key_point_numbers(path, self.content), list(misspelled_keys(self.content))
        if not self.splits:
            hint = "".join(f"; it has {key}" for key in misspelled)
            raise DataError(f"{path}: lists no images, it has none of the keys {', '.join(SPLITS)}{hint}")
        if split is not None and split not in self.splits:
            raise UsageError(f"{path}: {unknown('split', split, self.splits)}")
        for key in misspelled:
            report.add("unknown key", f"{path.name} has {key}")
        if gaps := unnamed(index):
            report.add("missing class name", f"'names' has none for {gaps}")
        samples: list[AnnotatedImage] = []
        seen: dict[Path, str] = {}
        labeled: set[Path] = set()
        indices: Counter[float | None] = Counter()
        rows, sharing = RowReader(key_points), dict[Path, str]()
        for one in self.splits if split is None else [split]:
            places = list(self._places(one))
            for image, name in self._images(places, report):
                if (place := image.absolute()) in seen:
                    lists = one if seen[place] == one else f"{seen[place]} and in {one}"
                    report.add("duplicate image", f"{name} is listed twice, in {lists}")
                    continue
                seen[place] = one
                labels = self._labels_of(image)
                if labels.is_file():
                    labeled.add(labels)
                    if (first := sharing.setdefault(labels, name)) != name:
                        report.add("shared labels", f"{name} and {first} both take {labels.name}, of the same name")
                if sample := _sample(image, name, labels, index, rows, indices, report):
                    samples.append(sample)
            for orphan in _without_image(places, labeled):
                report.add("missing image", f"there is no photo for {orphan}")
        _check_indices(path, indices, index, report)
        rows.check(path, report)
        report.check_rows(path)
        if samples and not labeled:
            first_image = samples[0].path
            lost = next((f" ({line})" for kind, line in report.entries if kind == "missing image"), "")
            raise DataError(
                f"{path}: none of its {len(seen)} images has labels{lost}; those of {first_image} should be in "
                f"{self._labels_of(first_image)}"
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
        for entry in map(str, given if isinstance(given, list) else [given]):
            bare = entry.removeprefix("../")
            tried = [(base, base / name) for base in self._roots for name in (entry, bare)]
            found = next((pair for pair in tried if pair[1].exists()), None)
            if not found and (place := relocated(bare, self._roots)):
                found = next(base for base in self._roots if place.is_relative_to(base)), place
            if not found and self.images:
                found = self.images[0], self.images[0]
            if not found:
                looked = ", ".join(dict.fromkeys(str(place) for _, place in tried))
                raise DataError(
                    f"{self.path}: its {split} '{entry}' is not there; looked for {looked}; --images names the folder"
                )
            yield found

    @property
    def _roots(self) -> list[Path]:
        """The folders to which places may be relative."""
        root, beside = str(self.content.get("path") or "").replace("\\", "/"), self.path.parent
        return [*self.images, *((beside / root, Path(root)) if root else ()), beside]

    def _images(self, places: Sequence[tuple[Path, Path]], report: ScanReport) -> Iterator[tuple[Path, str]]:
        """Yield the images of a split in order, each with its name: the path from the root of the set, if inside."""
        for root, place in places:
            images = files_below(place, SUFFIXES) if place.is_dir() else self._listed(place, root, report)
            for image in images:
                yield image, (image.relative_to(root) if image.is_relative_to(root) else image).as_posix()

    def _listed(self, file: Path, root: Path, report: ScanReport) -> Iterator[Path]:
        """Yield the images that a text file names: from its folder, or else from the set's root."""
        folders = ImageFolders([file.parent, root], given=self.images)
        for line in filter(None, map(str.strip, lines_of(file))):
            if is_leftover(line):
                continue
            try:
                yield folders.find(line, report)
            except DataError:
                yield root / line

    def _labels_of(self, image: Path) -> Path:
        """Return the file of an image's labels, see the class; of images elsewhere, in `labels` of the set."""
        parts = list(image.parts)
        places = [image]
        if "images" in parts[:-1]:
            last = len(parts) - 2 - parts[-2::-1].index("images")
            places.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]))
        for given in filter(image.is_relative_to, self.images):
            ends = image.relative_to(given), image.name
            places += [root / "labels" / end for root in self._roots for end in ends]
        named = [place.with_suffix(suffix) for place in places for suffix in (".txt", ".TXT")]
        return next(filter(os.path.lexists, named), named[0])  # also what cannot be read: it is told, not overlooked


def _check_indices(path: Path, found: Counter[float | None], known: Mapping[int, int], report: ScanReport) -> None:
    """Refuse labels whose classes are counted otherwise than `names`, such as from 1, or that `names` skips.

    Args:
        path: The data.yaml.
        found: How many rows have which class index; None stands for rows without one.
        known: The class indices of `names`.
        report: Of the rows.

    Raises:
        DataError: They are; names `path`.
    """
    numbers = [index for index in found if index is not None]
    if skipped := sorted(index for index in numbers if 0 <= index < max(known) and int(index) == index not in known):
        unknown = [sentence for kind, sentence in report.entries if kind == "unknown category"]
        place = next((one for one in unknown if re.search(rf"line \d+: {skipped[0]:g}\s", one)), unknown[0])
        raise DataError(
            f"{path}: rows of its labels have class {skipped[0]:g}, for which 'names' has no name ({place}); add the "
            "name, or number the classes anew in 'names' and labels"
        )
    strange = sum(count for index, count in found.items() if index is not None and index not in known)
    if strange > MISCOUNTED * found.total():
        raise DataError(
            f"{path}: {strange} of {found.total()} rows of its labels have a class that 'names' lacks: class indices "
            f"run {min(numbers):g}..{max(numbers):g}, names {min(known)}..{max(known)}"
        )
    if numbers and min(known) == 0 and min(numbers) == 1 and max(numbers) == max(known) + 1:
        spans = f"the labels have classes 1 to {max(numbers):g}, 'names' 0 to {max(known)}"
        report.count("classes may be counted from 1", f"{spans}; then every object has a wrong name")


def _without_image(places: Sequence[tuple[Path, Path]], known: Set[Path]) -> Iterator[Path]:
    """Yield the files of labels that belong to the folders of a split and to no image.

    Args:
        places: The root and the folder or list of each entry.
        known: The files of labels that belong to an image.
    """
    for _, place in places:
        parts = place.parts
        if place.is_dir() and "images" in parts:  # other texts may lie beside images
            last = len(parts) - 1 - parts[::-1].index("images")
            folder = Path(*parts[:last], "labels", *parts[last + 1 :])
            yield from sorted(set(files_below(folder, {".txt"})) - known - {folder / "classes.txt"})


def _sample(
    image: Path,
    name: str,
    labels: Path,
    index: Mapping[int, int],
    rows: RowReader,
    indices: Counter[float | None],
    report: ScanReport,
) -> AnnotatedImage | None:
    if not image.is_file():
        report.add("missing image", f"{image} is not there")
        return None
    try:
        width, height = read_size(image)
        lines = lines_of(labels) if os.path.lexists(labels) else []
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
        try:
            label, (x1, y1, x2, y2) = rows(line, what)
        except RowError as error:
            indices[None] += 1
            annotations.refuse(error.kind, f"{what} {error.reason}")
            continue
        indices[label] += 1
        if label not in index:
            annotations.refuse("unknown category", f"{what} (of {name})")
            continue
        annotations.add((x1 * width, y1 * height, x2 * width, y2 * height), index[int(label)], what)
    return annotations.sample(image, index.values())
