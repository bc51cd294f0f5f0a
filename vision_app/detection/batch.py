"""What `vision-app detect` does with each image of a batch; see `vision_app.batch.run.Task`."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from threading import Lock
from typing import Any

from vision_app.batch.sinks import Pictures
from vision_app.batch.sources import Input
from vision_app.core.draw import draw
from vision_app.core.images import MAX_PIXELS, read_image
from vision_app.core.results import Detections
from vision_app.detection.base import DetectOptions, Detector

CSV_COLUMNS = ("file", "label", "score", "x1", "y1", "x2", "y2", "width", "height", "model")


class DetectTask:
    """Finds objects in images and, if asked to, writes annotated copies.

    An image is letterboxed as soon as it is decoded, so that a batch holds the small inputs of the network and not the
    photos. An annotated copy decodes its photo again, at full size.
    """

    def __init__(
        self,
        detector: Detector,
        options: DetectOptions,
        *,
        max_pixels: int = MAX_PIXELS,
        pictures: Pictures | None = None,
    ):
        self.detector = detector
        self.options = options
        self.max_pixels = max_pixels
        self.pictures = pictures
        # Batches take turns on a GPU, or each worker would need memory there.
        self._turn = nullcontext() if detector.device == "cpu" else Lock()

    def read(self, item: Input) -> Any:
        """Decode and letterbox one image."""
        return self.detector.preprocess([self.detector.read(item.file, max_pixels=self.max_pixels)])

    def predict(self, items: Sequence[Input], images: list[Any]) -> list[Detections]:
        """Find the objects of each image."""
        batch = self.detector.join(images)
        with self._turn:
            raw = self.detector.forward(batch)
        return self.detector.postprocess(raw, self.options)

    def save(self, item: Input, image: Any, result: Detections) -> None:
        """Write the annotated copy."""
        if self.pictures is not None:
            photo = read_image(item.file, max_pixels=self.max_pixels)
            self.pictures.write(item.name, draw(photo, result))

    def row(self, item: Input, result: Detections | None) -> dict:
        """Return the keys `width`, `height`, `model` and `detections`."""
        if result is None:
            return {"width": None, "height": None, "model": self.detector.name, "detections": []}
        return result.to_dict()


def csv_lines(row: dict) -> Iterator[tuple]:
    """Yield one line of the table an object, in the order of CSV_COLUMNS."""
    for found in row["detections"]:
        yield (row["file"], found["label"], found["score"], *found["box"], row["width"], row["height"], row["model"])
