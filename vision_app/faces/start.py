"""What training a face embedder starts from and learns from: models of ours, or dlib's published network."""

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file

from vision_app.errors import ModelError
from vision_app.faces.align import TEMPLATE
from vision_app.faces.dlib_weights import load_dlib
from vision_app.faces.embedder import TASK
from vision_app.faces.network import FaceNetwork, FaceNetworkConfig
from vision_app.faces.teacher import Teacher
from vision_app.model_folder import WEIGHTS
from vision_app.released import Model, find
from vision_app.training.initialize import initialize


def starting_network(initial: Path | None) -> tuple[FaceNetwork, np.ndarray]:
    """The network that training starts from and the template, (5, 2), that its faces are aligned to.

    Args:
        initial: a face embedder of ours, by its folder or name; or None for fresh weights.

    Raises:
        ModelError: it is none.
    """
    if initial is None:
        network = FaceNetwork()
        initialize(network, "he")
        return network, TEMPLATE
    model = find_embedder(initial)
    return released_network(model), np.array(model.value("input.template", list), np.float32)


def open_teacher(path: Path) -> Teacher:
    """A face embedder of ours, by its folder or name, or the file of dlib's network.

    Raises:
        ModelError: it is neither.
    """
    if path.is_file():
        return Teacher(load_dlib(path), identity(path), centered=True)
    return Teacher(released_network(find_embedder(path)).eval(), identity(path))


def released_network(model: Model) -> FaceNetwork:
    """A released face embedder as a module to train on.

    Raises:
        ModelError: its weights do not fit what model.json says.
    """
    network = FaceNetwork(FaceNetworkConfig.from_dict(model.info["architecture"]))
    try:
        network.load_state_dict(load_file(model.file(WEIGHTS)))
    except (RuntimeError, SafetensorError) as error:
        raise ModelError(f"{model.folder}: its weights do not fit its architecture ({error})") from error
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
