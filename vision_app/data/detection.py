"""One door to photos with boxes, in whichever of the usual formats they come."""

from collections.abc import Sequence
from pathlib import Path

from vision_app.core.errors import DataError, UsageError
from vision_app.data.coco import load_coco
from vision_app.data.samples import DetectionSet, Objects, Photos, Sample, ScanReport, write_reports
from vision_app.data.scan import scan
from vision_app.data.voc import load_voc, voc_splits
from vision_app.data.yolo import load_yolo, yolo_splits, yolo_title

__all__ = [
    "DetectionSet", "Objects", "Photos", "Sample", "ScanReport", "load_coco", "load_detection", "load_voc", "load_yolo",
    "scan", "splits", "title", "write_reports",
]  # fmt: skip


def load_detection(path: str | Path, classes: Sequence[str] | None = None, split: str | None = None) -> DetectionSet:
    """Reads a set in the format that its path tells: COCO's (FILE.json), YOLO's (FILE.yaml), VOC's (a folder).

    Args:
        path: the file or folder.
        classes: names of the set's classes in order; by default the set's own. VOC's names are understood where these
            are COCO's.
        split: train, val or test, for sets that have them; by default everything.

    Raises:
        DataError: it is none of these or cannot be used; see the readers.
        UsageError: it has no such split.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "coco":
        if split is not None:
            raise UsageError(f"{path}: a COCO file has no splits; name the file of '{split}' instead")
        return load_coco(path, classes)
    return (load_yolo if kind == "yolo" else load_voc)(path, classes, split)


def splits(path: str | Path) -> list[str]:
    """The splits that a set lists; a COCO file has none."""
    path = Path(path)
    return {"coco": lambda _: [], "yolo": yolo_splits, "voc": voc_splits}[_kind(path)](path)


def title(path: str | Path) -> str:
    """What a set is called."""
    path = Path(path)
    match _kind(path):
        case "coco":
            return f"{path.absolute().parent.name} {path.stem}"
        case "yolo":
            return yolo_title(path)
    return path.absolute().name


def _kind(path: Path) -> str:
    if path.is_dir():
        if (path / "Annotations").is_dir() or next(path.glob("*.xml"), None):
            return "voc"
        inside = [file for pattern in ("*.yaml", "*.yml", "*.json") for file in sorted(path.glob(pattern))]
        hint = f"; did you mean {inside[0]}?" if inside else ""
        if not inside and (path / "labels").is_dir():
            hint = "; for YOLO's images/ and labels/, write a data.yaml with train, val and names, and name that"
        raise DataError(f"{path}: not a VOC folder, it has neither Annotations/ nor .xml files{hint}")
    kind = {".json": "coco", ".yaml": "yolo", ".yml": "yolo"}.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path}: not a data set; give a COCO .json, a data.yaml or a folder of VOC's .xml files")
    return kind
