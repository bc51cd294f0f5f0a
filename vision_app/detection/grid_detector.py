"""The grid detector, ready to run. NumPy only; its network lives behind `runtime`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from vision_app.core.errors import ModelError
from vision_app.core.letterbox import Letterbox
from vision_app.core.results import Detections
from vision_app.core.timing import Stages
from vision_app.detection.base import LetterboxDetector, ResolvedOptions
from vision_app.detection.grid import FIRST_CLASS, P_C, T_W, T_X, Anchors, make_grid
from vision_app.released.execution import Execution
from vision_app.released.find import Model
from vision_app.released.landmarks import Landmarks
from vision_app.released.letterbox_model import Inputs, LetterboxModel, batches
from vision_app.released.runtime import Network, open_network

if TYPE_CHECKING:
    from vision_app.detection.model.yolo import YOLO, ByteInput


@dataclass(frozen=True)
class GridOutput:
    """What the network gives for one image.

    Attributes:
        values: (N, 5 + p + 2 K) float32, the rows and columns of `grid`; of a classifier (5 + p,).
        shape: Height and width of the network's input.
        letterbox: The way back to the pixels of the photo.
    """

    values: np.ndarray
    shape: tuple[int, int]
    letterbox: Letterbox


class GridModel(LetterboxModel):
    """A released model whose network predicts on a grid of cells: a detector or a classifier.

    Attributes:
        pooled: Whether the network gives one row for the image instead of one for each row of the grid.
    """

    pooled = False

    def __init__(self, model: Model, network: Network):
        super().__init__(model, runtime=network.runtime, device=network.device)
        self.network = network
        self.strides, self.anchors = strides_and_anchors(model)

    def _check_output(self) -> None:
        """Raise ModelError where the network's output has not the rows and columns that model.json tells."""
        side = max(64, *self.strides)
        shape = self.network(np.zeros((1, side, side, 3), np.uint8)).shape
        if shape[-1:] != (FIRST_CLASS + len(self.classes) + 2 * len(Landmarks.of(self.model)),):
            found = f"predicts {sum(shape[-1:]) - FIRST_CLASS} class and landmark values per box"
            raise ModelError(f"{self.model.folder}: {found}, but model.json names {len(self.classes)} classes")
        if shape[1:-1] != (() if self.pooled else (len(make_grid(side, side, self.strides, self.anchors).cells),)):
            raise self.model.lacks("architecture.anchors")

    @classmethod
    def open(cls, model: Model, execution: Execution) -> Self:
        """Open a released model; errors are those of `load.load_detector`."""

        def build() -> "ByteInput":
            from vision_app.detection.model.yolo import ByteInput

            return ByteInput(cls._build(model))

        opened = cls(model, open_network(model, build, execution))
        opened._check_output()
        return opened

    def forward(self, inputs: Inputs, stages: Stages | None = None) -> list[GridOutput]:
        """Run the network; on a GPU, images of one shape go through it together.

        On a CPU each goes alone: in a batch, the last digits of its output would differ, and it would take as long.
        """
        groups = batches(inputs)
        if self.device == "cpu":
            groups = (([i], pixels[None]) for i, pixels in enumerate(inputs.pixels))
        values: dict[int, np.ndarray] = {}
        for indices, pixels in groups:
            values |= zip(indices, self.network(pixels, stages), strict=True)
        images = enumerate(zip(inputs.pixels, inputs.letterboxes, strict=True))
        return [GridOutput(values[i], (pixels.shape[0], pixels.shape[1]), back) for i, (pixels, back) in images]

    @staticmethod
    def _build(model: Model) -> "YOLO":
        """Return the network as a torch module, without its weights."""
        raise NotImplementedError


class GridDetector(GridModel, LetterboxDetector):
    """A released grid detector."""

    def __init__(self, model: Model, network: Network):
        super().__init__(model, network)
        self.landmarks = Landmarks.of(model)
        self._has_landmarks = np.isin(self.classes, self.landmarks.classes)  # (p,)

    @staticmethod
    def _build(model: Model) -> "YOLO":
        from vision_app.detection.model.build import build_network
        from vision_app.detection.model.yolo import YOLO

        return build_network(model, YOLO)

    def _detections(self, raw: GridOutput, options: ResolvedOptions) -> Detections:
        output, grid = raw.values, make_grid(*raw.shape, self.strides, self.anchors)
        points = FIRST_CLASS + len(self.classes)  # the first of their columns
        lowest = _logit(options.confidence)  # p_c c_i reaches the confidence only where both factors do
        rows = np.flatnonzero(output[:, P_C] >= lowest)
        rows = rows[output[rows, FIRST_CLASS:points].max(axis=1) >= lowest]
        scores = _sigmoid(output[rows, P_C, None]) * _sigmoid(output[rows, FIRST_CLASS:points])

        def boxes(chosen: np.ndarray) -> np.ndarray:
            return grid.decode(output[rows[chosen], T_X : T_W + 1], rows[chosen])

        def landmarks(chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
            found = grid.landmarks(output[rows[chosen], points:], rows[chosen])
            return np.where(self._has_landmarks[labels, None, None], found, np.float32(np.nan))

        return self._selected(scores, boxes, raw.letterbox, options, landmarks if self.landmarks else None)


def strides_and_anchors(model: Model) -> tuple[tuple[int, ...], Anchors]:
    """Return what `make_grid` needs to know of a model.

    Raises:
        ModelError: Either is missing from model.json.
    """
    strides, anchors = tuple(model.value("architecture.strides", list)), model.value("architecture.anchors", list)
    try:
        scales = zip(strides, anchors, strict=True)
        return strides, tuple(tuple((float(w), float(h)) for w, h in scale) for _, scale in scales)
    except (TypeError, ValueError) as error:
        raise model.lacks("architecture.anchors") from error


def _sigmoid(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1 / (1 + np.exp(-x))
    return result


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p))) if 0 < p < 1 else (-np.inf if p <= 0 else np.inf)
