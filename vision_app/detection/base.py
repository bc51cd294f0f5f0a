"""`Detector`: finds objects in images. What all kinds of detectors share; NumPy only.

The kinds are in `grid_detector`, `region_detector` and `torchvision_detector`; `ensemble` combines them, and `load`
knows them all.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np

from vision_app.core.boxes import nms
from vision_app.core.errors import UsageError, unknown
from vision_app.core.flags import check_range, flag
from vision_app.core.images import ImageSource, RGBImage, read_image
from vision_app.core.letterbox import Letterbox
from vision_app.core.results import Detections
from vision_app.core.timing import Stages, timed
from vision_app.released.find import Model, digest
from vision_app.released.letterbox_model import LetterboxModel

CANDIDATES = 3000  # NMS considers at most this many pairs of a box and a class, the best ones
THRESHOLDS = {"confidence": Real, "iou": Real, "max_detections": Integral}  # options that every model has defaults of


@dataclass(frozen=True)
class DetectOptions:
    """What to keep of a network's output. None stands for the model's own default.

    Attributes:
        confidence: Lowest score p_c c_i, 0 to 1. A box may count for more than one class that reaches it.
        iou: Boxes that overlap a better one by this or more are dropped, 0 to 1.
        classes: Names to keep, or one name; None keeps all.
        max_detections: Max. objects per image, at least 1.
        agnostic: Whether to suppress across classes instead of within each.
    """

    confidence: float | None = None
    iou: float | None = None
    classes: tuple[str, ...] | str | None = None
    max_detections: int | None = None
    agnostic: bool = False

    def resolved(self, detector: "Detector") -> "ResolvedOptions":
        """Return these options with the detector's defaults filled in, and one class as a tuple of one.

        Raises:
            UsageError: A value of the wrong type or out of range, or an unknown class; names the option, the value and
                the nearest valid one.
        """
        if isinstance(self, ResolvedOptions):
            return self
        values = vars(self) | {name: detector.defaults[name] for name in THRESHOLDS if getattr(self, name) is None}
        if isinstance(self.classes, str):
            values["classes"] = (self.classes,)
        for name, kind in THRESHOLDS.items():
            if not isinstance(values[name], kind):
                what = "a number" if kind is Real else "a whole number"
                raise UsageError(f"{flag(name)} {values[name]!r}: must be {what}")
        options = ResolvedOptions(**values)
        check_range("confidence", options.confidence, 0, 1)
        check_range("iou", options.iou, 0, 1)
        check_range("max_detections", options.max_detections, 1)
        for name in options.classes or ():
            if name not in detector.classes:
                raise UsageError(f"{flag('classes')}: " + unknown("class", str(name), detector.classes))
        return options


@dataclass(frozen=True)
class ResolvedOptions(DetectOptions):
    """Checked options without any default left open; `DetectOptions.resolved` makes them."""

    confidence: float
    iou: float
    classes: tuple[str, ...] | None
    max_detections: int
    agnostic: bool

    def suppress(self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the (K,) indices of the boxes that non-max suppression keeps, best first; see `boxes.nms`."""
        return nms(
            boxes, scores, labels, score_threshold=self.confidence, iou_threshold=self.iou,
            max_detections=self.max_detections, agnostic=self.agnostic,
        )  # fmt: skip

    def select(self, found: Detections) -> Detections:
        """Return what these options keep of detections, after non-max suppression, without landmarks."""
        labels, scores = np.array(found.labels), found.scores
        if self.classes is not None:
            scores = np.where(np.isin(labels, self.classes), scores, -1)
        keep = self.suppress(found.boxes, scores, np.unique(labels, return_inverse=True)[1])
        names = tuple(labels[keep].tolist())
        return Detections(found.boxes[keep], scores[keep], names, found.width, found.height, found.model)


