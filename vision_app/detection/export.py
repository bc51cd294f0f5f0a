"""Writes a detector as a model folder: weights, ONNX file and model.json."""

import copy
import hashlib
import json
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file

from vision_app.detection.grid import FIRST_CLASS
from vision_app.detection.yolo import YOLO, ByteInput
from vision_app.letterbox import PAD
from vision_app.onnx_file import pack

INPUT_SIZE = 416


def export_onnx(network: YOLO, path: Path) -> None:
    """Writes a network that takes (batch, height, width, 3) uint8 RGB and gives (batch, N, 5 + p), all sizes free.

    The exporter folds batch norms into the convolutions in front of them.
    """
    module = ByteInput(copy.deepcopy(network)).cpu().eval()
    example = torch.zeros(1, INPUT_SIZE, INPUT_SIZE - 32, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter fixes the sizes of this network
        torch.onnx.export(
            module, (example,), path, dynamo=False, opset_version=17,
            input_names=["pixels"], output_names=["predictions"],
            dynamic_axes={"pixels": {0: "batch", 1: "height", 2: "width"}, "predictions": {0: "batch", 1: "rows"}},
        )  # fmt: skip


def write_model(
    network: YOLO,
    folder: Path,
    *,
    name: str,
    classes: tuple[str, ...],
    defaults: dict,
    size: int = INPUT_SIZE,
    stretch: float = 1.0,
    **about,
) -> None:
    """Writes `weights.safetensors`, `model.onnx` and, last, `model.json` into a folder.

    Args:
        classes: names, p of them.
        defaults: confidence, iou and max_detections that postprocessing uses unless told otherwise.
        size: length in pixels that a photo's long side is scaled to, a multiple of 32.
        stretch: how far the short side may be scaled up beyond that, see `letterbox.letterbox_shape`.
        **about: more for model.json, such as `measured`, `license` and `learned_from`.
    """
    if network.config.classes != len(classes):
        raise ValueError(f"the network has {network.config.classes} classes, {len(classes)} names were given")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    save_file(tensors, folder / "weights.safetensors")
    (folder / "weights.safetensors").chmod(0o644)  # safetensors leaves it to its owner alone
    export_onnx(network, folder / "model.onnx")
    info = {
        "name": name,
        "version": "1",
        "task": "detection",
        "architecture": network.config.to_dict(),
        "classes": list(classes),
        "input": {
            "size": size,
            "pad": PAD,
            "stretch": stretch,
            "color": "RGB",
            "layout": "batch, height, width, 3 uint8",
        },
        "output": f"batch, rows, {FIRST_CLASS} + {len(classes)}: p_c, t_x, t_y, t_h, t_w, classes; logits and offsets",
        "defaults": defaults,
        "parameters": sum(p.numel() for p in network.parameters()),
        **about,
    }
    _write_info(folder, info)


def describe(folder: Path, **about) -> None:
    """Adds to or changes what a model folder's model.json says, and the ONNX file's copy of it."""
    info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    del info["files"]
    _write_info(folder, info | about)


def _write_info(folder: Path, info: dict) -> None:
    network = folder / "model.onnx"
    network.write_bytes(pack(network.read_bytes(), info))
    files = {file: _entry(folder / file) for file in ("weights.safetensors", network.name)}
    text = json.dumps(info | {"files": files}, indent=1, ensure_ascii=False)  # last, since nobody reads digests
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")


def _entry(path: Path) -> dict:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
