"""What every data set of boxes becomes: photos with checked boxes, under one list of class names."""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vision_app.core.boxes import xyxy_to_xywh
from vision_app.core.errors import DataError
from vision_app.core.images import read_image
from vision_app.data.names import COCO_CLASSES, canonical
from vision_app.released.landmarks import NO_LANDMARKS, Landmarks, not_known

GIGABYTE = 10**9
HARMLESS = {  # kinds of entries that leave the set what it says it is
    "annotation without image", "box out of range", "duplicate box", "duplicate photo", "empty box",
    "image without annotation", "point out of range", "trained photo", "unknown key", "unlabeled image",
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One photo and what is in it.

    Attributes:
        path: the photo.
        name: what the set calls it: the file name in a COCO file, the path inside the folder elsewhere.
        width, height: its upright size in pixels.
        boxes: (M, 4) float32 xyxy in pixels.
        labels: (M,) indices of the set's classes.
        confidences: (M,) 1 for boxes that people drew, less for a teacher's.
        areas: (M,) pixels that each object covers, by which COCO tells small ones from large: of its outline where
            that is known, of its box elsewhere.
        unknown: (U, 4) float32 boxes that are neither right nor wrong (crowds, difficult objects, a teacher's doubts).
        unknown_labels: (U,) indices of their classes.
        labeled: indices of the classes of which every object is boxed.
        exhaustive: whether an unboxed object of these classes is certainly none.
        landmarks: (M, K, 2) float32 x, y in pixels of each box's points, NaN where one is not known; by default K is 0.
    """

    path: Path
    name: str
    width: int
    height: int
    boxes: np.ndarray
    labels: np.ndarray
    confidences: np.ndarray
    areas: np.ndarray
    unknown: np.ndarray
    unknown_labels: np.ndarray
    labeled: frozenset[int]
    exhaustive: bool = True
    landmarks: np.ndarray | None = None

    def __post_init__(self):
        if self.landmarks is None:
            object.__setattr__(self, "landmarks", not_known(len(self.boxes), 0))


@dataclass
class ScanReport:
    """What is odd about a set's entries, in their order: (kind, sentence) each."""

    entries: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, sentence: str) -> None:
        self.entries.append((kind, sentence))

    @property
    def problems(self) -> list[str]:
        """One line for each entry."""
        return [f"{kind}: {sentence}" for kind, sentence in self.entries]

    @property
    def faults(self) -> list[str]:
        """The lines of entries that cost the set a photo with its truth, or the photo's truth a part of it."""
        kinds = [kind for kind, _ in self.entries]
        return [line for kind, line in zip(kinds, self.problems, strict=True) if kind not in HARMLESS]

    @property
    def kinds(self) -> Counter:
        """How many there are of each kind."""
        return Counter(kind for kind, _ in self.entries)

    def first(self) -> str:
        return self.problems[0] if self.entries else "it lists none"


class Objects:
    """Collects and checks the boxes of one photo.

    A photo without rows is background. One with rows of which none can be used is not: something is in it.

    Args:
        name: of the photo, for the report.
        width, height: of the upright photo in pixels.
        report: takes what is wrong.
        points: number of landmarks of a box.
    """

    def __init__(self, name: str, width: int, height: int, report: ScanReport, points: int = 0):
        self.name, self.width, self.height, self.report, self.points = name, width, height, report, points
        self._refused = 0  # rows
        # (ignored, label, x1, y1, x2, y2) -> area and landmarks, in the order of the file
        self._rows: dict[tuple, tuple[float, np.ndarray]] = {}

    def add(
        self,
        box: Sequence[float],
        label: int,
        what: str,
        *,
        ignored: bool = False,
        area: float | None = None,
        landmarks: np.ndarray | None = None,
    ) -> None:
        """Takes a box, clipped to the photo; reports it when it lies outside, is empty or is there already.

        Args:
            box: xyxy in pixels.
            label: index of its class.
            what: the entry in its file's own words, for the report.
            ignored: whether it is neither right nor wrong.
            area: pixels that the object covers; by default its box's.
            landmarks: (K, 2) x, y in pixels, NaN where a point is not known; by default none is.
        """
        x1, y1, x2, y2 = box
        given = f"{what} in {self.width} x {self.height}"
        clipped = max(x1, 0.0), max(y1, 0.0), min(x2, float(self.width)), min(y2, float(self.height))
        width, height = clipped[2] - clipped[0], clipped[3] - clipped[1]
        if not (width >= 1 and height >= 1):
            self.refuse("empty box", given)
            return
        if min(x1, y1) < -1 or x2 > self.width + 1 or y2 > self.height + 1:  # a pixel too far is rounding
            self.report.add("box out of range", f"{given} (clipped)")
        row = (ignored, label, *clipped)
        if row in self._rows:
            self.report.add("duplicate box", f"{given} (counted once)")
        self._rows.setdefault(row, (width * height if area is None else area, self._in_photo(landmarks, given)))

    def _in_photo(self, landmarks: np.ndarray | None, given: str) -> np.ndarray:
        """(K, 2) float32 without the points that lie outside the photo, which is reported."""
        if landmarks is None:
            return not_known(1, self.points)[0]
        inside = np.clip(landmarks, 0, (self.width, self.height))
        outside = (abs(landmarks - inside) > 1).any(axis=1)  # a pixel too far is rounding
        if outside.any():
            self.report.add("point out of range", f"{outside.sum()} of {given} (taken as not known)")
        return np.where(outside[:, None], np.nan, inside).astype(np.float32)

    def refuse(self, kind: str, sentence: str) -> None:
        """Reports a row that holds no usable box."""
        self._refused += 1
        self.report.add(kind, sentence)

    def sample(self, path: Path, labeled: Iterable[int], exhaustive: bool = True) -> Sample | None:
        """The photo at `path` with the boxes taken so far; None, which is reported, where all were refused."""
        if self._refused and not self._rows:
            self.report.add("no usable box", f"none of the {self._refused} rows of {self.name} is usable (left out)")
            return None
        rows = np.array(list(self._rows), np.float64).reshape(-1, 6)
        ignored = rows[:, 0] == 1
        boxes, labels = rows[:, 2:].astype(np.float32), rows[:, 1].astype(np.int64)
        areas = np.array([area for area, _ in self._rows.values()], np.float32)
        landmarks = [points for _, points in self._rows.values()]
        landmarks = np.array(landmarks, np.float32).reshape(len(landmarks), self.points, 2)
        return Sample(
            path=path,
            name=self.name,
            width=self.width,
            height=self.height,
            boxes=boxes[~ignored],
            labels=labels[~ignored],
            confidences=np.ones((~ignored).sum(), np.float32),
            areas=areas[~ignored],
            unknown=boxes[ignored],
            unknown_labels=labels[ignored],
            labeled=frozenset(labeled),
            exhaustive=exhaustive,
            landmarks=landmarks[~ignored],
        )


class Photos:
    """Decodes photos when they are asked for, and holds as many decoded ones as fit.

    Args:
        limit: bytes of decoded photos to hold; one takes three bytes a pixel, 0.4 MB at 416 x 312.
        target: the caller needs no more than this many pixels on the long side; see `images.read_image`.
    """

    def __init__(self, limit: int = 2 * GIGABYTE, target: int | None = None):
        self.left, self.target = limit, target
        self._held: dict[Path, np.ndarray] = {}

    def __reduce__(self) -> tuple:
        """A process that does not share this one's memory decodes photos anew, rather than being sent gigabytes."""
        return Photos, (0, self.target)

    def hold(self, path: Path, pixels: np.ndarray) -> None:
        """Keeps a decoded photo if there is room for it."""
        if pixels.nbytes <= self.left and path not in self._held:
            self._held[path] = pixels
            self.left -= pixels.nbytes

    def read(self, path: Path) -> np.ndarray:
        """The (h, w, 3) uint8 pixels of a photo, possibly reduced to no less than `target`."""
        pixels = self._held.get(path)
        return read_image(path, target=self.target).pixels if pixels is None else pixels


@dataclass(frozen=True)
class DetectionSet:
    """Samples under one list of class names, what was odd about them, and their pixels."""

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    report: ScanReport = field(default_factory=ScanReport)
    photos: Photos = field(default_factory=Photos, repr=False)
    landmarks: Landmarks = NO_LANDMARKS

    def __len__(self) -> int:
        return len(self.samples)

    def photo(self, index: int) -> np.ndarray:
        """The pixels of a sample's photo, (h, w, 3) uint8 RGB; see `Photos`."""
        return self.photos.read(self.samples[index].path)

    def subset(self, indices: Iterable[int]) -> "DetectionSet":
        """Some of the samples, in the order of `indices`, with an empty report."""
        return replace(self, samples=tuple(self.samples[i] for i in indices), report=ScanReport())

    def joined(self, other: "DetectionSet") -> "DetectionSet":
        """Both sets after each other; their classes and landmarks must be the same."""
        if (self.classes, self.landmarks.names) != (other.classes, other.landmarks.names):
            raise ValueError("two sets can only be joined under the same classes and landmarks")
        report = ScanReport(self.report.entries + other.report.entries)
        return replace(self, samples=self.samples + other.samples, report=report)

    def with_landmarks(self, landmarks: Landmarks, source: str | Path) -> "DetectionSet":
        """The same samples under the landmarks of another set or a model: in one without any, no point is known.

        Raises:
            DataError: this set has other points; names `source`.
        """
        if self.landmarks.names == landmarks.names:
            return replace(self, landmarks=landmarks)
        if self.landmarks and landmarks:
            ours, others = ", ".join(self.landmarks.names), ", ".join(landmarks.names)
            raise DataError(f"{source}: its keypoints are {ours}, not {others}; give one model one list of them")
        samples = tuple(
            replace(sample, landmarks=not_known(len(sample.boxes), len(landmarks))) for sample in self.samples
        )
        return replace(self, samples=samples, landmarks=landmarks)

    def relabeled(self, classes: Sequence[str], source: str | Path) -> "DetectionSet":
        """The same samples under another list of classes. Under COCO's, PASCAL VOC's names are understood too.

        Raises:
            DataError: `classes` lack one of this set's; names `source`.
        """
        classes = tuple(classes)
        names = [canonical(name) for name in self.classes] if classes == COCO_CLASSES else self.classes
        if missing := sorted(set(names) - set(classes)):
            raise DataError(f"{source}: category '{missing[0]}' is none of the {len(classes)} classes of the model")
        index = np.array([classes.index(name) for name in names], np.int64)
        pointed = tuple(name for name, own in zip(names, self.classes, strict=True) if own in self.landmarks.classes)
        samples = tuple(
            replace(
                sample,
                labels=index[sample.labels],
                unknown_labels=index[sample.unknown_labels],
                labeled=frozenset(index[list(sample.labeled)].tolist()),
            )
            for sample in self.samples
        )
        return replace(self, classes=classes, samples=samples, landmarks=replace(self.landmarks, classes=pointed))

    def boxes_per_class(self) -> dict[str, int]:
        """How many boxes each class has, unknown ones left out."""
        labels = np.concatenate([sample.labels for sample in self.samples] or [np.zeros(0, np.int64)])
        return dict(zip(self.classes, np.bincount(labels, minlength=len(self.classes)).tolist(), strict=True))

    def digest(self) -> str:
        """Twelve digits that stay the same wherever the photos lie and change with any name, class or box."""
        digest = hashlib.sha256(repr(self.classes).encode())
        digest.update(repr(self.landmarks).encode() * bool(self.landmarks))  # sets without keep the digest they had
        for one in self.samples:
            digest.update(repr((one.name, one.width, one.height, sorted(one.labeled), one.exhaustive)).encode())
            for part in (one.boxes, one.labels, one.confidences, one.unknown):
                digest.update(part.tobytes() + b"|")
            digest.update(one.landmarks.tobytes())
        return digest.hexdigest()[:12]

    def to_coco(self) -> dict:
        """The set as COCO-style content: `images` by index, `annotations` with unknown boxes as crowds, `categories`.

        Only classes that some sample is labeled for become categories.
        """
        images, annotations = [], []
        for i, sample in enumerate(self.samples):
            images.append({"id": i, "file_name": sample.name, "width": sample.width, "height": sample.height})
            for boxes, labels, areas, crowd in (
                (sample.boxes, sample.labels, sample.areas, 0),
                (sample.unknown, sample.unknown_labels, None, 1),
            ):
                sides = xyxy_to_xywh(boxes.astype(np.float64))
                areas = sides[:, 2:].prod(axis=1) if areas is None else areas
                annotations += [
                    {"image_id": i, "category_id": label, "bbox": box, "area": area, "iscrowd": crowd}
                    for label, box, area in zip(labels.tolist(), sides.tolist(), areas.tolist(), strict=True)
                ]
            if self.landmarks:
                first = len(annotations) - len(sample.boxes) - len(sample.unknown)
                for row, points in zip(annotations[first:], sample.landmarks.astype(np.float64), strict=False):
                    row |= _keypoints(points)
        for i, row in enumerate(annotations):
            row["id"] = i + 1
        used = sorted(frozenset().union(*(sample.labeled for sample in self.samples)))
        categories = [{"id": i, "name": self.classes[i]} for i in used]
        for category in categories:
            if category["name"] in self.landmarks.classes:
                category["keypoints"] = list(self.landmarks.names)
        return {"images": images, "annotations": annotations, "categories": categories}


def _keypoints(points: np.ndarray) -> dict:
    """(K, 2) points of an object, NaN where one is not known, as an annotation has them."""
    known = np.isfinite(points).all(axis=1)
    rows = np.column_stack([np.nan_to_num(points), 2 * known])  # COCO's v: 0 not known, 2 visible
    return {"keypoints": rows.ravel().tolist(), "num_keypoints": int(known.sum())}


def write_reports(path: Path, reports: Mapping[str, ScanReport]) -> None:
    """Writes what is odd about some sets, by name, as a CSV file with the columns set, kind and entry."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("set", "kind", "entry"))
        writer.writerows((name, *entry) for name, report in reports.items() for entry in report.entries)


def read_reports(path: Path) -> dict[str, ScanReport]:
    """What `write_reports` wrote, but for sets about which nothing is odd; nothing where there is no such file."""
    reports: dict[str, ScanReport] = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for name, *entry in list(csv.reader(file))[1:]:
                reports.setdefault(name, ScanReport()).add(*entry)
    return reports
