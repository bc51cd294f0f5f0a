"""What `vision-app classify` does with each image of a batch; see `vision_app.batch.run.Task`."""

from collections.abc import Sequence
from contextlib import nullcontext
from threading import Lock

from vision_app.batch.sources import Input
from vision_app.classification.classifier import Classifier
from vision_app.core.images import MAX_PIXELS
from vision_app.core.results import Classes
from vision_app.released.letterbox_model import Inputs


class ClassifyTask:
    """Says which classes are in images.

    Args:
        top: classes a row, the most probable ones; all by default.
        localize: whether a row holds the box of the best object, too.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        top: int | None = None,
        localize: bool = False,
        max_pixels: int = MAX_PIXELS,
    ):
        self.classifier = classifier
        self.top = top
        self.localize = localize
        self.max_pixels = max_pixels
        # Batches take turns on a GPU, or each worker would need memory there.
        self._turn = nullcontext() if classifier.device == "cpu" else Lock()

    def read(self, item: Input) -> Inputs:
        """Decode and letterbox one image."""
        return self.classifier.preprocess([self.classifier.read(item.file, max_pixels=self.max_pixels)])

    def predict(self, items: Sequence[Input], images: list[Inputs]) -> list[Classes]:
        """Classify each image."""
        with self._turn:
            raw = self.classifier.forward(self.classifier.join(images))
        return self.classifier.postprocess(raw)

    def save(self, item: Input, image: Inputs, result: Classes) -> None:
        """Nothing is written beside the rows."""

    def row(self, item: Input, result: Classes | None) -> dict:
        """Return the keys `width`, `height`, `model`, `classes` and, with `localize`, `box`."""
        if result is None:
            nothing = {"width": None, "height": None, "model": self.classifier.name, "classes": []}
            return nothing | ({"box": None} if self.localize else {})
        return result.to_dict(top=self.top, localize=self.localize)
