"""`Embedder`: turns aligned faces into vectors that are close to each other for the same person. NumPy only."""

import os
from functools import cached_property
from typing import TYPE_CHECKING, Unpack

import numpy as np

from vision_app.core.errors import ModelError
from vision_app.faces.align import SIZE
from vision_app.faces.calibration import Calibration
from vision_app.released.execution import Execution, ExecutionOptions
from vision_app.released.find import Model, find
from vision_app.released.names import FACE_EMBEDDER
from vision_app.released.runtime import Network, open_network

if TYPE_CHECKING:
    from torch.nn import Module

TASK = "face-embedding"
BATCH = 32  # faces that go through the network together


class Embedder:
    """A released face embedder.

    >>> Embedder.load("face-embedder").embed(chips)

    Attributes:
        name: The model's.
        model_id: Digest of what decides an embedding: weights, architecture and preprocessing. Embeddings of different
            models cannot be compared.
        dimension: Numbers of an embedding.
        template: (5, 2) where the landmarks of an aligned face lie, see `align.align`.
        runtime: "onnx" or "torch".
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: Something is missing from model.json.
    """

    def __init__(self, model: Model, network: Network):
        self.model, self.network = model, network
        self.name, self.runtime, self.device = model.name, network.runtime, network.device
        self.model_id: str = model.value("contract", str)
        self.dimension: int = model.value("architecture.embedding", int)
        try:
            self.template = np.array(model.value("input.template", list), np.float32).reshape(5, 2)
        except ValueError as error:
            raise model.lacks("input.template") from error

    @classmethod
    def load(cls, model: str | os.PathLike[str] = FACE_EMBEDDER, **execution: Unpack[ExecutionOptions]) -> "Embedder":
        """Load a released model by name, or a model folder or exported ONNX file by path; see `Detector.load`.

        Raises:
            ModelError: There is no such model, it is no face embedder, or its files are damaged.
            UsageError: There is no such device or runtime.
        """
        found = find(model, TASK)
        return cls(found, open_network(found, lambda: _build(found), Execution(**execution)))

    contract = property(lambda self: self.model_id, doc="The former name of `model_id`.")

    @cached_property
    def calibration(self) -> Calibration:
        """The similarity thresholds of the model.

        Raises:
            ModelError: The model is not calibrated.
        """
        return Calibration.of(self.model.info, self.name)

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed aligned faces.

        Args:
            chips: (N, 112, 112, 3) uint8 RGB, aligned to `template`; N may be 0.

        Returns:
            (N, dimension) float32 unit vectors.

        Raises:
            ValueError: The array has another shape or type.
            ModelError: The network did not give unit vectors.
        """
        if chips.dtype != np.uint8 or chips.ndim != 4 or chips.shape[1:] != (SIZE, SIZE, 3):
            wanted = f"N x {SIZE} x {SIZE} x 3 of uint8"
            raise ValueError(f"chips: expected {wanted}, got {' x '.join(map(str, chips.shape))} of {chips.dtype}")
        parts = [self.network(chips[start : start + BATCH]) for start in range(0, len(chips), BATCH)]
        if any(part.shape[1:] != (self.dimension,) for part in parts):
            raise self.model.lacks("architecture.embedding")
        embeddings = np.concatenate([np.zeros((0, self.dimension), np.float32), *parts])  # (N, D)
        if not np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-3):
            raise ModelError(f"model '{self.name}' does not give unit vectors; its weights are damaged")
        return embeddings


def _build(model: Model) -> "Module":
    from vision_app.faces.model.build import MIRROR, ByteFaces, build_network

    return ByteFaces(build_network(model.info["architecture"]), MIRROR in model.value("input.views", list))
