"""What a face embedder is trained and measured on: aligned faces, and who is on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vision_app.core.errors import DataError, UsageError
from vision_app.data.identities import Portrait, load_identities
from vision_app.data.scan_report import read_reports, write_reports
from vision_app.faces.align import TEMPLATE
from vision_app.faces.evaluate.metrics import roc, tar_at
from vision_app.faces.evaluate.pairs import FacePhotos, compare_all, compare_listed, load_photos
from vision_app.faces.train.crops import FaceCrops, FindFaces, find_crops, joined
from vision_app.training.augment import random_numbers

HELD_OUT, ENOUGH = 0.1, 20  # part of the people to measure on if nothing else is given; how many that takes
SCAN = "scan.csv"
TOLERANCE = 0.05  # pixels by which landmarks of one template may differ
FARS = {"TAR at FAR 1%": 0.01, "TAR at FAR 0.1%": 0.001}


@dataclass(frozen=True, eq=False)
class FaceValidation:
    """Photos to measure on.

    Attributes:
        name: Of the set in the metrics.
        photos: What is compared with what.
        crops: The faces that were found on them, by file.
    """

    name: str
    photos: FacePhotos
    crops: FaceCrops

    @classmethod
    def of_people(cls, name: str, crops: FaceCrops) -> "FaceValidation":
        """Return faces whose people are known, each to be compared with every other one.

        Raises:
            DataError: There is no pair of one person, or none of two.
        """
        crops = crops.subset(crops.identities != "")
        people = len(np.unique(crops.identities))
        if not 1 < people < len(crops):
            raise DataError(f"{name}: takes two people, and two photos of one of them, to measure on")
        return cls(name, FacePhotos(tuple(crops.files), (), crops.identities, np.full(len(crops), "")), crops)

    def measure(self, embeddings: np.ndarray) -> dict[str, float]:
        """Return the balanced accuracy at the threshold that is best for these pairs, and true accept rates.

        These are at the false accept rates that there are enough pairs for. A pair without a face is never accepted.

        Args:
            embeddings: (N, D) unit vectors of the faces.
        """
        places = {file: i for i, file in enumerate(self.crops.files)}
        found = np.array([places.get(file, -1) for file in self.photos.files])
        embeddings = np.where((found >= 0)[:, None], embeddings[found], np.float32(np.nan))
        photos = self.photos
        if photos.listed is None and photos.names is not None:
            pairs = compare_all(embeddings, photos.names, photos.groups)
        else:
            pairs = compare_listed(embeddings, photos)
        curve = roc(pairs.similarity, pairs.same)
        figures = {"accuracy": float((curve.tar + 1 - curve.far).max() / 2)}
        figures |= {name: tar_at(curve, far)[0].rate for name, far in FARS.items() if curve.supports(far)}
        return {name: round(value, 5) for name, value in figures.items()}


@dataclass
class Reader:
    """Reads sets of faces; keeps the faces of photos in the run's folder, and their issues in its scan.csv.

    Attributes:
        output: The run's folder; must exist.
        resume: Whether faces that are stored there already are reused.
        open_detector: Returns what finds faces; called whenever it is needed.
        log: Takes lines of progress.
        template: (5, 2) that all faces are aligned to; the first one given to `agree`.
    """

    output: Path
    resume: bool
    open_detector: Callable[[], FindFaces]
    log: Callable[[str], None]
    template: np.ndarray | None = None

    def __post_init__(self) -> None:
        self._reports = read_reports(self.output / SCAN) if self.resume else {}
        write_reports(self.output / SCAN, self._reports)

    def agree(self, name: str, template: np.ndarray) -> None:
        """Raise UsageError if the named data or model uses another template than those before."""
        if self.template is None:
            self.template = template
        elif not np.allclose(template, self.template, atol=TOLERANCE):
            raise UsageError(f"{name}: its faces are aligned to another template than the others; give photos instead")

    def train(self, paths: Sequence[Path]) -> FaceCrops:
        """Return the faces to train on; of sets with splits those of "train"."""
        ready = [self._ready(path) for path in paths if _is_ready(path)]
        portraits = [one for path in paths if not _is_ready(path) for one in _to_train(path)]
        if portraits:
            name = " and ".join(path.name for path in paths if not _is_ready(path))
            ready.append(self._found(name, portraits, self.output / "crops.npz"))
        return joined(ready)

    def validation(self, path: Path, number: int) -> FaceValidation:
        """Return what to measure on.

        Args:
            path: Faces in an .npz file, or what `pairs.load_photos` takes: of sets with splits "val".
            number: Of the set among those to measure on.
        """
        if _is_ready(path):
            return FaceValidation.of_people(path.stem, self._ready(path))
        photos = load_photos(path)
        names = [""] * len(photos.files) if photos.names is None else photos.names.tolist()
        portraits = [Portrait(*one) for one in zip(photos.files, photos.paths, names, strict=True)]
        crops = self._found(path.name, portraits, self.output / f"validation-{number}.npz")
        return FaceValidation(path.stem, photos, crops)

    def _ready(self, path: Path) -> FaceCrops:
        """Return the faces in a file."""
        crops = FaceCrops.load(path)
        self.agree(str(path), crops.template)
        return crops

    def _found(self, name: str, portraits: Sequence[Portrait], stored: Path) -> FaceCrops:
        """Return the faces on some photos, stored in a file."""
        if self.resume and stored.exists():
            return self._ready(stored)
        if self.template is None:
            self.template = TEMPLATE
        crops, report = find_crops(portraits, self.open_detector(), self.template, log=self.log)
        self._reports[name] = report
        write_reports(self.output / SCAN, self._reports)
        crops.save(stored)
        issues = ", ".join(f"{count:,} x {kind}" for kind, count in report.kinds.items())
        issues = f"; {issues} (see scan.csv)" if issues else ""
        self.log(f"{name}: faces on {len(crops):,} of {len(portraits):,} photos{issues}")
        return crops


def has_validation(path: Path) -> bool:
    """Return whether a set to train on brings one to measure on."""
    return not _is_ready(path) and any(portrait.split == "val" for portrait in load_identities(path))


def hold_out(crops: FaceCrops, seed: int, log: Callable[[str], None]) -> tuple[FaceCrops, list[FaceValidation]]:
    """Hold out a tenth of the people with two photos or more to measure on, if there are enough of them.

    Returns:
        The faces to train on, and what to measure on: one set or none.
    """
    names, counts = np.unique(crops.identities[crops.identities != ""], return_counts=True)
    names = names[counts > 1]
    if len(names) < ENOUGH:
        log("no validation set, and too few people to hold some out: nothing is measured; best/ is the last network")
        return crops, []
    chosen = random_numbers("held out", seed).permutation(names)[: round(HELD_OUT * len(names))]
    aside = np.isin(crops.identities, chosen)
    log(f"no validation set: {len(chosen)} people, drawn by the seed, are held out to measure on")
    return crops.subset(~aside), [FaceValidation.of_people("held out", crops.subset(aside))]


def _is_ready(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _to_train(path: Path) -> list[Portrait]:
    """Return those of a set's "train"; all of a set without splits; raise DataError if it has others only."""
    portraits = load_identities(path)
    names = {portrait.split for portrait in portraits}
    if names != {""} and "train" not in names:
        raise DataError(f"{path}: has no split 'train', only {', '.join(sorted(filter(None, names)))}")
    return [portrait for portrait in portraits if names == {""} or portrait.split == "train"]
