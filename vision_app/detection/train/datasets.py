"""What a detector is trained and measured on: sets read, split, scanned and brought under one list of classes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from pathlib import Path

import numpy as np

from vision_app.core.errors import DataError
from vision_app.data.detection import load_detection, splits, title
from vision_app.data.names import COCO_CLASSES, canonical
from vision_app.data.samples import DetectionSet
from vision_app.data.scan import scan, summarize
from vision_app.released.landmarks import Landmarks

HELD_OUT = 0.1  # part of the photos to measure on where nothing else is given


@dataclass(frozen=True)
class Validation:
    """A set to measure on, and its name in the metrics."""

    name: str
    data: DetectionSet

    @cached_property
    def truth(self) -> dict:
        """COCO-style content whose images go by the paths of their photos."""
        content = self.data.to_coco()
        for image, path in zip(content["images"], self.paths, strict=True):
            image["file_name"] = path
        return content

    @property
    def paths(self) -> list[str]:
        return [str(sample.path.absolute()) for sample in self.data.samples]


@dataclass(frozen=True)
class Part:
    """One split of one of the given sets, or all of one that has none."""

    path: Path
    split: str | None
    data: DetectionSet

    @classmethod
    def load(cls, path: Path, *wanted: str, classes: Sequence[str] | None = None) -> "Part":
        """The first of the wanted splits that the set has, or everything where it has none of them."""
        split = next((name for name in wanted if name in splits(path)), None)
        return cls(path, split, load_detection(path, classes, split))

    @classmethod
    def to_train(cls, path: Path) -> "Part":
        """What a set is trained on.

        Raises:
            DataError: it has splits and none to train on: what was kept to measure on is not taken instead.
        """
        if (found := splits(path)) and not {"train", "trainval"} & set(found):
            raise DataError(f"{path}: has no 'train', only '{found[0]}'; say which of its photos are to be trained on")
        return cls.load(path, "train", "trainval")

    @property
    def name(self) -> str:
        """Such as "screws val": what the set is called, and its split."""
        return title(self.path) + (f" {self.split}" if self.split else "")


def load_datasets(
    data: Sequence[Path],
    validation: Sequence[Path],
    *,
    classes: Sequence[str] | None = None,
    target: int | None = None,
    seed: int = 0,
    taught: bool = False,
    log: Callable[[str], None] = print,
) -> tuple[DetectionSet, list[Validation], dict[str, DetectionSet]]:
    """Reads and scans what to train and what to measure on.

    Sets with splits are trained on their `train`. What to measure on is the first of: `validation`, which must be
    without fault; the `val` of the sets; a tenth of the photos, drawn by `seed`.

    Args:
        data, validation: paths as `load_detection` takes them.
        classes: names in order; by default those of the sets, COCO's eighty if it comes to these.
        target: see `images.read_image`.
        taught: whether a teacher will add boxes of the classes that a set was not labeled for.
        log: takes what the sets hold, what is odd about them, and warnings of what makes a bad start.

    Returns:
        What to train on, what to measure on, and all scanned sets by name with their reports.

    Raises:
        DataError: a set cannot be used or has splits but none to train on, `validation` has faults, or there are too
            few photos.
    """
    parts = [Part.to_train(path) for path in data]
    explicit = bool(validation)
    if explicit:
        measured = [Part.load(path, "val") for path in validation]
    else:
        measured = [Part.load(path, "val") for path in data if "val" in splits(path)]
    if classes is None:
        classes = _classes([part.data for part in (parts if explicit else parts + measured)])
    seen: dict[str, Path] = {}
    learned = [part.data.relabeled(classes, part.path) for part in parts]
    landmarks = _landmarks(learned)
    learned = [one.with_landmarks(landmarks, part.path) for one, part in zip(learned, parts, strict=True)]
    joined = scan(reduce(DetectionSet.joined, learned), target=target, seen=seen, log=log)
    scanned, validations = {" and ".join(part.name for part in parts): joined}, []
    for part in measured:
        found = part.data.relabeled(classes, part.path).with_landmarks(landmarks, part.path)
        found = scan(found, target=target, limit=0, seen=seen, log=log)
        if explicit:
            _refuse_faults(found, part.path)
        scanned[part.name] = found
        validations.append(Validation(part.name, found))
    warnings = [*_report_trained(joined, validations), *(() if taught else _unlabeled(parts, classes))]
    for name, one in scanned.items():
        for line in summarize(name, one):
            log(line)
    for line in warnings:
        log(f"warning: {line}")
    if not validations:
        joined, held_out = _hold_out(joined, seed)
        log(f"no validation set: {len(held_out)} of the photos, drawn by the seed, are held out to measure on")
        validations = [Validation("held out", held_out)]
    return joined, validations, scanned


def _classes(sets: Sequence[DetectionSet]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name for data in sets for name in data.classes))
    return COCO_CLASSES if {canonical(name) for name in names} == set(COCO_CLASSES) else names


def _landmarks(sets: Sequence[DetectionSet]) -> Landmarks:
    """Those of the first set that has any, for the classes that have them in one of the sets."""
    names = next((one.landmarks.names for one in sets if one.landmarks), ())
    return Landmarks(names, tuple(dict.fromkeys(name for one in sets for name in one.landmarks.classes)))


def _report_trained(data: DetectionSet, validations: Sequence[Validation]) -> Iterator[str]:
    """Adds photos that are trained on to the reports of what is measured on, and says how many these are."""
    trained = {sample.path.resolve() for sample in data.samples}
    for one in validations:
        if common := [sample.path for sample in one.data.samples if sample.path.resolve() in trained]:
            for path in common:
                one.data.report.add("trained photo", f"{path} is trained on too (kept)")
            yield (
                f"{len(common)} of the {len(one.data)} photos of {one.name} are trained on too, such as {common[0]}; "
                "figures on them do not tell how good the model is on other photos"
            )


def _unlabeled(parts: Sequence[Part], classes: Sequence[str], shown: int = 5) -> Iterator[str]:
    """What is to be said of classes that some of the sets were not labeled for."""
    for part in parts:
        known = {part.data.classes[i] for sample in part.data.samples for i in sample.labeled}
        known |= {canonical(name) for name in known}
        if missing := [name for name in classes if name not in known]:
            more = f" and {len(missing) - shown} more" if len(missing) > shown else ""
            yield (
                f"{part.name} is not labeled for {', '.join(missing[:shown])}{more}; such objects in its photos count "
                "as background, and the model learns not to find them"
            )


def _refuse_faults(data: DetectionSet, path: Path) -> None:
    if faults := data.report.faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise DataError(f"{path}: {faults[0]}{more}; what is measured on must be without fault")


def _hold_out(data: DetectionSet, seed: int) -> tuple[DetectionSet, DetectionSet]:
    """The set without a tenth of its samples, and that tenth, both in order."""
    if len(data) < 2:
        raise DataError("one photo cannot be both trained and measured on; give more of them, or --validation")
    count = max(1, round(HELD_OUT * len(data)))
    order = np.random.default_rng((seed, 2)).permutation(len(data))
    held_out = data.subset(sorted(order[:count].tolist()))
    return replace(data.subset(sorted(order[count:].tolist())), report=data.report), held_out
