"""`FaceDetector`: finds faces and their landmarks, from 20 pixels to those that fill the photo. NumPy only."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from math import ceil, inf
from typing import Any, Unpack

import numpy as np

from vision_app.core.boxes import area, clip, nms
from vision_app.core.errors import ModelError
from vision_app.core.flags import check_range
from vision_app.core.images import ImageSource, RGBImage, read_image
from vision_app.core.results import Detections
from vision_app.core.several import several
from vision_app.core.timing import Stages
from vision_app.detection.base import DetectOptions, Detector, ResolvedOptions
from vision_app.detection.grid_detector import GridDetector, GridOutput
from vision_app.detection.load import TASK
from vision_app.faces.align import LANDMARKS, landmarks_of
from vision_app.faces.checker import FaceChecker
from vision_app.faces.landmarker import FaceLandmarker
from vision_app.faces.refine import refine
from vision_app.faces.tiling import MAX_INPUT, Tile, make_tiles
from vision_app.faces.upright import set_upright, turned_faces, without_duplicates
from vision_app.released.execution import Execution, ExecutionOptions
from vision_app.released.find import Model, find
from vision_app.released.landmarks import Landmarks
from vision_app.released.letterbox_model import Inputs
from vision_app.released.names import FACE_DETECTOR

FACE = "face"
SMALLEST = 20.0  # pixels
GLIMPSE = 0.15  # score of anything in a photo without which no turned copies of it are searched
NESTED = 0.7  # of the smaller one of two boxes of a face, the part that the larger one covers, at least
SAME_POINTS = 0.4  # mean distance of their landmarks, in distances between the eyes, at most
EDGE = 0.02  # a box this close to the edge of a tile, in shares of its own size, is cut off by it
BATCH = MAX_INPUT**2  # pixels of tiles that go through the network together
ROWS = 1000  # faces that are compared with all others at a time


@dataclass(frozen=True)
class TiledImage:
    """A photo and its tiles. They are cut out and scaled a few at a time, when the network takes them."""

    image: RGBImage
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class RawFaces:
    """The network's raw output for the tiles of several photos, one tile after the other."""

    images: tuple[TiledImage, ...]
    raw: list[GridOutput]


