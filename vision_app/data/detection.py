"""One door to images with boxes, in whichever of the usual formats they come."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vision_app.core.errors import DataError, UsageError
from vision_app.core.several import several_paths
from vision_app.data.coco import load_coco
from vision_app.data.layout import is_hidden
from vision_app.data.names import alike
from vision_app.data.samples import DetectionSet
from vision_app.data.voc import load_voc, voc_files, voc_splits
from vision_app.data.yolo import YoloFile


@dataclass(frozen=True)
class Dataset:
    """A data set on disk, whose description is parsed; its images and boxes are read by `load`.

    Attributes:
        path: Its file or folder.
        title: What the set is called.
        splits: The splits that it lists; a COCO file has none.
        read: Reads a split, or everything without one.
    """

    path: Path
    title: str
    splits: Sequence[str]
    read: Callable[[str | None], DetectionSet]

    def load(self, classes: Sequence[str] | None = None, split: str | None = None) -> DetectionSet:
        """Read the set.

        Args:
            classes: Names of the set's classes in order; by default the set's own. VOC's names are understood where
                these are COCO's.
            split: Such as train, val or test, for sets that have them; by default everything.

        Raises:
            DataError: It cannot be used; see the readers.
            UsageError: It has no such split.
        """
        data = self.read(split)
        for one, other in alike(data.classes):
            data.report.count("classes that differ in case alone", f"{one!r} and {other!r} (two classes)")
        return data if classes is None else data.relabeled(classes, self.path)


def open_dataset(path: str | Path, images: str | Path | Sequence[str | Path] = ()) -> Dataset:
    """Return the set of a path in the format that the path tells: COCO's .json, YOLO's .yaml or a VOC folder.

    Darknet's obj.data is read as a .yaml.

    Args:
        path: The set.
        images: Folders that have its images, if these are not where the format has them.

    Raises:
        DataError: It is none of these, or its description cannot be used.
    """
    path, images = Path(path), several_paths(images)
    suffix = path.suffix.lower()
    if path.is_dir():
        _check_voc(path)
        return Dataset(path, path.absolute().name, voc_splits(path), partial(load_voc, path, images=images))
    if suffix in (".yaml", ".yml", ".data"):
        file = YoloFile(path, images)
        return Dataset(path, file.title, file.splits, file.load)
    if suffix != ".json":
        raise DataError(f"{path}: not a data set; give a COCO .json, a data.yaml or a folder of VOC's .xml files")
    return Dataset(path, f"{path.absolute().parent.name} {path.stem}", (), partial(_load_coco, path, images))


def load_detection(
    path: str | Path,
    classes: Sequence[str] | None = None,
    split: str | None = None,
    images: str | Path | Sequence[str | Path] = (),
) -> DetectionSet:
    """Read a set; see `open_dataset` and `Dataset.load`."""
    return open_dataset(path, images).load(classes, split)


def _load_coco(path: Path, images: Sequence[Path], split: str | None) -> DetectionSet:
    if split is not None:
        raise UsageError(f"{path}: a COCO file has no splits; name the file of '{split}' instead")
    return load_coco(path, images)


def _check_voc(folder: Path) -> None:
    """Refuse a folder that is not VOC's."""
    if (folder / "Annotations").is_dir() or voc_files(folder):
        return
    patterns = "*.yaml", "*.yml", "*.json", "*.data", "annotations/*.json"
    inside = [file for pattern in patterns for file in sorted(folder.glob(pattern)) if not is_hidden(file.name)]
    inside += [place.parent for place in sorted(folder.glob("*/[Aa]nnotations"))]
    hint = f"; did you mean {inside[0]}?" if inside else ""
    if not inside and (folder / "labels").is_dir():
        hint = "; for YOLO's images/ and labels/, write a data.yaml with train, val and names, and name that"
    raise DataError(f"{folder}: not a VOC folder, it has neither Annotations/ nor .xml files{hint}")
