"""`FaceLandmarker`: finds the landmarks of faces again, more exactly, on the faces as they were aligned. NumPy only."""

import os
from typing import TYPE_CHECKING, Unpack

import numpy as np

from vision_app.core.errors import ModelError
from vision_app.core.images import RGBImage
from vision_app.faces.align import LANDMARKS, TEMPLATE, align_face, moved_back, similarity
from vision_app.released.execution import Execution, ExecutionOptions
from vision_app.released.find import Model, find
from vision_app.released.names import FACE_LANDMARKS
from vision_app.released.runtime import Network, open_network

if TYPE_CHECKING:
    from torch.nn import Module

TASK = "face-landmarks"
LOOKS = 2  # at each face; the second one is better aligned than the first
BATCH = 64  # faces that go through the network together


class FaceLandmarker:
    """A released network that sees where the landmarks of an aligned face are."""

    def __init__(self, model: Model, network: Network):
        self.model, self.network, self.name = model, network, model.name

    @classmethod
    def load(
        cls, model: str | os.PathLike[str] = FACE_LANDMARKS, **execution: Unpack[ExecutionOptions]
    ) -> "FaceLandmarker":
        """Load a released model by name, or a model folder or exported ONNX file by path; see `Detector.load`.

        Raises:
            ModelError: There is no such model, it does not find landmarks, or its files are damaged.
            UsageError: There is no such device or runtime.
        """
        found = find(model, TASK)
        return cls(found, open_network(found, lambda: _build(found), Execution(**execution)))

    def locate(self, chips: np.ndarray) -> np.ndarray:
        """Return (N, 5, 2) landmarks, x, y in pixels of (N, 112, 112, 3) uint8 RGB aligned faces; N may be 0.

        Raises:
            ModelError: The network did not give five places.
        """
        shape = len(LANDMARKS), 2
        parts = [self.network(chips[start : start + BATCH]) for start in range(0, len(chips), BATCH)]
        if any(part.shape[1:] != shape for part in parts):
            raise ModelError(f"model '{self.name}' does not give {shape[0]} places for a face; its files are damaged")
        return np.concatenate([np.zeros((0, *shape), np.float32), *parts])

    def refined(self, image: RGBImage, landmarks: np.ndarray) -> np.ndarray:
        """Return better landmarks (N, 5, 2) than these in a photo, x, y in pixels of it."""
        for _ in range(LOOKS if len(landmarks) else 0):
            found = self.locate(np.stack([align_face(image, points) for points in landmarks]))
            back = [moved_back(one, similarity(points)) for one, points in zip(found, landmarks, strict=True)]
            landmarks = np.stack(back).astype(np.float32)
        return landmarks


def _build(model: Model) -> "Module":
    from vision_app.faces.model.aligned import ByteLandmarks, LandmarkNetwork

    return ByteLandmarks(LandmarkNetwork.from_dict(model.info["architecture"]), TEMPLATE)
