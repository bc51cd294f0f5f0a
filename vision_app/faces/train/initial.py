"""What training a face embedder starts from and learns from: models of ours, or dlib's published network."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from vision_app.core.errors import ModelError
from vision_app.faces.embedder import TASK
from vision_app.faces.model.network import FaceNetwork, FaceNetworkConfig
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.pretrained import load_dlib
from vision_app.faces.train.prune import RANKS, compressed
from vision_app.faces.train.teacher import Teacher
from vision_app.released.find import Model, find
from vision_app.released.runtime import load_weights
from vision_app.released.write import WEIGHTS
from vision_app.training.initialize import initialize

DLIB_TEMPLATE = ((36.60, 32.39), (75.40, 32.39), (56.00, 54.56), (39.94, 77.18), (72.06, 77.18))  # as dlib aligns faces
JUDGED = 1000  # faces by which dlib's network is made smaller


def starting_network(initial: Path | None, crops: FaceCrops, targets: np.ndarray) -> FaceNetwork:
    """The network that training starts from.

    Args:
        initial: a face embedder of ours, by its folder or name; the file of dlib's network, which is made smaller; or
            None for fresh weights.
        crops: the faces to learn from.
        targets: (N, 128) what a teacher says of them, or (N, 0).

    Raises:
        ModelError: `initial` is neither.
    """
    if initial is None:
        network = FaceNetwork(FaceNetworkConfig(ranks=RANKS))
        initialize(network, "he")
        return network
    if not initial.is_file():
        return released_network(find_embedder(initial))
    chosen = np.sort(np.random.default_rng(0).permutation(len(crops))[:JUDGED])
    chips, teacher = crops.chips[chosen], open_teacher(initial)
    goals = targets[chosen] if targets.shape[1] else teacher.targets(teacher.answers(chips))
    return compressed(teacher.network, chips, torch.from_numpy(goals))


def open_teacher(path: Path, device: str = "cpu") -> Teacher:
    """A face embedder of ours, by its folder or name, or the file of dlib's network.

    Raises:
        ModelError: it is neither.
    """
    network = load_dlib(path) if path.is_file() else released_network(find_embedder(path)).eval()
    return Teacher(network.to(device), identity(path), on_sphere=not path.is_file())


def template_of(path: Path) -> np.ndarray:
    """(5, 2) the template that faces are aligned to for a face embedder of ours or dlib's network.

    Raises:
        ModelError: it is neither.
    """
    if path.is_file():
        return np.float32(DLIB_TEMPLATE)
    return np.array(find_embedder(path).value("input.template", list), np.float32)


def released_network(model: Model) -> FaceNetwork:
    """A released face embedder as a module to train on.

    Raises:
        ModelError: its weights do not fit what model.json says.
    """
    network = FaceNetwork(FaceNetworkConfig.from_dict(model.info["architecture"]))
    load_weights(network, model.file(WEIGHTS))
    return network


def find_embedder(path: Path) -> Model:
    """A face embedder by its folder or name.

    Raises:
        ModelError: it is none.
    """
    model = find(path.resolve() if path.is_dir() else str(path), TASK)
    if model.task != TASK:
        raise ModelError(f"model '{model.name}' is for {model.task}, not for {TASK}")
    return model


def identity(path: Path | None) -> str:
    """The name and digest of a file, or of a model's weights; the same wherever they lie."""
    if path is None:
        return "none"
    file = path if path.is_file() else find_embedder(path).file(WEIGHTS)
    return f"{path.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
