"""`Detector`: finds objects in pictures. What all kinds of detectors share; NumPy only.

The kinds are in `grid_detector`, `region_detector` and `torchvision_detector`; `ensemble` joins them and `load` knows
them all.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from vision_app.core.boxes import nms
from vision_app.core.errors import UsageError, unknown
from vision_app.core.images import ImageSource, RGBImage, read_image
from vision_app.core.letterbox import Letterbox
from vision_app.core.results import Detections
from vision_app.core.timing import Stages, timed
from vision_app.released.find import Model, digest
from vision_app.released.letterbox_model import LetterboxModel

CANDIDATES = 3000  # the best pairs of a box and a class are what NMS looks at


@dataclass(frozen=True)
class DetectOptions:
    """What to keep of a network's output. None stands for the model's own default.

    Attributes:
        confidence: lowest score p_c c_i, 0 to 1. A box may count for more than one class that reaches it.
        iou: boxes that overlap a better one by this or more are dropped, 0 to 1.
        classes: names to keep, or one name; None keeps all.
        max_detections: most objects an image, at least 1.
        agnostic: suppress across classes instead of within each.
    """

    confidence: float | None = None
    iou: float | None = None
    classes: tuple[str, ...] | str | None = None
    max_detections: int | None = None
    agnostic: bool = False

    def resolved(self, detector: "Detector") -> "DetectOptions":
        """These options with the detector's defaults filled in, and one class as a tuple of one.

        Raises:
            UsageError: a value of the wrong type or out of range, or an unknown class; names the option, the value and
                the nearest valid one.
        """
        names = ("confidence", "iou", "max_detections")
        options = replace(self, **{name: detector.defaults[name] for name in names if getattr(self, name) is None})
        if isinstance(options.classes, str):
            options = replace(options, classes=(options.classes,))
        for name, kind in zip(names, (Real, Real, Integral), strict=True):
            if not isinstance(value := getattr(options, name), kind):
                what = "a number" if kind is Real else "a whole number"
                raise UsageError(f"--{name.replace('_', '-')} {value!r}: must be {what}")
        for name in ("confidence", "iou"):
            value = getattr(options, name)
            if not 0 <= value <= 1:
                nearest = f"the nearest valid value is {float(value > 1):g}"
                raise UsageError(f"--{name} {value:g}: must lie between 0 and 1; {nearest}")
        if options.max_detections < 1:
            found = f"--max-detections {options.max_detections}"
            raise UsageError(f"{found}: must be at least 1; the nearest valid value is 1")
        for name in options.classes or ():
            if name not in detector.classes:
                raise UsageError("--classes: " + unknown("class", str(name), detector.classes))
        return options


class Detector:
    """Finds objects in pictures, in three public steps: `preprocess`, `forward`, `postprocess`.

    >>> Detector.load("yolo")("photo.jpg")

    Attributes:
        name: what results say found them.
        classes: names of what it knows.
        defaults: confidence, iou and max_detections that it was measured to do best with.
        runtime: "onnx" or "torch".
        device: "cpu", "cuda" or "cuda:N".
        models: the released models that it is made of.
        target: pixels that it can use of a picture's long side.
    """

    name: str
    classes: tuple[str, ...]
    defaults: Mapping[str, Any]
    runtime: str
    device: str
    models: tuple[Model, ...] = ()
    target: int
    load: ClassVar[Callable[..., "Detector"]]  # `load.load_detector`, which knows all kinds

    @property
    def digest(self) -> str:
        """Of everything that decides what is found: other weights, classes or preprocessing have another one."""
        return digest(*self.models)

    def read(self, source: ImageSource, **options) -> RGBImage:
        """Reads a picture at the resolution that this detector needs; options and errors are those of `read_image`."""
        return read_image(source, target=self.target, **options)

    def scaled(self, factor: float) -> "Detector":
        """This detector looking at pictures at another size, on the same network.

        Args:
            factor: new size as a share of this one, above 0.
        """
        raise NotImplementedError

    def preprocess(self, images: Sequence[RGBImage]) -> Any:
        """Pictures -> what `forward` takes."""
        raise NotImplementedError

    def join(self, parts: Sequence[Any]) -> Any:
        """Several pictures' inputs -> those of one batch."""
        raise NotImplementedError

    def forward(self, inputs: Any, stages: Stages | None = None) -> Any:
        """Runs the network; `stages` takes the times."""
        raise NotImplementedError

    def postprocess(self, raw: Any, options: DetectOptions = DetectOptions()) -> list[Detections]:
        """What the network said -> objects, one answer a picture.

        Raises:
            UsageError: see `DetectOptions.resolved`.
        """
        raise NotImplementedError

    def predict(self, images: Sequence[RGBImage], options: DetectOptions = DetectOptions()) -> list[Detections]:
        """`preprocess`, `forward` and `postprocess` in a row."""
        return self.postprocess(self.forward(self.preprocess(images)), options)

    def timed(self, image: RGBImage) -> tuple[Any, Stages]:
        """`preprocess` and `forward` of one picture, and the time that they take."""
        return timed(self, image)

    def __call__(self, source: ImageSource, options: DetectOptions | None = None, **changes) -> Detections:
        """Finds the objects of one picture.

        Args:
            source: path, bytes, file object, array or `RGBImage`.
            options: what to keep.
            **changes: fields of `DetectOptions` by name, e.g. `confidence=0.5`.

        Raises:
            ImageError: the picture cannot be read.
            UsageError: an option is unknown or out of range.
        """
        names = [field.name for field in fields(DetectOptions)]
        for name in changes:
            if name not in names:
                raise UsageError(unknown("option", name, names))
        options = replace(options or DetectOptions(), **changes)
        return self.predict([self.read(source)], options)[0]


