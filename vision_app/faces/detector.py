"""`FaceDetector`: finds faces and their landmarks, from 20 pixels to those that fill the photo. NumPy only."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from vision_app.core.boxes import area, clip, nms
from vision_app.core.errors import ModelError, UsageError
from vision_app.core.images import ImageSource, RGBImage, read_image
from vision_app.core.letterbox import Letterbox
from vision_app.core.results import Detections
from vision_app.core.timing import Stages
from vision_app.detection.base import DetectOptions, Detector
from vision_app.detection.grid_detector import GridDetector, Raw
from vision_app.detection.load import load_detector
from vision_app.faces.align import LANDMARKS
from vision_app.faces.refine import refine
from vision_app.faces.tiling import View, views
from vision_app.released.letterbox_model import Inputs
from vision_app.released.runtime import Execution

FACE = "face"
SMALLEST = 20.0  # pixels
EDGE = 0.02  # a box that comes so near to the edge of a tile, in shares of its own size, is cut off by it


@dataclass(frozen=True)
class Looks:
    """One photo's looks: the views, what the network takes of each, and the photo's size."""

    views: tuple[View, ...]
    inputs: Inputs
    width: int
    height: int


@dataclass(frozen=True)
class FaceRaw:
    """What the network said: of each photo its looks, and the answers to all looks in a row."""

    looks: tuple[Looks, ...]
    raw: Raw


class FaceDetector(Detector):
    """A grid detector of faces that looks at each photo several times, see `views`.

    >>> FaceDetector.load()("photo.jpg")

    Attributes:
        smallest: side in pixels of the smallest face to be found. A larger one is found as well and costs less in large
            photos; a smaller one may be found.
    """

    def __init__(self, detector: GridDetector, *, smallest: float = SMALLEST):
        self.detector, self.smallest = detector, smallest
        self.name, self.models = detector.name, detector.models
        self.classes, self.defaults = detector.classes, detector.defaults
        self.runtime, self.device = detector.runtime, detector.device

    @staticmethod
    def load(
        model="face-detector",
        *,
        device: str = "auto",
        runtime: str = "auto",
        threads: int | None = None,
        smallest: float = SMALLEST,
    ) -> "FaceDetector":
        """Loads a released model by name, or a model folder or exported ONNX file by path; see `Detector.load`.

        Args:
            smallest: side in pixels of the smallest face to be found, at least 4.

        Raises:
            ModelError: no such model, none that finds faces with five landmarks, or damaged files.
            UsageError: no such device or runtime here, or a wrong size.
        """
        return FaceDetector.open(model, Execution(device, runtime, threads), smallest)

    @staticmethod
    def open(model: str | os.PathLike[str], execution: Execution, smallest: float = SMALLEST) -> "FaceDetector":
        """Open a released model; errors are those of `load`."""
        if not smallest >= 4:
            raise UsageError(f"--smallest {smallest:g}: no face can be told from so few pixels; the nearest is 4")
        found = load_detector(model, **vars(execution))
        if not isinstance(found, GridDetector) or found.classes != (FACE,) or found.landmarks.names != LANDMARKS:
            raise ModelError(f"model '{model}' does not find faces with five landmarks; use face-detector")
        return FaceDetector(found, smallest=smallest)

    def read(self, source: ImageSource, **options) -> RGBImage:
        """Reads a picture in full; options and errors are those of `read_image`."""
        return read_image(source, **options)

    def preprocess(self, images: Sequence[RGBImage]) -> tuple[Looks, ...]:
        """Cuts out and scales what each look shows."""
        return tuple(self._looks(image) for image in images)

    def join(self, parts: Sequence[tuple[Looks, ...]]) -> tuple[Looks, ...]:
        """Several pictures' inputs -> those of one batch."""
        return tuple(looks for part in parts for looks in part)

    def forward(self, inputs: tuple[Looks, ...], stages: Stages | None = None) -> FaceRaw:
        """Runs the network, looks of one shape together."""
        return FaceRaw(inputs, self.detector.forward(self.detector.join([looks.inputs for looks in inputs]), stages))

    def postprocess(self, raw: FaceRaw, options: DetectOptions = DetectOptions()) -> list[Detections]:
        """Joins what the looks at each photo found.

        Raises:
            UsageError: see `DetectOptions.resolved`.
        """
        options = options.resolved(self)
        found = self.detector.postprocess(raw.raw, options)
        ends = accumulate((len(looks.views) for looks in raw.looks), initial=0)
        return [
            self._joined(looks, found[start:end], options)
            for looks, (start, end) in zip(raw.looks, pairwise(ends), strict=True)
        ]

    def predict(self, images: Sequence[RGBImage], options: DetectOptions = DetectOptions()) -> list[Detections]:
        """`preprocess`, `forward` and `postprocess` in a row, and a second look at each face, see `refine`."""
        found = super().predict(images, options)
        return [refine(self.detector, image, one) for image, one in zip(images, found, strict=True)]

    def _looks(self, image: RGBImage) -> Looks:
        chosen = views(image.width, image.height, self.detector.size, self.smallest)
        inputs = self.detector.join([self._input(image, view) for view in chosen])
        return Looks(tuple(chosen), inputs, image.width, image.height)

    def _input(self, image: RGBImage, view: View) -> Inputs:
        """What the network takes of one view; photo pixels of its letterbox begin where the frame begins."""
        rows, columns = image.pixels.shape[:2]
        x, y = columns / image.width, rows / image.height  # below 1 where the photo was decoded at a reduced size
        part = image.pixels[
            int(view.top * y) : max(round(view.bottom * y), 1), int(view.left * x) : max(round(view.right * x), 1)
        ]
        scaled = self.detector.scaled(view.size / self.detector.size)
        inputs = scaled.preprocess([RGBImage(part, view.right - view.left, view.bottom - view.top)])
        if not view.frame:
            return inputs
        (pixels,), (back,) = inputs.pixels, inputs.letterboxes
        frame = view.frame
        pixels = np.pad(pixels, ((frame, frame), (frame, frame), (0, 0)), constant_values=self.detector.pad)
        width, height = back.width + 2 * frame / back.scale_x, back.height + 2 * frame / back.scale_y
        return Inputs((pixels,), (Letterbox(width, height, back.scale_x, back.scale_y),))

    def _joined(self, looks: Looks, found: Sequence[Detections], options: DetectOptions) -> Detections:
        """One photo's faces from what was found in each view."""
        boxes, scores, points = [], [], []
        for view, back, one in zip(looks.views, looks.inputs.letterboxes, found, strict=True):
            start = np.float32([view.left - view.frame / back.scale_x, view.top - view.frame / back.scale_y])
            moved = one.boxes + np.tile(start, 2)
            counts = _whole(moved, view, looks.width, looks.height)
            counts &= (moved[:, 2:] - moved[:, :2]).max(axis=1) <= view.largest
            boxes.append(clip(moved[counts], looks.width, looks.height))
            scores.append(one.scores[counts])
            points.append((one.landmarks + start)[counts])
        boxes, scores, points = (np.concatenate(parts) for parts in (boxes, scores, points))
        kept = nms(boxes, scores, score_threshold=0, iou_threshold=options.iou, max_detections=len(boxes))
        kept = kept[~_inside(boxes[kept], points[kept], scores[kept])][: options.max_detections]
        labels = (FACE,) * len(kept)
        return Detections(boxes[kept], scores[kept], labels, looks.width, looks.height, self.name, points[kept])


def _whole(boxes: np.ndarray, view: View, width: int, height: int) -> np.ndarray:
    """(N,) which boxes, xyxy in photo pixels, are not cut off by an edge of the view that is none of the photo's."""
    near = EDGE * (boxes[:, 2:] - boxes[:, :2])  # (N, 2)
    cut = np.concatenate(
        [boxes[:, :2] - near < [view.left, view.top], boxes[:, 2:] + near > [view.right, view.bottom]], axis=1
    )
    inner = [view.left > 0, view.top > 0, view.right < width, view.bottom < height]
    return ~(cut & inner).any(axis=1)


def _inside(boxes: np.ndarray, points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(N,) which faces are parts of others no worse: their middle is among the landmarks of a face twice their size."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    low, high = points.min(axis=1), points.max(axis=1)  # (N, 2)
    among = ((middles[:, None] > low) & (middles[:, None] < high)).all(axis=2)  # (N, N): row's middle in column's
    part = among & (2 * area(boxes)[:, None] < area(boxes)) & (scores[:, None] <= scores)
    return part.any(axis=1)
