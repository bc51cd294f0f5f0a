"""Writes a face embedder as a model folder: weights, ONNX file and model.json. Needs torch."""

import hashlib
import json
from pathlib import Path

import numpy as np

from vision_app.faces.align import SIZE, TEMPLATE
from vision_app.faces.embedder import TASK
from vision_app.faces.model.network import ByteInput, FaceNetwork
from vision_app.released.write import WEIGHTS, describe, write_folder


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
