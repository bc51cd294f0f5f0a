"""`Classifier`: tells which classes are in an image, and where the best object is. NumPy only."""

import os
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Unpack

import numpy as np

from vision_app.core.images import ImageSource, RGBImage
from vision_app.core.results import Classes
from vision_app.detection.grid import FIRST_CLASS, T_W, T_X, make_grid
from vision_app.detection.grid_detector import GridModel, GridOutput
from vision_app.released.execution import Execution, ExecutionOptions
from vision_app.released.find import Model, digest, find
from vision_app.released.names import CLASSIFIER
from vision_app.released.runtime import Network

if TYPE_CHECKING:
    from vision_app.classification.model.network import ClassifierNetwork

ROW = 0  # the column that says which row of the grid holds the best object; the others are those of the grid


class Classifier(GridModel):
    """A released classifier, ready to run, in three public steps: `preprocess`, `forward`, `postprocess`.

    >>> Classifier.load("classifier")("photo.jpg")

    Attributes:
        name: The model's name in results.
        classes: Names of the classes that it knows.
        defaults: The confidence, a probability from which a class counts as present.
        runtime: "onnx" or "torch".
        device: "cpu", "cuda" or "cuda:N".
    """

    pooled = True

    def __init__(self, model: Model, network: Network):
        super().__init__(model, network)
        self.confidence: float = model.value("defaults.confidence", Real)

    @classmethod
    def load(cls, model: str | os.PathLike[str] = CLASSIFIER, **execution: Unpack[ExecutionOptions]) -> "Classifier":
        """Load a released model by name, or a model folder or exported ONNX file by path; see `Detector.load`.

        Raises:
            ModelError: There is no such model, it is no classifier, or its files are damaged.
            UsageError: There is no such device or runtime here.
        """
        return cls.open(find(model, "classification"), Execution(**execution))

    @property
    def digest(self) -> str:
        """Digest of all that decides the results: it changes with weights, classes and preprocessing."""
        return digest(self.model)

    def postprocess(self, raw: Sequence[GridOutput]) -> list[Classes]:
        """Sort the classes by probability, and decode the box of the best object where a class is present."""
        return [self._classes(one) for one in raw]

    def predict(self, images: RGBImage | Sequence[RGBImage]) -> list[Classes]:
        """Run `preprocess`, `forward` and `postprocess` in a row."""
        return self.postprocess(self.forward(self.preprocess(images)))

    def __call__(self, source: ImageSource) -> Classes:
        """Classify one image.

        Args:
            source: Path, bytes, file object, array or `RGBImage`.

        Raises:
            ImageError: The image cannot be read.
        """
        return self.predict([self.read(source)])[0]

    def _classes(self, raw: GridOutput) -> Classes:
        output, back = raw.values, raw.letterbox
        probabilities = 1 / (1 + np.exp(-output[FIRST_CLASS:].astype(np.float64)))
        order = np.argsort(-probabilities, kind="stable")
        box = None
        if probabilities[order[0]] >= self.confidence:
            rows = output[[ROW]].astype(int)
            grid = make_grid(*raw.shape, self.strides, self.anchors)
            if not 0 <= rows[0] < len(grid.cells):
                raise self.model.lacks("architecture.anchors")
            (box,) = back.to_photo(grid.decode(output[None, T_X : T_W + 1], rows))
        labels = tuple(self.classes[i] for i in order)
        return Classes(labels, probabilities[order], back.width, back.height, self.name, box)

    @staticmethod
    def _build(model: Model) -> "ClassifierNetwork":
        from vision_app.classification.model.network import build_network

        return build_network(model)
