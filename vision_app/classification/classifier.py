"""`Classifier`: says which classes are in a picture, and where the best object is. NumPy only."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Real

import numpy as np

from vision_app.core.errors import ModelError
from vision_app.core.images import ImageSource, RGBImage
from vision_app.core.letterbox import Letterbox
from vision_app.core.results import Classes
from vision_app.core.timing import Stages
from vision_app.detection.grid import FIRST_CLASS, T_W, T_X, make_grid
from vision_app.detection.grid_detector import strides_and_anchors
from vision_app.released.find import Model, digest, find
from vision_app.released.letterbox_model import Inputs, LetterboxModel, batches
from vision_app.released.runtime import Execution, Network, open_network

ROW = 0  # the column that says which row of the grid holds the best object; the others are those of the grid


@dataclass(frozen=True)
class Raw:
    """What the network said: for each picture (5 + p,) float32, see `network.ClassifierNetwork`."""

    outputs: tuple[np.ndarray, ...]
    shapes: tuple[tuple[int, int], ...]
    letterboxes: tuple[Letterbox, ...]


class Classifier(LetterboxModel):
    """A released classifier, ready to run, in three public steps: `preprocess`, `forward`, `postprocess`.

    >>> Classifier.load("classifier")("photo.jpg")

    Attributes:
        name: what results say made them.
        classes: names of what it knows.
        defaults: the confidence, a probability from which a class counts as present.
        runtime: "onnx" or "torch".
        device: "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, model: Model, network: Network):
        super().__init__(model, runtime=network.runtime, device=network.device)
        self.network = network
        self.confidence = model.value("defaults.confidence", Real)
        self._strides, self._anchors = strides_and_anchors(model)

    @classmethod
    def load(
        cls, model="classifier", *, device: str = "auto", runtime: str = "auto", threads: int | None = None
    ) -> "Classifier":
        """Loads a released model by name, or a model folder or exported ONNX file by path; see `Detector.load`.

        Raises:
            ModelError: no such model, no classifier, or damaged files.
            UsageError: no such device or runtime here.
        """
        found = find(model, "classification")
        if found.task != "classification":
            raise ModelError(f"model '{found.name}' is for {found.task}, not for classification")
        return cls(found, open_network(found, lambda: _build(found), Execution(device, runtime, threads)))

    @property
    def digest(self) -> str:
        """Of everything that decides the answers: other weights, classes or preprocessing have another one."""
        return digest(self.model)

    def forward(self, inputs: Inputs, stages: Stages | None = None) -> Raw:
        """Runs the network, pictures of one shape together; each gets the answer that it would get alone.

        Args:
            stages: takes the time, as that of "network".
        """
        outputs = [None] * len(inputs.pixels)
        for indices, pixels in batches(inputs):
            with stages.stage("network") if stages else nullcontext():
                batch = self.network(pixels)
            for i, output in zip(indices, batch, strict=True):
                outputs[i] = output
        return Raw(tuple(outputs), tuple(p.shape[:2] for p in inputs.pixels), inputs.letterboxes)

    def postprocess(self, raw: Raw) -> list[Classes]:
        """Sorts the classes by probability, and decodes the box of the best object where a class is present."""
        return [self._classes(*one) for one in zip(raw.outputs, raw.shapes, raw.letterboxes, strict=True)]

    def predict(self, images: Sequence[RGBImage]) -> list[Classes]:
        """`preprocess`, `forward` and `postprocess` in a row."""
        return self.postprocess(self.forward(self.preprocess(images)))

    def __call__(self, source: ImageSource) -> Classes:
        """Says what is in one picture.

        Args:
            source: path, bytes, file object, array or `RGBImage`.

        Raises:
            ImageError: the picture cannot be read.
        """
        return self.predict([self.read(source)])[0]

    def _classes(self, output: np.ndarray, shape: tuple[int, int], back: Letterbox) -> Classes:
        probabilities = 1 / (1 + np.exp(-output[FIRST_CLASS:].astype(np.float64)))
        order = np.argsort(-probabilities, kind="stable")
        box = None
        if probabilities[order[0]] >= self.confidence:
            rows = output[[ROW]].astype(int)
            grid = make_grid(*shape, self._strides, self._anchors)
            (box,) = back.to_photo(grid.decode(output[None, T_X : T_W + 1], rows))
        labels = tuple(self.classes[i] for i in order)
        return Classes(labels, probabilities[order], back.width, back.height, self.name, box)


def _build(model: Model):
    from vision_app.classification.model.network import ClassifierNetwork
    from vision_app.detection.model.yolo import ByteInput, YOLOConfig

    return ByteInput(ClassifierNetwork(YOLOConfig.from_dict(model.info["architecture"])))