class FaceDetector(Detector):
    """A grid detector of faces that searches each photo in several tiles, see `tiling.make_tiles`.

    >>> FaceDetector.load()("photo.jpg")

    Attributes:
        checker: Sees which faces are turned, covered or unnatural; None: nobody looks.
        landmarker: Finds the landmarks once more in the end; None: they remain as the detector sees them.
        smallest: Side in pixels of the smallest face to be found. A larger value costs less in large photos; smaller
            faces may be found all the same.
        turned: Whether to search turned copies of a photo without an upright face, which takes as long again. Turned
            faces that are found without them are set upright in any case.
    """

    def __init__(
        self,
        detector: GridDetector,
        checker: FaceChecker | None = None,
        landmarker: FaceLandmarker | None = None,
        *,
        smallest: float = SMALLEST,
        turned: bool = True,
    ):
        self.detector, self.checker, self.landmarker = detector, checker, landmarker
        self.smallest, self.turned = smallest, turned
        parts = (part for part in (checker, landmarker) if part is not None)
        self.name, self.models = detector.name, (*detector.models, *(part.model for part in parts))
        self.classes, self.defaults = detector.classes, detector.defaults
        self.runtime, self.device = detector.runtime, detector.device

    @staticmethod
    def load(
        model: str | os.PathLike[str] = FACE_DETECTOR,
        *,
        smallest: float = SMALLEST,
        **execution: Unpack[ExecutionOptions],
    ) -> "FaceDetector":
        """Load a released model by name, or a model folder or exported ONNX file by path; see `Detector.load`.

        `smallest` is the side in pixels of the smallest face to be found, at least 4.

        Raises:
            ModelError: There is no such model, it does not find faces with five landmarks, or its files are damaged.
            UsageError: There is no such device or runtime, or the size is too small.
        """
        check_range("smallest", smallest, 4)
        found = find(model, TASK, _finds_faces)
        if not _finds_faces(found):
            raise ModelError(f"model '{model}' does not find faces with five landmarks; use {FACE_DETECTOR}")
        detector = GridDetector.open(found, Execution(**execution))
        checker, landmarker = FaceChecker.load(**execution), FaceLandmarker.load(**execution)
        return FaceDetector(detector, checker, landmarker, smallest=smallest)

    def read(self, source: ImageSource, **options: Any) -> RGBImage:
        """Read an image at full size; options and errors are those of `read_image`."""
        return read_image(source, **options)

    def preprocess(self, images: RGBImage | Sequence[RGBImage]) -> tuple[TiledImage, ...]:
        """Choose the tiles of one or several images."""
        size, smallest = self.detector.size, self.smallest
        tiles = [tuple(make_tiles(image.width, image.height, size, smallest)) for image in several(images)]
        return tuple(TiledImage(*both) for both in zip(several(images), tiles, strict=True))

    def join(self, parts: Sequence[tuple[TiledImage, ...]]) -> tuple[TiledImage, ...]:
        """Join the inputs of several images to those of one batch."""
        return tuple(chain.from_iterable(parts))

    def forward(self, inputs: tuple[TiledImage, ...], stages: Stages | None = None) -> RawFaces:
        """Run the network, a few tiles at a time, those of one shape together."""
        stages = stages or Stages()
        raw: list[GridOutput] = []
        for part in chain.from_iterable(map(self._parts, inputs)):
            raw += self.detector.forward(part, stages)
        return RawFaces(inputs, raw)

    def postprocess(self, raw: RawFaces, options: DetectOptions = DetectOptions()) -> list[Detections]:
        """Merge the faces of each image's tiles and refine their landmarks, for which the network runs once more.

        Turned faces are set upright. In a photo without a face that stands upright, or can be set so, but with a place
        that looks faintly like a face, those are searched that are to be seen in small copies of it, turned by 45, 90
        and so on to 315 degrees.

        Raises:
            UsageError: See `DetectOptions.resolved`.
        """
        options = options.resolved(self)
        outputs = iter(raw.raw)
        return [self._faces(one, list(islice(outputs, len(one.tiles))), options) for one in raw.images]

    def _parts(self, tiled: TiledImage) -> Iterator[Inputs]:
        """Yield what the network takes of a photo's tiles, as many together as `BATCH` allows."""
        part: list[Inputs] = []
        pixels = 0
        for tile in tiled.tiles:
            one = self._input(tiled.image, tile)
            pixels += one.pixels[0].size // 3
            if part and pixels > BATCH:
                yield self.detector.join(part)
                part, pixels = [], one.pixels[0].size // 3
            part.append(one)
        yield self.detector.join(part)

    def _input(self, image: RGBImage, tile: Tile) -> Inputs:
        """Return what the network takes of one tile; photo pixels of its letterbox start at the frame's edge."""
        rows, columns = image.pixels.shape[:2]
        x, y = columns / image.width, rows / image.height  # below 1 where the photo was decoded at a reduced size
        part = image.pixels[
            int(tile.top * y) : max(round(tile.bottom * y), 1), int(tile.left * x) : max(round(tile.right * x), 1)
        ]
        scaled = self.detector.scaled(tile.size / self.detector.size)
        inputs = scaled.preprocess([RGBImage(part, tile.right - tile.left, tile.bottom - tile.top)])
        if not tile.frame:
            return inputs
        (pixels,), (back,) = inputs.pixels, inputs.letterboxes
        frame = tile.frame
        pixels = np.pad(pixels, ((frame, frame), (frame, frame), (0, 0)), constant_values=self.detector.pad)
        width, height = ceil(back.width + 2 * frame / back.scale_x), ceil(back.height + 2 * frame / back.scale_y)
        return Inputs((pixels,), (replace(back, width=width, height=height),))

    def _faces(self, tiled: TiledImage, raw: Sequence[GridOutput], options: ResolvedOptions) -> Detections:
        """Return the faces of a photo, given the network's output for each tile."""
        found = self._set_upright(tiled, raw, options)
        if self.landmarker is None:
            return found
        return replace(found, landmarks=self.landmarker.refined(tiled.image, landmarks_of(found)))

    def _set_upright(self, tiled: TiledImage, raw: Sequence[GridOutput], options: ResolvedOptions) -> Detections:
        """Return the faces of a photo, turned ones set upright."""
        image = tiled.image
        found = refine(self.detector, image, self._merged(tiled, raw, options))
        found = found[_one_of_each(found.boxes, landmarks_of(found))]
        if self.checker is None:
            return found
        found, is_sure = set_upright(self.detector, self.checker, image, found)
        if is_sure.any() or not self.turned or not self._has_glimpse(tiled, raw):
            return found
        more = turned_faces(self.detector, self.checker, image, self.name, options.confidence)
        is_new = np.arange(len(found) + len(more)) >= len(found)
        found, _ = without_duplicates(found.joined(more), is_new, is_new)
        return found[np.argsort(-found.scores, kind="stable")[: options.max_detections]]

    def _has_glimpse(self, tiled: TiledImage, raw: Sequence[GridOutput]) -> bool:
        """Return whether something large looks faintly like a face, as turned faces do."""
        whole = [output for tile, output in zip(tiled.tiles, raw, strict=True) if tile.largest == inf]
        faint = DetectOptions(confidence=GLIMPSE, max_detections=1)
        return any(map(len, self.detector.postprocess(whole, faint)))

    def _merged(self, tiled: TiledImage, raw: Iterable[GridOutput], options: ResolvedOptions) -> Detections:
        """Return one photo's faces, given the network's output for each tile."""
        width, height = tiled.image.width, tiled.image.height
        parts = []
        for tile, output in zip(tiled.tiles, raw, strict=True):
            (one,), back = self.detector.postprocess([output], options), output.letterbox
            start = np.array([tile.left - tile.frame / back.scale_x, tile.top - tile.frame / back.scale_y], np.float32)
            moved = one.boxes + np.tile(start, 2)
            counts = _whole(moved, tile, width, height) & ((moved[:, 2:] - moved[:, :2]).max(axis=1) <= tile.largest)
            parts.append((clip(moved[counts], width, height), one.scores[counts], (landmarks_of(one) + start)[counts]))
        boxes, scores, points = map(np.concatenate, zip(*parts, strict=True))
        kept = nms(boxes, scores, score_threshold=0, iou_threshold=options.iou, max_detections=len(boxes))
        kept = kept[~_inside(boxes[kept], points[kept], scores[kept])][: options.max_detections]
        return Detections(boxes[kept], scores[kept], (FACE,) * len(kept), width, height, self.name, points[kept])


