"""Writes a face embedder as a model folder: weights, ONNX file and model.json. Needs torch."""

import hashlib
import json
from pathlib import Path

import numpy as np

from vision_app.faces.align import SIZE, TEMPLATE
from vision_app.faces.embedder import TASK
from vision_app.faces.model.network import ByteInput, FaceNetwork
from vision_app.released.write import WEIGHTS, describe, make_info, write_folder


def write_model(
    network: FaceNetwork, folder: Path, *, name: str, template: np.ndarray = TEMPLATE, half: bool = True, **about
) -> None:
    """Writes `weights.safetensors`, `model.onnx` and, last, `model.json` into a folder.

    Args:
        template: (5, 2) where the landmarks of the faces lie that the network learned from, see `align.align`.
        half: whether weights are stored in half precision.
        **about: more for model.json, such as `measured`, `license`, `learned_from` and `calibration`.
    """
    info = make_info(
        network,
        name=name,
        task=TASK,
        architecture=network.config.to_dict() | {"type": "face-embedder"},
        input={
            "size": SIZE,
            "template": np.round(np.asarray(template, np.float64), 4).tolist(),
            "views": ["face", "mirror image"],
        },
        output=f"batch, {network.config.embedding}: unit vectors",
        defaults={},
        **about,
    )
    write_folder(folder, network, info, exported=ByteInput, half=half)
    weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    describe(folder, contract=_contract(weights, {key: info[key] for key in ("architecture", "input")}))


def _contract(weights: str, essence: dict) -> str:
    """16 hexadecimal digits that change with the weights, the architecture and the preprocessing.

    They are kept in model.json, so that the folder and the file exported from it, which have different files, agree.
    """
    return hashlib.sha256(json.dumps([weights, essence], sort_keys=True).encode()).hexdigest()[:16]
