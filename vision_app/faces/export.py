"""Writes a face embedder as a model folder: weights, ONNX file and model.json. Needs torch."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.faces.align import SIZE, TEMPLATE
from vision_app.faces.embedder import TASK
from vision_app.faces.network import FaceNetwork
from vision_app.model_folder import WEIGHTS, describe, write_folder


class ByteInput(nn.Module):
    """A face network behind the input that is exported, (B, H, W, 3) uint8 RGB, which looks at each face and at its
    mirror image: (B, D) unit vectors between those of the two, which tell people apart better than either.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        faces = pixels.permute(0, 3, 1, 2).float()
        views = self.network(torch.cat([faces, faces.flip(3)])).unflatten(0, (2, -1))  # (2, B, D)
        return F.normalize(views.sum(dim=0))


def write_model(
    network: FaceNetwork, folder: Path, *, name: str, template: np.ndarray = TEMPLATE, half: bool = True, **about
) -> None:
    """Writes `weights.safetensors`, `model.onnx` and, last, `model.json` into a folder.

    Args:
        template: (5, 2) where the landmarks of the faces lie that the network learned from, see `align.align`.
        half: whether weights are stored in half precision.
        **about: more for model.json, such as `measured`, `license`, `learned_from` and `calibration`.
    """
    essence = {
        "architecture": network.config.to_dict() | {"type": "face-embedder"},
        "input": {
            "size": SIZE,
            "template": np.round(np.asarray(template, np.float64), 4).tolist(),
            "color": "RGB",
            "layout": "batch, height, width, 3 uint8",
            "views": ["face", "mirror image"],
        },
    }
    info = {
        "name": name,
        "version": "1",
        "task": TASK,
        "classes": [],
        **essence,
        "output": f"batch, {network.config.embedding}: unit vectors",
        "defaults": {},
        "parameters": sum(p.numel() for p in network.parameters()),
        **about,
    }
    write_folder(folder, network, info, exported=ByteInput, half=half)
    weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    describe(folder, contract=_contract(weights, essence))


def _contract(weights: str, essence: dict) -> str:
    """16 hexadecimal digits that change with the weights, the architecture and the preprocessing.

    They are kept in model.json, so that the folder and the file exported from it, which have different files, agree.
    """
    return hashlib.sha256(json.dumps([weights, essence], sort_keys=True).encode()).hexdigest()[:16]
