"""What `vision-app classify` does with each image of a batch; see `vision_app.batch.run.Task`."""

from collections.abc import Sequence
from typing import Any

from vision_app.batch.sources import Input
from vision_app.classification.classifier import Classifier
from vision_app.core.limits import ReadLimits
from vision_app.core.results import Classes
from vision_app.detection.batch import ModelTask


class ClassifyTask(ModelTask):
    """Says which classes are in images.

    Args:
        classifier: The model.
        top: Number of classes per row, the most probable ones; all by default.
        localize: Whether a row holds the box of the best object, too.
        limits: See `read_image`.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        top: int | None = None,
        localize: bool = False,
        limits: ReadLimits = ReadLimits(),
    ):
        super().__init__(classifier, limits=limits)
        self.classifier, self.top, self.localize = classifier, top, localize

    def predict(self, items: Sequence[Input], images: Sequence[Any]) -> list[Classes]:
        """Classify each image."""
        return self.classifier.postprocess(self.forward(images))

    def row(self, item: Input, result: Classes | None) -> dict[str, Any]:
        """Return the keys `width`, `height`, `model`, `classes` and, with `localize`, `box`."""
        if result is None:
            box = {"box": None} if self.localize else {}
            return {"width": None, "height": None, "model": self.classifier.name, "classes": [], **box}
        return result.to_dict(top=self.top, localize=self.localize)
