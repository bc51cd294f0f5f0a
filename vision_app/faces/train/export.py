"""Writes face embedders, checkers and landmarkers as model folders: weights, ONNX file, model.json. Needs torch."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vision_app.faces import checker, landmarker
from vision_app.faces.align import LANDMARKS, SIZE, TEMPLATE
from vision_app.faces.checker import CHECKS
from vision_app.faces.embedder import TASK
from vision_app.faces.model.aligned import ROLL_NUMBERS, ByteLandmarks, ByteQuality, LandmarkNetwork, QualityNetwork
from vision_app.faces.model.build import FACE, MIRROR, TYPES, AnyFaceNetwork, ByteFaces
from vision_app.faces.model.mobile import MobileFaceNetwork
from vision_app.released.find import WEIGHTS
from vision_app.released.write import describe, make_info, write_folder


def write_model(
    network: AnyFaceNetwork,
    folder: Path,
    *,
    name: str,
    template: np.ndarray = TEMPLATE,
    half: bool = True,
    mirrored: bool = True,
    **about: Any,
) -> None:
    """Write `weights.safetensors`, `model.onnx` and, last, `model.json` into a folder.

    Args:
        network: To write.
        folder: Of the model.
        name: Of the model.
        template: (5, 2) where the landmarks of the faces lie that the network learned from, see `align.align`.
        half: Whether weights are stored in half precision.
        mirrored: Whether an embedding is the mean of those of a face and its mirror image.
        **about: More for model.json, such as `measured`, `license`, `learned_from` and `calibration`.
    """
    info = make_info(
        network,
        name=name,
        task=TASK,
        architecture=asdict(network.config) | {"type": TYPES[type(network)]},
        input={
            "size": SIZE,
            "template": np.round(np.asarray(template, np.float64), 4).tolist(),
            "views": [FACE, MIRROR] if mirrored else [FACE],
        },
        output=f"batch, {network.config.embedding}: unit vectors",
        defaults={},
        **about,
    )
    size = SIZE if isinstance(network, MobileFaceNetwork) else None
    write_folder(folder, network, info, exported=partial(ByteFaces, mirrored=mirrored), size=size, half=half)
    weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    essence = json.dumps([weights, {key: info[key] for key in ("architecture", "input")}], sort_keys=True)
    # Stored in model.json, so that the folder and the file exported from it, which are different files, agree.
    describe(folder, contract=hashlib.sha256(essence.encode()).hexdigest()[:16])


def write_checker(
    network: QualityNetwork, folder: Path, *, name: str, limits: Sequence[float], half: bool = True, **about: Any
) -> None:
    """Write the folder of a `FaceChecker`.

    Args:
        network: To write.
        folder: Of the model.
        name: Of the model.
        limits: Of each check, the probability above which a face is unfit.
        half: Whether weights are stored in half precision.
        **about: More for model.json, such as `measured` and `license`.
    """
    info = make_info(
        network,
        name=name,
        task=checker.TASK,
        classes=CHECKS,
        architecture=network.to_dict() | {"type": checker.TASK},
        input={"size": SIZE},
        output=f"batch, {ROLL_NUMBERS + len(CHECKS)}: cosine and sine of the roll, probabilities of the checks",
        defaults={"limits": [round(float(limit), 4) for limit in limits]},
        **about,
    )
    write_folder(folder, network, info, exported=ByteQuality, half=half)


def write_landmarker(network: LandmarkNetwork, folder: Path, *, name: str, half: bool = True, **about: Any) -> None:
    """Write the folder of a `FaceLandmarker`; arguments as for `write_checker`."""
    info = make_info(
        network,
        name=name,
        task=landmarker.TASK,
        architecture=network.to_dict() | {"type": landmarker.TASK},
        input={"size": SIZE},
        output=f"batch, {len(LANDMARKS)}, 2: x, y in pixels of {', '.join(LANDMARKS)}",
        defaults={},
        **about,
    )
    write_folder(folder, network, info, exported=partial(ByteLandmarks, template=TEMPLATE), half=half)
