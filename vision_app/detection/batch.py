"""What `vision-app detect` does with each image of a batch; see `vision_app.batch.run.Task`."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any

from vision_app.batch.sinks import ImageFolder
from vision_app.batch.sources import Input
from vision_app.core.draw import draw
from vision_app.core.images import read_image
from vision_app.core.limits import ReadLimits
from vision_app.core.results import Detections
from vision_app.detection.base import DetectOptions, Detector
from vision_app.detection.grid_detector import GridModel

CSV_COLUMNS = ("file", "label", "score", "x1", "y1", "x2", "y2", "width", "height", "model")


class ModelTask:
    """Runs a model over images.

    An image is preprocessed as soon as it is decoded, so that a batch holds the small inputs of the network and not the
    photos.
    """

    def __init__(self, model: Detector | GridModel, *, limits: ReadLimits = ReadLimits()):
        self._model, self.limits = model, limits
        # Batches take turns on a GPU, or each worker would need memory there.
        self._turn: AbstractContextManager[Any] = nullcontext() if model.device == "cpu" else Lock()

    def read(self, item: Input) -> Any:
        """Decode and preprocess one image."""
        image = self._model.read(item.file, max_pixels=self.limits.max_pixels, max_bytes=self.limits.max_bytes)
        return self._model.preprocess([image])

    def forward(self, images: Sequence[Any]) -> Any:
        """Return the network's output for what `read` gave of several images."""
        batch = self._model.join(images)
        with self._turn:
            return self._model.forward(batch)

    def save(self, item: Input, image: Any, result: Any) -> str | None:
        """Write nothing beside the rows."""
        return None


class DetectTask(ModelTask):
    """Finds objects in images and, if asked to, writes annotated copies, for which it decodes them at full size."""

    def __init__(
        self, detector: Detector, options: DetectOptions, *, limits: ReadLimits = ReadLimits(),
        copies: ImageFolder | None = None,
    ):  # fmt: skip
        super().__init__(detector, limits=limits)
        self.detector, self.options, self.copies = detector, options.resolved(detector), copies

    def predict(self, items: Sequence[Input], images: Sequence[Any]) -> list[Detections]:
        """Find the objects of each image."""
        return self.detector.postprocess(self.forward(images), self.options)

    def save(self, item: Input, image: Any, result: Detections) -> str | None:
        """Write the annotated copy; a row does without one that cannot be written."""
        if self.copies is None:
            return None
        max_pixels, max_bytes = self.limits.max_pixels, self.limits.max_bytes
        return self.copies.try_to_write(
            item.name, lambda: draw(read_image(item.file, max_pixels=max_pixels, max_bytes=max_bytes), result)
        )

    def row(self, item: Input, result: Detections | None) -> dict[str, Any]:
        """Return the keys `width`, `height`, `model` and `detections`."""
        if result is None:
            return {"width": None, "height": None, "model": self.detector.name, "detections": []}
        return result.to_dict()


def csv_lines(row: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield one line of the table per object, in the order of CSV_COLUMNS."""
    for found in row["detections"]:
        yield (row["file"], found["label"], found["score"], *found["box"], row["width"], row["height"], row["model"])
