"""A teacher: a trained network whose embeddings of the training faces a new one is to come close to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.faces.crops import FaceCrops

BATCH = 64  # faces
EVERY = 16  # batches between two times that what is done is kept


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network to learn from.

    Attributes:
        network: (B, 3, 112, 112) RGB 0..255 -> (B, D).
        identity: its name and digest.
        centered: whether its answers have a length, and are compared by what they differ from their mean in.
    """

    network: nn.Module
    identity: str
    centered: bool = False

    @torch.inference_mode()
    def answers(self, chips: np.ndarray) -> np.ndarray:
        """(n, D) the means of what it says of faces (n, 112, 112, 3) and of their mirror images."""
        pixels = torch.from_numpy(chips).permute(0, 3, 1, 2).float()
        return ((self.network(pixels) + self.network(pixels.flip(3))) / 2).numpy()


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
        (N, D) float32 unit vectors; where the teacher's answers have a length, directions from the mean of all faces.
    """
    key = f"{teacher.identity} {crops.digest()}"
    known = _kept(path, key)
    for start in range(len(known), len(crops), BATCH):
        answers = teacher.answers(crops.chips[start : start + BATCH])
        known = np.concatenate([known.reshape(-1, answers.shape[1]), answers])
        if len(known) == len(crops) or start // BATCH % EVERY == EVERY - 1:
            _keep(path, key, known)
            log(f"the teacher has looked at {len(known)} of {len(crops)} faces")
    if teacher.centered:
        known = known - known.mean(axis=0)
    return known / np.linalg.norm(known, axis=1, keepdims=True)


def _kept(path: Path, key: str) -> np.ndarray:
    """(n, D) the answers in a file, those of the first n faces; none where it is not there or holds other ones."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return content["answers"] if content["key"] == key else np.zeros((0, 0), np.float32)
    except (OSError, ValueError, KeyError):
        return np.zeros((0, 0), np.float32)


def _keep(path: Path, key: str, answers: np.ndarray) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, key=np.array(key), answers=answers)
    temporary.replace(path)
