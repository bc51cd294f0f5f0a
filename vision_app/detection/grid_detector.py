"""The grid detector, ready to run. NumPy only; its network lives behind `runtime`."""

from dataclasses import dataclass

import numpy as np

from vision_app.core.letterbox import Letterbox
from vision_app.core.results import Detections
from vision_app.core.timing import Stages
from vision_app.detection.base import DetectOptions, LetterboxDetector
from vision_app.detection.grid import FIRST_CLASS, P_C, T_W, T_X, Anchors, make_grid
from vision_app.released.find import Model
from vision_app.released.landmarks import Landmarks
from vision_app.released.letterbox_model import Inputs, batches
from vision_app.released.runtime import Execution, Network, open_network


@dataclass(frozen=True)
class Raw:
    """What the network said: for each picture (N, 5 + p + 2 K) float32 of `grid`'s rows and columns."""

    outputs: tuple[np.ndarray, ...]
    shapes: tuple[tuple[int, int], ...]
    letterboxes: tuple[Letterbox, ...]


class GridDetector(LetterboxDetector):
    """A released grid detector."""

    def __init__(self, model: Model, network: Network):
        super().__init__(model, runtime=network.runtime, device=network.device)
        self.network = network
        self._strides, self._anchors = strides_and_anchors(model)
        self.landmarks = Landmarks.of(model)
        self._pointed = np.isin(self.classes, self.landmarks.classes)  # (p,) whose objects have landmarks

    @classmethod
    def open(cls, model: Model, execution: Execution) -> "GridDetector":
        """Open a released model; errors are those of `load.load_detector`."""
        return cls(model, open_network(model, lambda: _build(model), execution))

    def forward(self, inputs: Inputs, stages: Stages | None = None) -> Raw:
        """Runs the network, pictures of one shape together; each gets the answer that it would get alone."""
        outputs = [None] * len(inputs.pixels)
        for indices, pixels in batches(inputs):
            for i, output in zip(indices, self.network(pixels, stages), strict=True):
                outputs[i] = output
        return Raw(tuple(outputs), tuple(p.shape[:2] for p in inputs.pixels), inputs.letterboxes)

    def postprocess(self, raw: Raw, options: DetectOptions = DetectOptions()) -> list[Detections]:
        """Decodes the boxes, drops those below the confidence and suppresses overlaps."""
        options = options.resolved(self)
        return [self._detections(*one, options) for one in zip(raw.outputs, raw.shapes, raw.letterboxes, strict=True)]

    def _detections(
        self, output: np.ndarray, shape: tuple[int, int], back: Letterbox, options: DetectOptions
    ) -> Detections:
        grid = make_grid(*shape, self._strides, self._anchors)
        points = FIRST_CLASS + len(self.classes)  # the first of their columns
        lowest = _logit(options.confidence)  # p_c c_i reaches the confidence only where both factors do
        rows = np.flatnonzero(output[:, P_C] >= lowest)
        rows = rows[output[rows, FIRST_CLASS:points].max(axis=1) >= lowest]
        scores = _sigmoid(output[rows, P_C, None]) * _sigmoid(output[rows, FIRST_CLASS:points])

        def boxes(chosen: np.ndarray) -> np.ndarray:
            return grid.decode(output[rows[chosen], T_X : T_W + 1], rows[chosen])

        def landmarks(chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
            found = grid.landmarks(output[rows[chosen], points:], rows[chosen])
            return np.where(self._pointed[labels, None, None], found, np.float32(np.nan))

        return self._chosen(scores, boxes, back, options, landmarks if self.landmarks else None)


def strides_and_anchors(model: Model) -> tuple[tuple[int, ...], Anchors]:
    """What `make_grid` needs to know of a model.

    Raises:
        ModelError: model.json lacks it.
    """
    strides, anchors = tuple(model.value("architecture.strides", list)), model.value("architecture.anchors", list)
    try:
        scales = zip(strides, anchors, strict=True)
        return strides, tuple(tuple((float(w), float(h)) for w, h in scale) for _, scale in scales)
    except (TypeError, ValueError) as error:
        raise model.lacks("architecture.anchors") from error


def _build(model: Model):
    from vision_app.detection.model.yolo import YOLO, ByteInput, YOLOConfig

    return ByteInput(YOLO(YOLOConfig.from_dict(model.info["architecture"])))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p))) if 0 < p < 1 else (-np.inf if p <= 0 else np.inf)
