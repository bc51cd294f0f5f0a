"""What a face embedder is trained and measured on: aligned faces, and who is on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vision_app.core.errors import DataError, UsageError
from vision_app.core.images import RGBImage
from vision_app.core.results import Detections
from vision_app.data.identities import Portrait, load_identities
from vision_app.data.samples import read_reports, write_reports
from vision_app.faces.align import TEMPLATE
from vision_app.faces.evaluate.metrics import roc, tar_at
from vision_app.faces.evaluate.pairs import Photos, compare_all, compare_listed, load_photos
from vision_app.faces.train.crops import FaceCrops, find_crops, joined
from vision_app.training.augment import random_numbers

HELD_OUT, ENOUGH = 0.1, 20  # part of the people to measure on if nothing else is given; how many there must be for that
SCAN = "scan.csv"
SAME = 0.05  # pixels by which landmarks of one template may differ
FARS = {"TAR at FAR 1%": 0.01, "TAR at FAR 0.1%": 0.001}
FIND = Callable[[RGBImage], Detections]


@dataclass(frozen=True, eq=False)
class Validation:
    """Photos to measure on.

    Attributes:
        name: of the set in the metrics.
        photos: what is compared with what.
        crops: the faces that were found on them; those of the same file belong together.
    """

    name: str
    photos: Photos
    crops: FaceCrops

    @classmethod
    def of_people(cls, name: str, crops: FaceCrops) -> "Validation":
        """Faces whose people are known, each to be compared with every other one.

        Raises:
            DataError: there is no pair of one person, or none of two.
        """
        crops = crops.subset(crops.identities != "")
        people = len(np.unique(crops.identities))
        if not 1 < people < len(crops):
            raise DataError(f"{name}: takes two people, and two photos of one of them, to measure on")
        return cls(name, Photos(tuple(crops.files), (), crops.identities, np.full(len(crops), "")), crops)

    def measure(self, embeddings: np.ndarray) -> dict[str, float]:
        """Accuracy at the threshold that is best for these pairs, pairs of one person and of two counting alike, and
        the true accept rates at the false accept rates that there are pairs enough for.

        A pair without a face is never accepted.

        Args:
            embeddings: (N, D) unit vectors of the faces.
        """
        places = {file: i for i, file in enumerate(self.crops.files)}
        found = np.array([places.get(file, -1) for file in self.photos.files])
        embeddings = np.where((found >= 0)[:, None], embeddings[found], np.float32(np.nan))
        if self.photos.listed is None:
            compared = compare_all(embeddings, self.photos.names, self.photos.groups)
        else:
            compared = compare_listed(embeddings, self.photos)
        curve = roc(compared.similarity, compared.same)
        figures = {"accuracy": float((curve.tar + 1 - curve.far).max() / 2)}
        figures |= {name: tar_at(curve, far)[0].rate for name, far in FARS.items() if curve.supports(far)}
        return {name: round(value, 5) for name, value in figures.items()}


@dataclass
class Reader:
    """Reads sets of faces and keeps what was found on photos in the run's folder, and what is odd in its scan.csv.

    Attributes:
        output: the run's folder; must be there.
        resume: whether faces that are kept there already are taken instead of being searched for again.
        open_detector: gives what finds faces; called when it is needed.
        log: takes lines of progress.
        template: (5, 2) that all faces are aligned to; the first one that `agree` is told.
    """

    output: Path
    resume: bool
    open_detector: Callable[[], FIND]
    log: Callable[[str], None]
    template: np.ndarray | None = None

    def __post_init__(self):
        self._reports = read_reports(self.output / SCAN) if self.resume else {}
        write_reports(self.output / SCAN, self._reports)

    def agree(self, name: str, template: np.ndarray) -> None:
        """Raises UsageError if what goes by this name aligns faces to another template than what was told before."""
        if self.template is None:
            self.template = template
        elif not np.allclose(template, self.template, atol=SAME):
            raise UsageError(f"{name}: its faces are aligned to another template than the others; take photos instead")

    def train(self, paths: Sequence[Path]) -> FaceCrops:
        """The faces to train on; of sets with splits those of "train"."""
        ready = [self._ready(path) for path in paths if _is_ready(path)]
        portraits = [one for path in paths if not _is_ready(path) for one in _to_train(path)]
        if portraits:
            name = " and ".join(path.name for path in paths if not _is_ready(path))
            ready.append(self._found(name, portraits, self.output / "crops.npz"))
        return joined(ready)

    def validation(self, path: Path, number: int) -> Validation:
        """What to measure on.

        Args:
            path: faces in an .npz file, or what `pairs.load_photos` takes: of sets with splits "val".
            number: of the set among those to measure on.
        """
        if _is_ready(path):
            return Validation.of_people(path.stem, self._ready(path))
        photos = load_photos(path)
        names = [""] * len(photos.files) if photos.names is None else photos.names.tolist()
        portraits = [Portrait(*one) for one in zip(photos.files, photos.paths, names, strict=True)]
        crops = self._found(path.name, portraits, self.output / f"validation-{number}.npz")
        return Validation(path.stem, photos, crops)

    def _ready(self, path: Path) -> FaceCrops:
        """The faces in a file."""
        crops = FaceCrops.load(path)
        self.agree(str(path), crops.template)
        return crops

    def _found(self, name: str, portraits: Sequence[Portrait], kept: Path) -> FaceCrops:
        """The faces on some photos, kept in a file."""
        if self.resume and kept.exists():
            return self._ready(kept)
        if self.template is None:
            self.template = TEMPLATE
        crops, report = find_crops(portraits, self._detector, self.template, log=self.log)
        self._reports[name] = report
        write_reports(self.output / SCAN, self._reports)
        crops.save(kept)
        odd = ", ".join(f"{count:,} x {kind}" for kind, count in report.kinds.items())
        odd = f"; {odd} (see scan.csv)" if odd else ""
        self.log(f"{name}: faces on {len(crops):,} of {len(portraits):,} photos{odd}")
        return crops

    @cached_property
    def _detector(self) -> FIND:
        return self.open_detector()


def has_validation(path: Path) -> bool:
    """Whether a set to train on brings one to measure on."""
    return not _is_ready(path) and any(portrait.split == "val" for portrait in load_identities(path))


def hold_out(crops: FaceCrops, seed: int, log: Callable[[str], None]) -> tuple[FaceCrops, list[Validation]]:
    """Sets a tenth of the people with two photos or more aside to measure on, if there are enough of them.

    Returns:
        The faces to train on, and what to measure on: one set or none.
    """
    names, counts = np.unique(crops.identities[crops.identities != ""], return_counts=True)
    names = names[counts > 1]
    if len(names) < ENOUGH:
        log("no validation set, and too few people to hold some out: nothing is measured, and the last network is best")
        return crops, []
    chosen = random_numbers("held out", seed).permutation(names)[: round(HELD_OUT * len(names))]
    aside = np.isin(crops.identities, chosen)
    log(f"no validation set: {len(chosen)} people, drawn by the seed, are held out to measure on")
    return crops.subset(~aside), [Validation.of_people("held out", crops.subset(aside))]


def _is_ready(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _to_train(path: Path) -> list[Portrait]:
    """Those of a set's "train"; all of a set without splits.

    Raises:
        DataError: the set has splits, but not this one.
    """
    portraits = load_identities(path)
    names = {portrait.split for portrait in portraits}
    if names == {""}:
        return portraits
    if "train" not in names:
        raise DataError(f"{path}: has no split 'train', only {', '.join(sorted(filter(None, names)))}")
    return [portrait for portrait in portraits if portrait.split == "train"]
