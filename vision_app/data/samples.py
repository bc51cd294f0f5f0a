"""What every data set of boxes becomes: images with checked boxes, under one list of class names."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vision_app.core.errors import DataError
from vision_app.core.images import read_image
from vision_app.core.labeled_boxes import LabeledBoxes, missing_landmarks
from vision_app.core.several import several
from vision_app.data.names import COCO_CLASSES, canonical
from vision_app.data.scan_report import ScanReport
from vision_app.released.landmarks import NO_LANDMARKS, Landmarks

GIGABYTE = 10**9


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of a set and its ground truth.

    Attributes:
        path: The image file.
        name: What the set calls it: the file name in a COCO file, the path inside the folder elsewhere.
        width: Its upright width in pixels.
        height: Its upright height in pixels.
        boxes: M boxes in pixels, labels as indices of the set's classes.
        areas: (M,) float32 pixels that each object covers, by which COCO tells small ones from large: of its outline
            where that is known, of its box elsewhere.
        labeled: Indices of the classes of which every object is boxed.
        exhaustive: Whether an unboxed object of these classes is certainly none.
    """

    path: Path
    name: str
    width: int
    height: int
    boxes: LabeledBoxes
    areas: np.ndarray
    labeled: frozenset[int]
    exhaustive: bool = True


class ImageAnnotations:
    """Collects and checks the boxes of one image.

    An image without rows is background. One with a row that cannot be used is not, where the object of the row is: it
    is left out. An empty box shows no object; but one with nothing else is left out as well.

    Args:
        name: Name of the image, for the report.
        width: Width of the upright image in pixels.
        height: Height of the upright image in pixels.
        report: Takes what is wrong.
        points: Number of landmarks of a box.
    """

    def __init__(self, name: str, width: int, height: int, report: ScanReport, points: int = 0):
        self.name, self.width, self.height, self.report, self.points = name, width, height, report, points
        self._refused = self._empty = 0  # rows; of these, boxes without an object in the image
        # (ignored, label, x1, y1, x2, y2) -> area and landmarks, in the order of the file
        self._rows: dict[tuple[float, ...], tuple[float, np.ndarray]] = {}

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
        """Take a box, clipped to the image; report it when it lies outside, is empty or is there already.

        Args:
            box: X1, y1, x2, y2 in pixels.
            label: Index of its class.
            what: The entry in its file's own words, for the report.
            ignored: Whether it is an ignore region.
            area: Pixels that the object covers; by default its box's.
            landmarks: (K, 2) x, y in pixels, NaN where a point is not known; by default none is.
        """
        x1, y1, x2, y2 = box
        given = f"{what} in {self.width} x {self.height}"
        clipped = max(x1, 0.0), max(y1, 0.0), min(x2, float(self.width)), min(y2, float(self.height))
        width, height = clipped[2] - clipped[0], clipped[3] - clipped[1]
        if not (width >= 1 and height >= 1):
            self._empty += 1
            self.refuse("empty box", given)
            return
        if min(x1, y1) < -1 or x2 > self.width + 1 or y2 > self.height + 1:  # a pixel too far is rounding
            self.report.add("box out of range", f"{given} (clipped)")
        self.report.rows += 1
        row = (ignored, label, *clipped)
        if row in self._rows:
            self.report.add("duplicate box", f"{given} (counted once)")
        self._rows.setdefault(row, (width * height if area is None else area, self._inside(landmarks, given)))

    def _inside(self, landmarks: np.ndarray | None, given: str) -> np.ndarray:
        """Return (K, 2) float32 without the points that lie outside the image, which is reported."""
        if landmarks is None:
            return np.full((self.points, 2), np.nan, np.float32)
        inside = landmarks.clip(0, (self.width, self.height))
        outside = (abs(landmarks - inside) > 1).any(axis=1)  # a pixel too far is rounding
        if outside.any():
            self.report.add("point out of range", f"{outside.sum()} of {given} (taken as not known)")
        known: np.ndarray = np.where(outside[:, None], np.float32(np.nan), inside.astype(np.float32))
        return known

    def refuse(self, kind: str, sentence: str) -> None:
        """Report a row that has no usable box."""
        self._refused += 1
        self.report.refuse(kind, sentence)

    def sample(self, path: Path, labeled: Iterable[int], exhaustive: bool = True) -> AnnotatedImage | None:
        """Return the image at `path` with its boxes; None, which is reported, where an object is lost."""
        if self._refused and not self._rows:
            self.report.add("no usable box", f"none of the {self._refused} rows of {self.name} is usable (left out)")
            return None
        if lost := self._refused - self._empty:
            what = "a row" if lost == 1 else f"{lost} rows"
            self.report.add("unknown object", f"{what} of {self.name} cannot be used (left out)")
            return None
        rows = np.array(list(self._rows), np.float64).reshape(-1, 6)
        landmarks = [points for _, points in self._rows.values()]
        boxes = LabeledBoxes.make(
            rows[:, 2:].astype(np.float32),
            rows[:, 1].astype(np.int64),
            landmarks=np.array(landmarks, np.float32).reshape(len(rows), self.points, 2),
            ignored=rows[:, 0] == 1,
        )
        areas = np.array([area for area, _ in self._rows.values()], np.float32)
        size = self.width, self.height
        return AnnotatedImage(path, self.name, *size, boxes, areas, frozenset(labeled), exhaustive)