def narrowed(found: Detections, options: DetectOptions) -> Detections:
    """What resolved options keep of detections, after non-max suppression. Landmarks are left out."""
    labels, scores = np.array(found.labels), found.scores
    if options.classes is not None:
        scores = np.where(np.isin(labels, options.classes), scores, -1)
    keep = nms(
        found.boxes, scores, np.unique(labels, return_inverse=True)[1], score_threshold=options.confidence,
        iou_threshold=options.iou, max_detections=options.max_detections, agnostic=options.agnostic,
    )  # fmt: skip
    return Detections(found.boxes[keep], scores[keep], labels[keep].tolist(), found.width, found.height, found.model)


class LetterboxDetector(LetterboxModel, Detector):
    """A detector that is one released model, whose network takes letterboxed pictures.

    Raises:
        ModelError: model.json lacks something.
    """

    def __init__(self, model: Model, *, runtime: str, device: str):
        super().__init__(model, runtime=runtime, device=device)
        for name in ("confidence", "iou", "max_detections"):
            model.value(f"defaults.{name}", Real)

    def scaled(self, factor: float) -> "LetterboxDetector":
        """See `Detector.scaled`. The size is the nearest multiple of 32."""
        other = copy(self)
        other.size = max(32, 32 * round(self.size * factor / 32))
        return other

    def _chosen(
        self,
        scores: np.ndarray,
        decode: Callable[[np.ndarray], np.ndarray],
        back: Letterbox,
        options: DetectOptions,
        landmarks: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> Detections:
        """A picture's objects, after non-max suppression. A box counts for every class that reaches the confidence.

        Args:
            scores: (R, p) of every row and class.
            decode: rows -> their boxes, xyxy in input pixels.
            back: the way to the photo.
            options: resolved.
            landmarks: rows and labels -> their points, (D, K, 2) x, y in input pixels; NaN for a class without.
        """
        row, label = self._candidates(scores, options)
        scores, boxes = scores[row, label], back.to_photo(decode(row))
        keep = nms(
            boxes, scores, label, score_threshold=options.confidence, iou_threshold=options.iou,
            max_detections=options.max_detections, agnostic=options.agnostic,
        )  # fmt: skip
        labels = tuple(self.classes[i] for i in label[keep])
        points = None if landmarks is None else back.points_to_photo(landmarks(row[keep], label[keep]))
        return Detections(boxes[keep], scores[keep], labels, back.width, back.height, self.name, points)

    def _candidates(self, scores: np.ndarray, options: DetectOptions) -> tuple[np.ndarray, np.ndarray]:
        """(R, p) scores -> rows and labels of the pairs that reach the confidence, of these the best CANDIDATES."""
        if options.classes is not None:
            scores = np.where(np.isin(self.classes, options.classes), scores, -1.0)
        row, label = np.nonzero(scores >= options.confidence)
        if len(row) > CANDIDATES:
            best = np.argsort(-scores[row, label], kind="stable")[:CANDIDATES]
            row, label = row[best], label[best]
        return row, label
