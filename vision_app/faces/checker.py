"""`FaceChecker`: sees whether aligned faces are upright, natural, whole and clear. NumPy only."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from vision_app.core.errors import ModelError
from vision_app.core.images import RGBImage
from vision_app.core.results import subset
from vision_app.faces.align import SIZE, align_face
from vision_app.released.execution import Execution, ExecutionOptions
from vision_app.released.find import Model, find
from vision_app.released.names import FACE_QUALITY
from vision_app.released.runtime import Network, open_network

if TYPE_CHECKING:
    from torch.nn import Module

TASK = "face-quality"
UNSURE_LANDMARKS, UNNATURAL_SHAPE, UNNATURAL_TONE = "unsure_landmarks", "unnatural_shape", "unnatural_tone"
MOUTH_COVERED, EYES_COVERED = "mouth_covered", "eyes_covered"
DEGRADED, HALF_HIDDEN = "degraded", "half_hidden"
CHECKS = (
    UNSURE_LANDMARKS, UNNATURAL_SHAPE, UNNATURAL_TONE, MOUTH_COVERED, EYES_COVERED, DEGRADED, HALF_HIDDEN,
)  # fmt: skip
MAX_ROLL = 12.0  # degrees by which an aligned face may still seem turned
BATCH = 64  # faces that go through the network together


@dataclass(frozen=True, eq=False)
class Checks:
    """What a `FaceChecker` sees in N aligned faces.

    Attributes:
        roll: (N,) degrees by which each is still turned clockwise.
        probabilities: (N, C) of what `CHECKS` names.
        bad: (N, C) bool, which of them are above their limit; a face that seems turned has unsure landmarks, too.
    """

    roll: np.ndarray
    probabilities: np.ndarray
    bad: np.ndarray

    def __len__(self) -> int:
        return len(self.roll)

    def __getitem__(self, index: np.ndarray) -> "Checks":
        """Return those of a mask or of indices."""
        return subset(self, index, "roll", "probabilities", "bad")

    @property
    def unsure(self) -> np.ndarray:
        """(N,) the probability of unsure landmarks."""
        return self.probabilities[:, CHECKS.index(UNSURE_LANDMARKS)]

    @property
    def sure(self) -> np.ndarray:
        """(N,) bool, which faces stand upright, with landmarks where they belong."""
        return ~self.bad[:, CHECKS.index(UNSURE_LANDMARKS)]


class FaceChecker:
    """A released network that judges aligned faces.

    Raises:
        ModelError: Something is missing from model.json, or the model makes other checks, as one of an older version.
    """

    def __init__(self, model: Model, network: Network):
        self.model, self.network = model, network
        self.name = model.name
        self.limits = np.array(model.value("defaults.limits", list), np.float32)
        if model.classes != CHECKS:
            made, wanted = (", ".join(names) or "nothing" for names in (model.classes, CHECKS))
            raise ModelError(
                f"model '{model.name}' checks {made}; this version needs {wanted}: use '{FACE_QUALITY}' or train again"
            )
        if self.limits.shape != (len(CHECKS),):
            raise model.lacks("defaults.limits")

    @classmethod
    def load(cls, model: str | os.PathLike[str] = FACE_QUALITY, **execution: Unpack[ExecutionOptions]) -> "FaceChecker":
        """Load a released model by name, or a model folder or exported ONNX file by path; see `Detector.load`.

        Raises:
            ModelError: There is no such model, it does not check faces, or its files are damaged.
            UsageError: There is no such device or runtime.
        """
        found = find(model, TASK)
        return cls(found, open_network(found, lambda: _build(found), Execution(**execution)))

    def check(self, chips: np.ndarray) -> Checks:
        """Check (N, 112, 112, 3) uint8 RGB, faces aligned to `align.TEMPLATE`; N may be 0."""
        parts = [self.network(chips[start : start + BATCH]) for start in range(0, len(chips), BATCH)]
        answer = np.concatenate([np.zeros((0, 2 + len(CHECKS)), np.float32), *parts])
        roll = np.degrees(np.arctan2(answer[:, 1], answer[:, 0]))
        bad = answer[:, 2:] > self.limits
        bad[:, CHECKS.index(UNSURE_LANDMARKS)] |= np.abs(roll) > MAX_ROLL
        return Checks(roll, answer[:, 2:], bad)

    def at(self, image: RGBImage, landmarks: np.ndarray) -> Checks:
        """Check the faces at (N, 5, 2) landmarks in pixels of a photo."""
        chips = [align_face(image, points) for points in landmarks]
        return self.check(np.stack(chips) if chips else np.zeros((0, SIZE, SIZE, 3), np.uint8))


def _build(model: Model) -> "Module":
    from vision_app.faces.model.aligned import ByteQuality, QualityNetwork

    return ByteQuality(QualityNetwork.from_dict(model.info["architecture"]))