class ImageCache:
    """Decodes images when they are asked for, and keeps as many decoded ones as fit.

    Args:
        limit: Bytes of decoded images to keep; one takes three bytes a pixel, 0.4 MB at 416 x 312.
        target: The caller needs no more than this many pixels on the long side; see `images.read_image`.
    """

    def __init__(self, limit: int = 2 * GIGABYTE, target: int | None = None):
        self.left, self.target = limit, target
        self._kept: dict[Path, np.ndarray] = {}

    def __reduce__(self) -> tuple[type["ImageCache"], tuple[int, int | None]]:
        """Let a process that does not share this one's memory decode images again, rather than send it gigabytes."""
        return ImageCache, (0, self.target)

    def keep(self, path: Path, pixels: np.ndarray) -> None:
        """Keep a decoded image if there is room for it."""
        if pixels.nbytes <= self.left and path not in self._kept:
            self._kept[path] = pixels
            self.left -= pixels.nbytes

    def read(self, path: Path) -> np.ndarray:
        """Return the (H, W, 3) uint8 pixels of an image, possibly reduced to no less than `target`."""
        pixels = self._kept.get(path)
        return read_image(path, target=self.target).pixels if pixels is None else pixels


@dataclass(frozen=True)
class DetectionSet:
    """Samples under one list of class names, what was odd about them, and their pixels."""

    classes: tuple[str, ...]
    samples: tuple[AnnotatedImage, ...]
    report: ScanReport = field(default_factory=ScanReport)
    images: ImageCache = field(default_factory=ImageCache, repr=False)
    landmarks: Landmarks = NO_LANDMARKS

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def paths(self) -> list[str]:
        """The absolute paths of the images."""
        return [str(sample.path.absolute()) for sample in self.samples]

    def pixels(self, index: int) -> np.ndarray:
        """Return the pixels of a sample's image, (H, W, 3) uint8 RGB; see `ImageCache`."""
        return self.images.read(self.samples[index].path)

    def subset(self, indices: Iterable[int]) -> "DetectionSet":
        """Return some of the samples, in the order of `indices`, with an empty report."""
        return replace(self, samples=tuple(self.samples[i] for i in indices), report=ScanReport())

    def joined(self, other: "DetectionSet") -> "DetectionSet":
        """Return both sets one after the other; their classes and landmarks must be the same."""
        if (self.classes, self.landmarks.names) != (other.classes, other.landmarks.names):
            raise ValueError("two sets can only be joined under the same classes and landmarks")
        return replace(self, samples=self.samples + other.samples, report=self.report + other.report)

    def with_landmarks(self, landmarks: Landmarks, source: str | Path) -> "DetectionSet":
        """Return the same samples under the landmarks of another set or a model; without any, no point is known.

        Raises:
            DataError: This set has other points; names `source`.
        """
        if self.landmarks.names == landmarks.names:
            return replace(self, landmarks=landmarks)
        if self.landmarks and landmarks:
            ours, others = ", ".join(self.landmarks.names), ", ".join(landmarks.names)
            raise DataError(f"{source}: its keypoints are {ours}, not {others}; give one model one list of them")
        boxes = [replace(s.boxes, landmarks=missing_landmarks(len(s.boxes), len(landmarks))) for s in self.samples]
        samples = tuple(replace(s, boxes=b) for s, b in zip(self.samples, boxes, strict=True))
        return replace(self, samples=samples, landmarks=landmarks)

    def relabeled(self, classes: str | Sequence[str], source: str | Path) -> "DetectionSet":
        """Return the same samples under another list of classes; under COCO's, VOC's names are understood too.

        Raises:
            DataError: `classes` lack one of this set's; names `source`.
        """
        classes = tuple(several(classes))
        names = [canonical(name) for name in self.classes] if classes == COCO_CLASSES else self.classes
        if missing := sorted(set(names) - set(classes)):
            raise DataError(f"{source}: category '{missing[0]}' is none of the {len(classes)} classes of the model")
        index = np.array([classes.index(name) for name in names], np.int64)
        pointed = tuple(name for name, own in zip(names, self.classes, strict=True) if own in self.landmarks.classes)
        samples = tuple(
            replace(
                sample,
                boxes=replace(sample.boxes, labels=index[sample.boxes.labels]),
                labeled=frozenset(index[list(sample.labeled)].tolist()),
            )
            for sample in self.samples
        )
        return replace(self, classes=classes, samples=samples, landmarks=replace(self.landmarks, classes=pointed))

    def boxes_per_class(self) -> dict[str, int]:
        """Return how many boxes each class has, without ignored ones."""
        labels = [sample.boxes.not_ignored.labels for sample in self.samples]
        counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *labels]), minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    @property
    def has_boxes(self) -> bool:
        """Whether there is a box that counts: one that is not ignored."""
        return any(len(sample.boxes.not_ignored) for sample in self.samples)

    def digest(self) -> str:
        """Return twelve digits that stay the same wherever the images are and change with any name, class or box."""
        digest = hashlib.sha256(repr(self.classes).encode())
        digest.update(repr(self.landmarks).encode() * bool(self.landmarks))  # sets without keep the digest they had
        for one in self.samples:
            digest.update(repr((one.name, one.width, one.height, sorted(one.labeled), one.exhaustive)).encode())
            found, ignored = one.boxes.not_ignored, one.boxes.xyxy[one.boxes.ignored]
            for part in (found.xyxy, found.labels, found.scores, ignored):
                digest.update(part.tobytes() + b"|")
            digest.update(found.landmarks.tobytes())
        return digest.hexdigest()[:12]


def presence(
    sample: AnnotatedImage, classes: int, *, visible: LabeledBoxes | None = None, taught: bool = False
) -> np.ndarray:
    """Return the probability that each class is in an image, (classes,) float32, NaN where it is not known.

    It is the highest score of the class's boxes: 1 for one that a person drew. It is not known for a class whose boxes
    are all ignored or out of view, and for a class without a box that the image was not labeled for, or not
    exhaustively. All else is 0.

    Args:
        sample: The image.
        classes: Number of classes.
        visible: The boxes in view; by default all.
        taught: Whether a teacher has added the objects that people have not labeled.
    """
    visible = sample.boxes if visible is None else visible
    result = np.zeros(classes, np.float32)
    if not taught:
        certain = list(sample.labeled) if sample.exhaustive else []
        result[np.setdiff1d(np.arange(classes), certain)] = np.nan
    result[sample.boxes.labels] = np.nan
    scores = np.where(visible.ignored, np.float32(np.nan), visible.scores)
    np.fmax.at(result, visible.labels, scores)  # which takes the number of a number and NaN
    return result
