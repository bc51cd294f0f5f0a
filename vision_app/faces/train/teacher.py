"""A teacher: a trained network whose embeddings of the training faces a new one learns to reproduce."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.core.errors import DataError
from vision_app.core.files import atomic_write
from vision_app.faces.train.crops import FaceCrops

BATCH, KEPT = 64, 1024  # faces that go through the network together, and between writing what is done


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network to learn from.

    Attributes:
        network: (B, 3, 112, 112) RGB 0..255 -> (B, D).
        identity: Its name and digest.
    """

    network: nn.Module
    identity: str

    @torch.inference_mode()
    def answers(self, chips: np.ndarray) -> np.ndarray:
        """Return (n, D) the mean outputs for faces, (n, 112, 112, 3) uint8, and their mirror images."""
        device, means = next(self.network.parameters()).device, []
        for start in range(0, len(chips), BATCH):
            part = np.ascontiguousarray(chips[start : start + BATCH])
            pixels = torch.from_numpy(part).to(device).permute(0, 3, 1, 2).float()
            means.append((self.network(pixels) + self.network(pixels.flip(3))) / 2)
        return torch.cat(means).cpu().numpy()


def teacher_loss(embeddings: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Return how far a student is from its teacher, face by face and in the similarities between faces.

    Args:
        embeddings: (N, D) unit vectors, the student's.
        targets: (N, D) unit vectors, the teacher's.
        weight: Of the similarities.

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
    """Return (N, D) float32 unit vectors: a teacher's mean output for each face and its mirror image.

    Args:
        teacher: To learn from.
        crops: N faces.
        path: Of the .npz file that stores its answers while they are computed. Those for the same faces by the same
            teacher are not computed again.
        log: Takes lines of progress.
    """
    key = f"{teacher.identity} {crops.digest()}"
    known = _stored(path, key)
    while len(known) < len(crops):
        answers = teacher.answers(crops.chips[len(known) : len(known) + KEPT])
        known = np.concatenate([known.reshape(-1, answers.shape[1]), answers])
        store_answers(path, key, known)
        log(f"the teacher has embedded {len(known)} of {len(crops)} faces")
    return F.normalize(torch.from_numpy(known)).numpy()


def read_targets(path: Path, crops: FaceCrops) -> np.ndarray:
    """Return (N, D) float32 unit vectors that `store_answers` wrote, with `crops.digest()` as their key.

    Raises:
        DataError: They are of other faces than these.
    """
    targets = _stored(path, crops.digest())
    if len(targets) != len(crops):
        raise DataError(f"{path}: not the answers of a teacher for these {len(crops)} faces")
    return targets


def store_answers(path: Path, key: str, answers: np.ndarray) -> None:
    """Write (n, D) answers to an .npz file; the key says whose they are and for which faces."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, key=np.array(key), answers=answers)


def _stored(path: Path, key: str) -> np.ndarray:
    """Return (n, D) the answers in a file, those of the first n faces; none if it is missing or has others."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return content["answers"] if content["key"] == key else np.zeros((0, 0), np.float32)
    except (OSError, ValueError, KeyError):
        return np.zeros((0, 0), np.float32)
