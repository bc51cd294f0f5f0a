"""Folders of PASCAL VOC's XML files."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import repr as shortened
from xml.etree import ElementTree

from vision_app.core.errors import DataError, ImageError, UsageError, unknown
from vision_app.core.files import read_text
from vision_app.core.images import SUFFIXES, read_size
from vision_app.data.layout import ImageFolders, files_below, is_hidden, is_leftover
from vision_app.data.parse import flag, number
from vision_app.data.samples import AnnotatedImage, DetectionSet, ImageAnnotations
from vision_app.data.scan_report import MOST, ScanReport

SPLITS = ("train", "val", "trainval", "test")
_SPLIT_FOLDERS = {name: name for name in SPLITS} | {"valid": "val", "validation": "val"}
_IMAGES = ("JPEGImages", "images")  # folders of images, in any case
_KNOWN = {"folder", "filename", "path", "source", "owner", "size", "segmented"}  # elements beside those of objects
_SUFFIX = re.compile(r"\.\w+$")
_LISTED = re.compile(r"\s+-?[01]$")  # whether the image shows the class of the list


def load_voc(folder: str | Path, split: str | None = None, images: Sequence[Path] = ()) -> DetectionSet:
    """Read a folder laid out as VOC's, or one of XML files with their images beside them.

    In VOC's layout `Annotations/` has the XML files, `JPEGImages/` or `images/` the images, both with sub-folders if
    need be, and `ImageSets/Main/SPLIT.txt` the names of a split's images; without such lists, sub-folders called train,
    valid and test are the splits. Pixels count from 1, and both ends of a box are inside. `difficult` objects are
    ignored. The classes are those of the objects, in alphabetical order.

    Args:
        folder: The set.
        split: Which list of ImageSets/Main; by default every XML file.
        images: Folders that have the images, if they are elsewhere.

    Raises:
        DataError: The folder has no usable entry, its XML files are not VOC's, or most objects cannot be used.
        UsageError: There is no such split.
    """
    folder = Path(folder)
    report = ScanReport()
    files = voc_files(folder)
    if split is None:
        stems = list(files)
        _report_unannotated(folder, stems, report)
    else:
        stems = _listed(folder, split, files)
    parsed: dict[str, ElementTree.Element] = {}
    foreign = 0
    for stem in stems:
        if stem in parsed:
            report.add("duplicate image", f"{stem} is listed twice in {split}.txt")
        elif (root := _parsed(file := files.get(stem) or _annotations(folder) / f"{stem}.xml", report)) is not None:
            parsed[stem] = root
        else:
            foreign += file.is_file()
    names = tuple(sorted({_text(one, "name") for root in parsed.values() for one in root.iter("object")} - {""}))
    if parsed and not names and (split is None or not _has_objects(files)):
        raise DataError(f"{folder}: not a VOC folder, none of its {len(files)} XML files has an <object> with a name")
    if parsed and foreign > MOST * (read := len(parsed) + foreign):
        reason = next(sentence for kind, sentence in report.entries if kind == "malformed annotation")
        raise DataError(f"{folder}: {foreign:,} of {read:,} XML files cannot be used ({reason})")
    reader = _ImageReader(folder, parsed, names, images, report)
    samples: dict[Path, AnnotatedImage] = {}
    for stem, root in parsed.items():
        sample = reader(stem, root)
        if sample and sample.path in samples:
            report.add("duplicate image", f"{stem}.xml is not the first to name {sample.name}")
        elif sample:
            samples[sample.path] = sample
    report.check_rows(folder)
    if not samples:
        raise DataError(f"{folder}: none of its {len(stems)} XML files can be used ({report.first()})")
    return DetectionSet(names, tuple(samples.values()), report)


def voc_splits(folder: Path) -> list[str]:
    """Return the usual splits that a folder lists, or has as sub-folders of XML files."""
    listed = [split for split in SPLITS if (folder / "ImageSets" / "Main" / f"{split}.txt").is_file()]
    found = {_SPLIT_FOLDERS.get(stem.partition("/")[0].lower()) for stem in voc_files(folder)} if not listed else {""}
    return listed or [split for split in SPLITS if split in found]


def voc_files(folder: Path) -> dict[str, Path]:
    """Return a folder's XML files by their paths among the annotations, without suffixes, in order.

    Without `Annotations/`, that are those in the folder itself and in its sub-folders.
    """
    place = _annotations(folder)
    deep = place != folder or not folder.is_dir()
    files = files_below(place, {".xml"}) if deep else sorted([*folder.glob("*"), *folder.glob("*/*")])
    inside = {file.relative_to(place): file for file in files if file.suffix.lower() == ".xml"}
    return {
        path.with_suffix("").as_posix(): file for path, file in inside.items() if not any(map(is_hidden, path.parts))
    }


def _annotations(folder: Path) -> Path:
    return next(iter(_folders(folder, ["Annotations"])), folder)


def _folders(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the sub-folders with these names, in any case, in the order of the names."""
    inside = sorted(place for place in folder.iterdir() if place.is_dir()) if folder.is_dir() else []
    return [place for name in names for place in inside if place.name.lower() == name.lower()]


