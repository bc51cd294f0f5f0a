"""Folders of PASCAL VOC's XML files."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from vision_app.core.errors import DataError, ImageError, UsageError, unknown
from vision_app.core.images import SUFFIXES, read_size
from vision_app.data.samples import AnnotatedImage, DetectionSet, ImageAnnotations
from vision_app.data.scan_report import ScanReport

SPLITS = ("train", "val", "trainval", "test")


def load_voc(folder: str | Path, split: str | None = None) -> DetectionSet:
    """Read a folder laid out as VOC's, or one of XML files with their images beside them.

    In VOC's layout `Annotations/` has the XML files, `JPEGImages/` the images and `ImageSets/Main/SPLIT.txt` the names
    of a split's images. Pixels count from 1, and both ends of a box are inside. `difficult` objects are ignored. The
    classes are those of the objects, in alphabetical order.

    Args:
        folder: The set.
        split: Which list of ImageSets/Main; by default every XML file.

    Raises:
        DataError: The folder has no usable entry.
        UsageError: There is no such split.
    """
    folder = Path(folder)
    annotations = folder / "Annotations" if (folder / "Annotations").is_dir() else folder
    report = ScanReport()
    if split is None:
        stems = sorted(path.stem for path in annotations.glob("*.xml"))
        _report_unannotated(folder, set(stems), report)
    else:
        stems = _listed(folder, split)
    parsed, seen = [], set()
    for stem in stems:
        if stem in seen:
            report.add("duplicate image", f"{stem} is listed twice in {split}.txt")
        elif (root := _parsed(annotations / f"{stem}.xml", report)) is not None:
            parsed.append((stem, root))
        seen.add(stem)
    names = tuple(sorted({_text(one, "name") for _, root in parsed for one in root.iter("object")} - {""}))
    samples: dict[Path, AnnotatedImage] = {}
    for stem, root in parsed:
        sample = _sample(folder, annotations, stem, root, names, report)
        if sample and sample.path in samples:
            report.add("duplicate image", f"{stem}.xml is not the first to name {sample.name}")
        elif sample:
            samples[sample.path] = sample
    if not samples:
        raise DataError(f"{folder}: none of its {len(stems)} XML files can be used ({report.first()})")
    return DetectionSet(names, tuple(samples.values()), report)


def voc_splits(folder: Path) -> list[str]:
    """Return the usual splits that a folder lists."""
    return [split for split in SPLITS if (folder / "ImageSets" / "Main" / f"{split}.txt").is_file()]


def _listed(folder: Path, split: str) -> list[str]:
    try:
        lines = (folder / "ImageSets" / "Main" / f"{split}.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}: {unknown('split', split, voc_splits(folder))}") from error
    return [line.split()[0] for line in lines if line.strip()]


def _report_unannotated(folder: Path, stems: set[str], report: ScanReport) -> None:
    for image in sorted(path for place in _image_folders(folder) for path in place.glob("*")):
        if image.suffix.lower() in SUFFIXES and image.stem not in stems:
            report.add("image without annotation", f"{image.name} has no XML file (left out)")


def _image_folders(folder: Path) -> list[Path]:
    return [folder / name for name in ("JPEGImages", "images", ".") if (folder / name).is_dir()]


def _parsed(path: Path, report: ScanReport) -> ElementTree.Element | None:
    try:
        return ElementTree.parse(path).getroot()
    except FileNotFoundError:
        report.add("missing annotation", f"{path} is not there")
    except (OSError, ElementTree.ParseError, ValueError) as error:
        report.add("malformed annotation", f"{path.name} cannot be read ({error})")
    return None


def _text(element: ElementTree.Element, key: str) -> str:
    return (element.findtext(key) or "").strip()


def _sample(
    folder: Path, annotations: Path, stem: str, root: ElementTree.Element, names: Sequence[str], report: ScanReport
) -> AnnotatedImage | None:
    image = _image(folder, annotations, stem, _text(root, "filename"))
    if image is None:
        report.add(
            "missing image", f"the photo of {stem}.xml is in none of {', '.join(map(str, _image_folders(folder)))}"
        )
        return None
    try:
        width, height = (int(float(_text(root, f"size/{side}") or 0)) for side in ("width", "height"))
        if min(width, height) < 1:  # many tools leave it out
            width, height = read_size(image)
    except ImageError as error:
        report.add("corrupt image", str(error))
        return None
    except (ValueError, OverflowError):
        report.add("malformed annotation", f"{stem}.xml has a size that is no number")
        return None
    annotated = ImageAnnotations(image.name, width, height, report)
    for number, one in enumerate(root.iter("object"), start=1):
        what, name = f"object {number} of {stem}.xml", _text(one, "name")
        try:
            sides = [float(_text(one, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
        except ValueError:
            sides = []
        if not name or not sides or not all(abs(side) < 1e9 for side in sides):
            annotated.refuse("malformed row", f"{what} has no {'bndbox of four numbers' if name else 'name'}")
            continue
        x1, y1, x2, y2 = sides
        ignored = _text(one, "difficult") == "1"
        annotated.add((x1 - 1, y1 - 1, x2, y2), names.index(name), f"{what}: {sides}", ignored=ignored)
    return annotated.sample(image, range(len(names)))


def _image(folder: Path, annotations: Path, stem: str, filename: str) -> Path | None:
    """Return the image of an XML file: the one it names, or else one of its own name."""
    base = filename.replace("\\", "/").rpartition("/")[2]
    names = [base] if base else []
    names += [stem + suffix for suffix in sorted(SUFFIXES)] + [stem + suffix.upper() for suffix in sorted(SUFFIXES)]
    places = dict.fromkeys([*_image_folders(folder), annotations])
    return next((place / name for name in names for place in places if (place / name).is_file()), None)