def _one_of_each(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the indices of faces, in order, without further boxes of one face: nested, with much the same landmarks.

    Args:
        boxes: (N, 4) xyxy in photo pixels, the best first.
        points: (N, 5, 2) landmarks after the second look, which are the same for boxes of different sizes.
    """
    areas, eyes = area(boxes), np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    kept: list[int] = []
    for i in range(len(boxes)):
        sides = np.minimum(boxes[kept, 2:], boxes[i, 2:]) - np.maximum(boxes[kept, :2], boxes[i, :2])
        shared = np.maximum(sides, 0).prod(axis=1) >= NESTED * np.minimum(areas[kept], areas[i])
        apart = np.linalg.norm(points[kept] - points[i], axis=2).mean(axis=1)
        if not (shared & (apart < SAME_POINTS * np.maximum(eyes[kept], eyes[i]))).any():
            kept.append(i)
    return np.array(kept, int)


def _finds_faces(model: Model) -> bool:
    """Return whether a model is a grid detector of faces with the landmarks that an aligned face needs."""
    is_grid = model.info["architecture"].get("type") == "yolo"
    return is_grid and model.classes == (FACE,) and Landmarks.of(model).names == LANDMARKS


def _whole(boxes: np.ndarray, tile: Tile, width: int, height: int) -> np.ndarray:
    """Return (N,) which boxes, xyxy in photo pixels, no edge of the tile cuts off but those of the photo."""
    near = EDGE * (boxes[:, 2:] - boxes[:, :2])  # (N, 2)
    cut = np.hstack([boxes[:, :2] - near < [tile.left, tile.top], boxes[:, 2:] + near > [tile.right, tile.bottom]])
    inner = [tile.left > 0, tile.top > 0, tile.right < width, tile.bottom < height]
    return np.logical_not((cut & inner).any(axis=1))


def _inside(boxes: np.ndarray, points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return (N,) which faces lie among the landmarks of a face at least twice as large that scores no less."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    low, high = points.min(axis=1), points.max(axis=1)  # (N, 2)
    is_inside = np.zeros(len(boxes), bool)
    for start in range(0, len(boxes), ROWS):
        some = slice(start, start + ROWS)
        among = ((middles[some, None] > low) & (middles[some, None] < high)).all(axis=2)  # row's middle in column's
        part = among & (2 * area(boxes[some])[:, None] < area(boxes)) & (scores[some, None] <= scores)
        is_inside[some] = part.any(axis=1)
    return is_inside