def _listed(folder: Path, split: str, files: Mapping[str, Path]) -> list[str]:
    try:
        lines = read_text(folder / "ImageSets" / "Main" / f"{split}.txt").splitlines()
    except (OSError, ValueError) as error:
        if split in (splits := voc_splits(folder)):
            return [stem for stem in files if _SPLIT_FOLDERS.get(stem.partition("/")[0].lower()) == split]
        raise UsageError(f"{folder}: {unknown('split', split, splits)}") from error
    stems = []
    for line in filter(None, map(str.strip, lines)):
        line = line.replace("\\", "/")
        bare = _LISTED.sub("", line).rstrip()
        forms = line, bare, _SUFFIX.sub("", bare), bare.split()[0]  # with a flag, a suffix, more columns
        stem = next((form for form in forms if form in files), bare)
        if not is_leftover(stem):
            stems.append(stem)
    return stems


def _report_unannotated(folder: Path, stems: Sequence[str], report: ScanReport) -> None:
    known = {Path(stem).name for stem in stems}
    places = [*_folders(folder, _IMAGES), folder]
    found = {file: None for place in places[:-1] for file in files_below(place, SUFFIXES)}
    found |= {file: None for file in sorted(folder.glob("*")) if file.suffix.lower() in SUFFIXES}
    for image in found:
        if image.stem not in known and not is_hidden(image.name):
            report.add("image without annotation", f"{image.name} has no XML file (left out)")


def _parsed(path: Path, report: ScanReport) -> ElementTree.Element | None:
    """Return the root of a file, its elements' names in lower case; None, which is reported, if it is not VOC's."""
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        report.add("missing annotation", f"{path} is not there")
        return None
    except (OSError, ElementTree.ParseError, ValueError) as error:
        report.add("malformed annotation", f"{path.name} cannot be read ({error})")
        return None
    for element in root.iter():
        element.tag = str(element.tag).lower()
    if root.tag != "annotation":
        report.add("malformed annotation", f"{path.name} is not VOC's, its root is <{root.tag}>, not <annotation>")
        return None
    strange = next((child.tag for child in root if child.tag not in _KNOWN), None)
    if strange and next(root.iter("object"), None) is None:  # only what is VOC's alone says that nothing is there
        report.add("malformed annotation", f"{path.name} is not VOC's, it has <{strange}> and no <object>")
        return None
    return root


def _has_objects(files: Mapping[str, Path]) -> bool:
    roots = (_parsed(file, ScanReport()) for file in files.values())
    return any(root is not None and root.find("object/name") is not None for root in roots)


def _text(element: ElementTree.Element, key: str) -> str:
    return (element.findtext(key) or "").strip()