class Detector:
    """Finds objects in images, in three public steps: `preprocess`, `forward`, `postprocess`.

    >>> Detector.load("yolo")("photo.jpg")

    Attributes:
        name: The model's name in results.
        classes: Names of the classes that it knows.
        defaults: The confidence, iou and max_detections that were measured to work best.
        runtime: "onnx" or "torch".
        device: "cpu", "cuda" or "cuda:N".
        models: The released models that it consists of.
    """

    name: str
    classes: tuple[str, ...]
    defaults: Mapping[str, Any]
    runtime: str
    device: str
    models: tuple[Model, ...] = ()
    load: ClassVar[Callable[..., "Detector"]]  # `load.load_detector`, which knows all kinds

    @property
    def digest(self) -> str:
        """Digest of all that decides the results: it changes with weights, classes and preprocessing."""
        return digest(*self.models)

    @property
    def target(self) -> int:
        """The number of pixels of an image's long side that this detector can use."""
        raise NotImplementedError

    def read(self, source: ImageSource, **options: Any) -> RGBImage:
        """Read an image at the resolution that this detector needs; options and errors are those of `read_image`."""
        return read_image(source, target=self.target, **options)

    def scaled(self, factor: float) -> "Detector":
        """Return this detector with another input size, on the same network.

        Args:
            factor: New size relative to this one, above 0.
        """
        raise NotImplementedError

    def preprocess(self, images: RGBImage | Sequence[RGBImage]) -> Any:
        """Turn one or several images into the input of `forward`."""
        raise NotImplementedError

    def join(self, parts: Sequence[Any]) -> Any:
        """Join the inputs of several images to those of one batch."""
        raise NotImplementedError

    def forward(self, inputs: Any, stages: Stages | None = None) -> Any:
        """Run the network, with its times in `stages`, and return its output, one item per image."""
        raise NotImplementedError

    def postprocess(self, raw: Any, options: DetectOptions = DetectOptions()) -> list[Detections]:
        """Turn the network's output into objects: drop those below the confidence and suppress overlaps.

        Raises:
            UsageError: See `DetectOptions.resolved`.
        """
        resolved = options.resolved(self)
        return [self._detections(one, resolved) for one in raw]

    def predict(
        self, images: RGBImage | Sequence[RGBImage], options: DetectOptions = DetectOptions()
    ) -> list[Detections]:
        """Run `preprocess`, `forward` and `postprocess` in a row."""
        return self.postprocess(self.forward(self.preprocess(images)), options)

    def timed(self, image: RGBImage) -> tuple[Any, Stages]:
        """Run `preprocess` and `forward` on one image and return the output and the times."""
        return timed(self, image)

    def __call__(self, source: ImageSource, options: DetectOptions | None = None, **changes: Any) -> Detections:
        """Find the objects of one image.

        Args:
            source: Path, bytes, file object, array or `RGBImage`.
            options: What to keep.
            **changes: Fields of `DetectOptions` by name, e.g. `confidence=0.5`.

        Raises:
            ImageError: The image cannot be read.
            UsageError: An option is unknown or out of range.
        """
        names = [field.name for field in fields(DetectOptions)]
        for name in changes:
            if name not in names:
                raise UsageError(unknown("option", name, names))
        options = options or DetectOptions()
        if changes:
            options = DetectOptions(**(vars(options) | changes))
        return self.predict([self.read(source)], options)[0]

    def _detections(self, raw: Any, options: ResolvedOptions) -> Detections:
        """Return the objects of one image, given its item of what `forward` returns."""
        raise NotImplementedError


class LetterboxDetector(LetterboxModel, Detector):
    """A detector that is one released model, whose network takes letterboxed images.

    Raises:
        ModelError: An entry of model.json is missing.
    """

    def __init__(self, model: Model, *, runtime: str, device: str):
        super().__init__(model, runtime=runtime, device=device)
        for name in THRESHOLDS:
            model.value(f"defaults.{name}", Real)

    def scaled(self, factor: float) -> Self:
        """See `Detector.scaled`. The size is the nearest multiple of 32."""
        other = copy(self)
        other.size = max(32, 32 * round(self.size * factor / 32))
        return other

    def _selected(
        self,
        scores: np.ndarray,
        decode: Callable[[np.ndarray], np.ndarray],
        back: Letterbox,
        options: ResolvedOptions,
        landmarks: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> Detections:
        """Return one image's objects after non-max suppression; a box counts for all classes with enough confidence.

        Args:
            scores: (R, p) of every row and class.
            decode: Turns rows into their boxes, xyxy in input pixels.
            back: The way to the pixels of the photo.
            options: What to keep.
            landmarks: Turns rows and labels into their points, (D, K, 2) x, y in input pixels; NaN for a class without.
        """
        if options.classes is not None:
            scores = np.where(np.isin(self.classes, options.classes), scores, -1.0)
        row, label = np.nonzero(scores >= options.confidence)
        if len(row) > CANDIDATES:
            best = np.argsort(-scores[row, label], kind="stable")[:CANDIDATES]
            row, label = row[best], label[best]
        scores, boxes = scores[row, label], back.to_photo(decode(row))
        keep = options.suppress(boxes, scores, label)
        labels = tuple(self.classes[i] for i in label[keep])
        points = None if landmarks is None else back.points_to_photo(landmarks(row[keep], label[keep]))
        return Detections(boxes[keep], scores[keep], labels, back.width, back.height, self.name, points)
