"""A teacher: a trained network whose embeddings of the training faces a new one is to come close to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.core.files import atomic_write
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.prune import Sphere

BATCH, KEPT = 64, 1024  # faces that go through the network together, and after which what is done is kept


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network to learn from.

    Attributes:
        network: (B, 3, 112, 112) RGB 0..255 -> (B, D).
        identity: its name and digest.
        on_sphere: whether its answers are unit vectors, as ours are; dlib's are compared by Euclidean distance.
    """

    network: nn.Module
    identity: str
    on_sphere: bool = True

    @torch.inference_mode()
    def answers(self, chips: np.ndarray) -> np.ndarray:
        """(n, D) the means of what it says of faces, (n, 112, 112, 3) uint8, and of their mirror images."""
        device, means = next(self.network.parameters()).device, []
        for start in range(0, len(chips), BATCH):
            part = np.ascontiguousarray(chips[start : start + BATCH])
            pixels = torch.from_numpy(part).to(device).permute(0, 3, 1, 2).float()
            means.append((self.network(pixels) + self.network(pixels.flip(3))) / 2)
        return torch.cat(means).cpu().numpy()

    def targets(self, answers: np.ndarray) -> np.ndarray:
        """(N, D) answers to all faces to learn from -> unit vectors whose cosines say the same."""
        vectors = torch.from_numpy(answers)
        return (F.normalize(vectors) if self.on_sphere else Sphere.of(vectors)(vectors)).numpy()


def teacher_loss(embeddings: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """How far a student is from its teacher, face by face and in how alike it finds faces to each other.

    Args:
        embeddings, targets: (N, D) unit vectors, the student's and the teacher's.

    Returns:
        The mean over faces of 1 - cosine, 0 to 2, and `weight` times the mean over pairs of the squared difference of
        their cosines (the relations between a batch's samples, after Park et al., 2019, and Tung and Mori, 2019).
    """
    distance = (1 - (embeddings * targets).sum(dim=1)).mean()
    relations = F.mse_loss(embeddings @ embeddings.T, targets @ targets.T)
    return distance, weight * relations


def teacher_targets(
    teacher: Teacher, crops: FaceCrops, path: Path, log: Callable[[str], None] = lambda line: None
) -> np.ndarray:
    """What a teacher says of each face, from its mean over the face and the face's mirror image.

    Args:
        path: of the .npz file in which the teacher's answers are kept while they are computed. What it holds of the
            same faces by the same teacher is not computed again.
        log: takes lines of progress.

    Returns:
        (N, D) float32 unit vectors.
    """
    key = f"{teacher.identity} {crops.digest()}"
    known = _kept(path, key)
    while len(known) < len(crops):
        answers = teacher.answers(crops.chips[len(known) : len(known) + KEPT])
        known = np.concatenate([known.reshape(-1, answers.shape[1]), answers])
        _keep(path, key, known)
        log(f"the teacher has looked at {len(known)} of {len(crops)} faces")
    return teacher.targets(known)


def _kept(path: Path, key: str) -> np.ndarray:
    """(n, D) the answers in a file, those of the first n faces; none where it is not there or holds other ones."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return content["answers"] if content["key"] == key else np.zeros((0, 0), np.float32)
    except (OSError, ValueError, KeyError):
        return np.zeros((0, 0), np.float32)


def _keep(path: Path, key: str, answers: np.ndarray) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, key=np.array(key), answers=answers)
