"""`Detector`: finds objects in pictures with a released grid detector. NumPy only; networks live behind `runtime`."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real

import numpy as np

from vision_app.boxes import nms
from vision_app.detection.grid import FIRST_CLASS, P_C, T_W, T_X, make_grid
from vision_app.errors import ModelError, UsageError, unknown
from vision_app.images import ImageSource, RGBImage, read_image
from vision_app.letterbox import Letterbox, letterbox
from vision_app.released import Model, find
from vision_app.results import Detections
from vision_app.runtime import open_network

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

    def resolved(self, model: Model) -> "DetectOptions":
        """These options with the model's defaults filled in, and one class as a tuple of one.

        Raises:
            UsageError: a value of the wrong type or out of range, or an unknown class; names the option, the value and
                the nearest valid one.
        """
        names = ("confidence", "iou", "max_detections")
        options = replace(self, **{name: model.defaults[name] for name in names if getattr(self, name) is None})
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
            if name not in model.classes:
                raise UsageError("--classes: " + unknown("class", str(name), model.classes))
        return options


@dataclass(frozen=True)
class Inputs:
    """Letterboxed pictures: (h, w, 3) uint8 each, and the ways back to the photos."""

    pixels: tuple[np.ndarray, ...]
    letterboxes: tuple[Letterbox, ...]


@dataclass(frozen=True)
class Raw:
    """What the network said: for each picture (N, 5 + p) float32 of `grid`'s rows and columns."""

    outputs: tuple[np.ndarray, ...]
    shapes: tuple[tuple[int, int], ...]
    letterboxes: tuple[Letterbox, ...]


class Detector:
    """A released detector, ready to run.

    >>> Detector.load("yolo")("photo.jpg")
    """

    def __init__(self, model: Model, network):
        self.model, self.network = model, network
        self.name, self.classes, self.defaults = model.name, model.classes, model.defaults
        self.runtime, self.device = network.runtime, network.device
        self._size, self._pad = model.value("input.size", int), model.value("input.pad", int)
        self._stretch = model.info["input"].get("stretch", 1.0)
        self._strides = tuple(model.value("architecture.strides", list))
        anchors = model.value("architecture.anchors", list)
        try:
            scales = zip(self._strides, anchors, strict=True)
            self._anchors = tuple(tuple((float(w), float(h)) for w, h in scale) for _, scale in scales)
        except (TypeError, ValueError) as error:
            raise model.lacks("architecture.anchors") from error
        for name in ("confidence", "iou", "max_detections"):
            model.value(f"defaults.{name}", Real)

    @classmethod
    def load(
        cls, model="yolo", *, device: str = "auto", runtime: str = "auto", threads: int | None = None
    ) -> "Detector":
        """Loads a released model by name, or a model folder or exported ONNX file by path.

        Args:
            device: "auto", "cpu", "cuda" or "cuda:N".
            runtime: "auto", "onnx" or "torch".
            threads: of the network on a CPU; by default all cores.

        Raises:
            ModelError: no such model, no detector, or damaged files.
            UsageError: no such device or runtime here.
        """
        found = find(model)
        if found.task != "detection":
            raise ModelError(f"model '{found.name}' is for {found.task}, not for detection")
        return cls(found, open_network(found, lambda: _build(found), device=device, runtime=runtime, threads=threads))

    def read(self, source: ImageSource, **options) -> RGBImage:
        """Reads a picture at the resolution that this detector needs; options and errors are those of `read_image`.

        The short side needs up to `stretch` times as many pixels as the long one's scale leaves it.
        """
        return read_image(source, target=math.ceil(self._size * self._stretch), **options)

    def preprocess(self, images: Sequence[RGBImage]) -> Inputs:
        """Scales each picture so that its long side is the model's input size, on gray up to a multiple of 32."""
        fit = (self._size, self._pad, self._stretch)
        boxed = [letterbox(image.pixels, image.width, image.height, *fit) for image in images]
        return Inputs(tuple(pixels for pixels, _ in boxed), tuple(back for _, back in boxed))

    def forward(self, inputs: Inputs) -> Raw:
        """Runs the network, pictures of one shape together; each gets the answer that it would get alone."""
        groups = defaultdict(list)
        for i, pixels in enumerate(inputs.pixels):
            groups[pixels.shape].append(i)
        outputs = [None] * len(inputs.pixels)
        for indices in groups.values():
            batch = self.network(np.stack([inputs.pixels[i] for i in indices]))
            for i, output in zip(indices, batch, strict=True):
                outputs[i] = output
        return Raw(tuple(outputs), tuple(p.shape[:2] for p in inputs.pixels), inputs.letterboxes)

    def postprocess(self, raw: Raw, options: DetectOptions = DetectOptions()) -> list[Detections]:
        """Decodes the boxes, drops those below the confidence and suppresses overlaps.

        Raises:
            UsageError: see `DetectOptions.resolved`.
        """
        options = options.resolved(self.model)
        return [self._detections(*one, options) for one in zip(raw.outputs, raw.shapes, raw.letterboxes, strict=True)]

    def predict(self, images: Sequence[RGBImage], options: DetectOptions = DetectOptions()) -> list[Detections]:
        """`preprocess`, `forward` and `postprocess` in a row."""
        return self.postprocess(self.forward(self.preprocess(images)), options)

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

    def _detections(
        self, output: np.ndarray, shape: tuple[int, int], back: Letterbox, options: DetectOptions
    ) -> Detections:
        grid = make_grid(*shape, self._strides, self._anchors)
        lowest = _logit(options.confidence)  # p_c c_i reaches the confidence only where both factors do
        rows = np.flatnonzero(output[:, P_C] >= lowest)
        rows = rows[output[rows, FIRST_CLASS:].max(axis=1) >= lowest]
        scores = _sigmoid(output[rows, P_C, None]) * _sigmoid(output[rows, FIRST_CLASS:])
        row, label = self._candidates(scores, options)
        scores, rows = scores[row, label], rows[row]
        boxes = back.to_photo(grid.decode(output[rows, T_X : T_W + 1], rows))
        keep = nms(
            boxes, scores, label, score_threshold=options.confidence, iou_threshold=options.iou,
            max_detections=options.max_detections, agnostic=options.agnostic,
        )  # fmt: skip
        labels = tuple(self.classes[i] for i in label[keep])
        return Detections(boxes[keep], scores[keep], labels, back.width, back.height, self.name)

    def _candidates(self, scores: np.ndarray, options: DetectOptions) -> tuple[np.ndarray, np.ndarray]:
        """(R, p) scores -> rows and labels of the pairs that reach the confidence, of these the best CANDIDATES."""
        if options.classes is not None:
            scores = np.where(np.isin(self.classes, options.classes), scores, -1.0)
        row, label = np.nonzero(scores >= options.confidence)
        if len(row) > CANDIDATES:
            best = np.argsort(-scores[row, label], kind="stable")[:CANDIDATES]
            row, label = row[best], label[best]
        return row, label


def _build(model: Model):
    from vision_app.detection.yolo import YOLO, ByteInput, YOLOConfig

    return ByteInput(YOLO(YOLOConfig.from_dict(model.info["architecture"])))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p))) if 0 < p < 1 else (-np.inf if p <= 0 else np.inf)
