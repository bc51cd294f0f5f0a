"""The data that a detector is trained and measured on: read, split, scanned, under one list of classes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric.utilities import rank_zero_only

from vision_app.core.errors import DataError
from vision_app.core.several import several_paths
from vision_app.core.text import amount
from vision_app.data.detection import Dataset, open_dataset
from vision_app.data.names import COCO_CLASSES, canonical
from vision_app.data.samples import DetectionSet
from vision_app.data.scan import scan, summarize
from vision_app.data.scan_report import write_reports
from vision_app.data.teacher import add_teacher_boxes
from vision_app.detection.train.initial import name_and_digest
from vision_app.released.landmarks import Landmarks
from vision_app.training.augment import LARGEST_ZOOM

SCAN = "scan.csv"  # in the folder of every run: the issues of its data
HELD_OUT = 0.1  # part of the images to measure on where nothing else is given


@dataclass(frozen=True)
class ValidationSet:
    """A set to measure on, and its name in the metrics."""

    name: str
    data: DetectionSet


@dataclass(frozen=True)
class DatasetSplit:
    """One split of one of the given sets, or all of one that has none."""

    source: Dataset
    split: str | None
    data: DetectionSet

    @classmethod
    def load(cls, source: Dataset, *wanted: str) -> "DatasetSplit":
        """Read the first of the wanted splits that the set has, or everything where it has none of them."""
        split = next((name for name in wanted if name in source.splits), None)
        return cls(source, split, source.load(split=split))

    @classmethod
    def to_train(cls, source: Dataset) -> "DatasetSplit":
        """Read what a set is trained on.

        Raises:
            DataError: It has splits and none to train on: what is set apart to measure on is not taken instead.
        """
        if source.splits and not {"train", "trainval"} & set(source.splits):
            only = source.splits[0]
            raise DataError(f"{source.path}: has no 'train', only '{only}'; say which of its images to train on")
        return cls.load(source, "train", "trainval")

    @property
    def name(self) -> str:
        """Such as "screws val": what the set is called, and its split."""
        return self.source.title + (f" {self.split}" if self.split else "")

    def under(self, classes: Sequence[str], landmarks: Landmarks | None = None) -> DetectionSet:
        """Return the data under other classes, and other landmarks if given."""
        data = self.data.relabeled(classes, self.source.path)
        return data if landmarks is None else data.with_landmarks(landmarks, self.source.path)


def load_datasets(
    data: Path | Sequence[Path],
    validation: Path | Sequence[Path],
    *,
    images: Sequence[Path] = (),
    classes: Sequence[str] | None = None,
    target: int | None = None,
    seed: int = 0,
    taught: bool = False,
    log: Callable[[str], None] = print,
) -> tuple[DetectionSet, list[ValidationSet], dict[str, DetectionSet]]:
    """Read and scan what to train and what to measure on.

    Sets with splits are trained on their `train`. What to measure on is the first of: `validation`, which must be
    without fault; the `val` of the sets; a tenth of the images, drawn by `seed`.

    Args:
        data: One or several paths as `open_dataset` takes them.
        validation: Likewise; may be none.
        images: Folders that have images of the sets, if they are not where the formats have them.
        classes: Names in order; by default those of the sets, COCO's eighty if it comes to these.
        target: See `images.read_image`.
        seed: Random seed.
        taught: Whether a teacher will add boxes of the classes that a set was not labeled for.
        log: Takes what the sets contain, what is odd about them, and warnings of what makes a bad start.

    Returns:
        What to train on, what to measure on, and all scanned sets by name with their reports.

    Raises:
        DataError: A set cannot be used or has splits but none to train on, `validation` has faults, or there are too
            few images.
    """
    data, validation = several_paths(data), several_paths(validation)
    sources = {path: open_dataset(path, images) for path in dict.fromkeys([*data, *validation])}
    parts = [DatasetSplit.to_train(sources[path]) for path in data]
    explicit = bool(validation)
    set_apart = validation or [path for path in data if "val" in sources[path].splits]
    measured = [DatasetSplit.load(sources[path], "val") for path in set_apart]
    if classes is None:
        classes = _classes([part.data for part in (parts if explicit else parts + measured)])
    seen: dict[str, Path] = {}
    landmarks = _landmarks([part.under(classes) for part in parts])
    learned = reduce(DetectionSet.joined, [part.under(classes, landmarks) for part in parts])
    joined = scan(learned, target=target, seen=seen, log=log)
    scanned, validations = {" and ".join(part.name for part in parts): joined}, []
    for part in measured:
        found = scan(part.under(classes, landmarks), target=target, limit=0, seen=seen, log=log)
        if explicit and (faults := found.report.faults):
            more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
            raise DataError(f"{part.source.path}: {faults[0]}{more}; what is measured on must be without fault")
        scanned[part.name] = found
        validations.append(ValidationSet(part.name, found))
    warnings = [*_report_trained(joined, validations), *(() if taught else _unlabeled(parts, classes))]
    for name, one in scanned.items():
        for line in summarize(name, one):
            log(line)
    for line in warnings:
        log(f"warning: {line}")
    if not validations:
        joined, rest = _hold_out(joined, seed)
        log(f"no validation set: {amount(len(rest), 'image')}, drawn by the seed, held out to measure on")
        validations = [ValidationSet("held out", rest)]
    for name in (each.name for each in validations if not each.data.has_boxes):
        log(f"warning: {name} has no boxes: it neither chooses the best model nor stops the run early")
    return joined, validations, scanned


def _classes(sets: Sequence[DetectionSet]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name for data in sets for name in data.classes))
    return COCO_CLASSES if {canonical(name) for name in names} == set(COCO_CLASSES) else names


def _landmarks(sets: Sequence[DetectionSet]) -> Landmarks:
    """Return those of the first set that has any, for the classes that have them in one of the sets."""
    names = next((one.landmarks.names for one in sets if one.landmarks), ())
    return Landmarks(names, tuple(dict.fromkeys(name for one in sets for name in one.landmarks.classes)))


def _report_trained(data: DetectionSet, validations: Sequence[ValidationSet]) -> Iterator[str]:
    """Add images that are trained on to the reports of what is measured on; yield how many these are."""
    trained = {sample.path.resolve() for sample in data.samples}
    for one in validations:
        if common := [sample.path for sample in one.data.samples if sample.path.resolve() in trained]:
            for path in common:
                one.data.report.add("trained photo", f"{path} is trained on too (kept)")
            yield (
                f"{len(common)} of the {len(one.data)} images of {one.name} are trained on too, such as {common[0]}; "
                "figures on them do not tell how good the model is on other images"
            )


def _unlabeled(parts: Sequence[DatasetSplit], classes: Sequence[str], shown: int = 5) -> Iterator[str]:
    """Yield warnings of classes that some of the sets were not labeled for."""
    for part in parts:
        known = {part.data.classes[i] for sample in part.data.samples for i in sample.labeled}
        known |= {canonical(name) for name in known}
        if missing := [name for name in classes if name not in known]:
            more = f" and {len(missing) - shown} more" if len(missing) > shown else ""
            yield (
                f"{part.name} is not labeled for {', '.join(missing[:shown])}{more}; such objects in its images count "
                "as background, and the model learns not to find them"
            )


def _hold_out(data: DetectionSet, seed: int) -> tuple[DetectionSet, DetectionSet]:
    """Return the set without a tenth of its samples, and that tenth, both in order."""
    if len(data) < 2:
        raise DataError("one image cannot be both trained and measured on; give more of them, or --validation")
    count = max(1, round(HELD_OUT * len(data)))
    order = np.random.default_rng((seed, 2)).permutation(len(data))
    held_out = data.subset(sorted(order[:count].tolist()))
    return replace(data.subset(sorted(order[count:].tolist())), report=data.report), held_out


class RunData:
    """What a run learns from and is measured on, read and scanned; arguments are those of `trainer.train` and these.

    Args:
        size: The network's input size, which decides at which resolution images are decoded.
        seed: Random seed, of the images that are held out.
        labeled: Whether missing boxes of a class need no warning.

    Attributes:
        learned: What is learned from.
        validations: What is measured on.

    Raises:
        DataError, ModelError: A dataset or `initial` cannot be used, or there is no box to learn from.
    """

    def __init__(
        self,
        data: Path | Sequence[Path],
        validation: Path | Sequence[Path],
        size: int,
        seed: int,
        *,
        initial: Path | None,
        teacher_boxes: Path | None,
        images: Sequence[Path],
        labeled: bool,
        log: Callable[[str], None],
    ):
        self._sources = {"initial": name_and_digest(initial)}
        self.learned, self.validations, self._scanned = load_datasets(
            data, validation, images=images, classes=COCO_CLASSES if teacher_boxes else None,
            target=round(LARGEST_ZOOM * size), seed=seed, taught=labeled or bool(teacher_boxes), log=log,
        )  # fmt: skip
        if teacher_boxes:
            self.learned = add_teacher_boxes(self.learned, teacher_boxes)
        if not self.learned.has_boxes:
            names = ", ".join(map(str, several_paths(data)))
            raise DataError(
                f"{names}: none of the {amount(len(self.learned), 'image')} to train on has a box, so there is nothing "
                "to learn; `vision-app check` says what is odd about the labels"
            )
        self._sources["teacher_boxes"] = name_and_digest(teacher_boxes)
        self._names = ", ".join(path.name for path in several_paths(data))

    def inputs(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return all that a resumed run must have in common with its start; see `training.loop.fit`."""
        measured = ", ".join(f"{one.name} {one.data.digest()}" for one in self.validations)
        return self._sources | options | {"data": f"{self._names} {self.learned.digest()}", "validation": measured}

    def trained(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return what model.json says of the training."""
        return {"photos": len(self.learned), "initial": self._sources["initial"], **options}

    def write_reports(self, output: Path) -> None:
        """Write the issues of the data to the folder of the run, which is made if it is not there."""
        output.mkdir(parents=True, exist_ok=True)
        rank_zero_only(write_reports)(output / SCAN, {name: one.report for name, one in self._scanned.items()})