class _ImageReader:
    """Turns XML files into samples.

    Args:
        folder: The set.
        parsed: The roots of all files by their stems.
        names: Of the classes.
        images: Folders that have the images, if they are elsewhere.
        report: Takes what is wrong.
    """

    def __init__(
        self,
        folder: Path,
        parsed: Mapping[str, ElementTree.Element],
        names: Sequence[str],
        images: Sequence[Path],
        report: ScanReport,
    ):
        self.names, self.report, self.parsed = names, report, parsed
        beside = _folders(folder.parent, _IMAGES) if folder.name.lower() == "annotations" else []
        places = [*images, *_folders(folder, _IMAGES), *beside, folder, _annotations(folder)]
        self.places = list(dict.fromkeys(places))
        self.given = ImageFolders(self.places, given=images)

    def __call__(self, stem: str, root: ElementTree.Element) -> AnnotatedImage | None:
        report = self.report
        try:
            image = self._image(stem, _text(root, "filename"))
            sides = [number(_text(root, f"size/{side}") or "0") for side in ("width", "height")]
            width, height = (0 if side is None else int(side) for side in sides)
            if None not in sides and min(width, height) < 1:  # many tools leave it out
                width, height = read_size(image)
        except DataError as error:
            report.add("missing image", str(error))
            return None
        except ImageError as error:
            report.add("corrupt image", str(error))
            return None
        if None in sides:
            report.add("malformed annotation", f"{stem}.xml has a size that is not a number")
            return None
        annotated = ImageAnnotations(image.name, width, height, report)
        for place, one in enumerate(root.iter("object"), start=1):
            what, name = f"object {place} of {stem}.xml", _text(one, "name")
            given = {side: _text(one, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")}
            corners = [found for text in given.values() if (found := number(text)) is not None]
            if not name or len(corners) < 4:
                side, text = next((pair for pair in given.items() if number(pair[1]) is None), ("", ""))
                problem = f"'{side}': {shortened(text)}, not a number" if text else f"no {side if name else 'name'}"
                annotated.refuse("malformed row", f"{what} has {problem}")
                continue
            x1, y1, x2, y2 = corners
            difficult = _text(one, "difficult")
            if difficult and flag(difficult) is None:
                report.count("unknown flag", f"{what}: 'difficult' is {difficult!r} (taken as not set)")
            annotated.add(
                (x1 - 1, y1 - 1, x2, y2), self.names.index(name), f"{what}: {corners}", ignored=bool(flag(difficult))
            )
        return annotated.sample(image, range(len(self.names)))

    def _image(self, stem: str, filename: str) -> Path:
        """Return the image of an XML file: the one it names, or else one of its own name; report where both are there.

        Raises:
            DataError: There is none.
        """
        sub = Path(stem).parent
        base = filename.replace("\\", "/").rpartition("/")[2]
        own = [Path(stem).name + suffix for small in sorted(SUFFIXES) for suffix in (small, small.upper())]
        named = self._found(sub, [base] if base else [])
        if named and named[0].stem == Path(stem).name:
            return named[0]
        same = self._found(sub, own)
        if named and same:
            self.report.add("renamed photo", f"{stem}.xml names {base}, though {same[0].name} is there (took {base})")
        elif len(same) > 1:
            self.report.add("shared labels", f"{stem}.xml may be of {same[0].name} or {same[1].name} (took the first)")
        if found := named or same:
            return found[0]
        for name in [base, *own] if self.given.given else ():
            try:
                return self.given.find(name, self.report)
            except DataError:
                continue
        places = ", ".join(map(str, self.places))
        raise DataError(f"the photo of {stem}.xml is in none of {places}; --images names the folder that has it")

    def _found(self, sub: Path, names: Sequence[str]) -> list[Path]:
        """Return the images with one of some names, those in a sub-folder like that of the XML file first."""
        tried = dict.fromkeys(place / part / name for name in names for place in self.places for part in (sub, ""))
        return [file for file in tried if file.is_file()]
