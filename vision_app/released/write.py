"""Write a trained network as a model folder, which `released.find` opens: weights, ONNX file and model.json."""

import copy
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from vision_app.core.files import atomic_write
from vision_app.released.find import WEIGHTS
from vision_app.released.onnx_file import NETWORK, entry, halve, pack


def make_info(
    network: nn.Module,
    *,
    name: str,
    task: str,
    architecture: dict[str, Any],
    input: dict[str, Any],
    output: str | None = None,
    classes: Sequence[str] = (),
    defaults: dict[str, Any],
    **about: Any,
) -> dict[str, Any]:
    """Return the content of model.json, except its `files`.

    Args:
        network: Its parameters are counted.
        name: Of the model.
        task: What `released.find` is asked for.
        architecture: Its `type` decides which class opens the model.
        input: How an image becomes the network's input, besides that it is RGB.
        output: What the ONNX file gives, by dimension and column; None where there is no such file.
        classes: Names, in the order of the network's output.
        defaults: Of the options of prediction.
        **about: More, such as `measured`, `license` and `learned_from`.
    """
    exported = {} if output is None else {"output": output}
    layout = {"layout": "batch, height, width, 3 uint8"} if exported else {}
    return {
        "name": name,
        "version": "1",
        "task": task,
        "architecture": architecture,
        "classes": list(classes),
        "input": {**input, "color": "RGB", **layout},
        **exported,
        "defaults": defaults,
        "parameters": sum(p.numel() for p in network.parameters()),
        **about,
    }


def write_folder(
    folder: Path,
    network: nn.Module,
    info: dict[str, Any],
    *,
    exported: Callable[[nn.Module], nn.Module] | None = None,
    axes: Mapping[int, str] | None = None,
    size: int | None = None,
    half: bool = False,
) -> None:
    """Write `weights.safetensors`, `model.onnx` if asked for and, last, `model.json` into a folder.

    Args:
        folder: Made when missing.
        network: Stays as it is.
        info: For model.json, see `make_info`.
        exported: Puts the network behind the input of the ONNX file, see `write_onnx`; by default there is none.
        axes: Free sizes of the ONNX file's output, by dimension.
        size: Side of its input in pixels where that is fixed.
        half: Whether the weights of convolutions and matrix products are stored in half precision (IEEE binary16), in
            both files alike; networks compute in single precision all the same.
    """
    network = copy.deepcopy(network).cpu().eval()
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: tensor.detach().contiguous() for key, tensor in network.state_dict().items()}
    if half:
        tensors = {key: tensor.half() if tensor.ndim > 1 else tensor for key, tensor in tensors.items()}
        network.load_state_dict(tensors)
    with atomic_write(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
        temporary.chmod(0o644)  # safetensors leaves it to its owner alone
    if exported is not None:
        write_onnx(exported(network), folder / NETWORK, {"predictions": axes or {0: "batch"}}, size=size, half=half)
    write_info(folder, info)


PIXELS = {0: "batch", 1: "height", 2: "width"}  # free sizes of (batch, height, width, 3) pixels


def write_onnx(
    module: nn.Module,
    path: Path,
    outputs: Mapping[str, Mapping[int, str]],
    *,
    inputs: Mapping[str, int] | None = None,
    pixels: Mapping[int, str] = PIXELS,
    size: int | None = None,
    half: bool = False,
) -> None:
    """Write a network that takes (batch, height, width, 3) uint8 RGB pixels, named "pixels", and maybe vectors.

    Args:
        module: Takes these; in evaluation mode, on the CPU.
        path: The file to write.
        outputs: Names of what it gives, with their free sizes by dimension.
        inputs: Names and lengths of the vectors, (1, length) float32, that it takes besides.
        pixels: Free sizes of the pixels; the batch is 1 if it is not among them.
        size: Height and width where they are fixed.
        half: Whether weights that half precision represents exactly are stored in it. Batch norms then stay apart from
            the convolutions in front of them; otherwise the exporter folds them in.
    """
    inputs = inputs or {}
    shape = (size, size) if size else (416, 384)
    pixels = {0: PIXELS[0]} if size else pixels
    example = torch.zeros(1, *shape, 3, dtype=torch.uint8), *(torch.zeros(1, length) for length in inputs.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter fixes the sizes of our networks
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1")  # a slice that is not folded works as well
        torch.onnx.export(
            module, example, path, dynamo=False, opset_version=17,
            input_names=["pixels", *inputs], output_names=list(outputs),
            dynamic_axes={"pixels": dict(pixels)} | {name: dict(axes) for name, axes in outputs.items() if axes},
            training=torch.onnx.TrainingMode.PRESERVE if half else torch.onnx.TrainingMode.EVAL,
            do_constant_folding=not half,
        )  # fmt: skip
    if half:
        with atomic_write(path) as temporary:
            temporary.write_bytes(halve(path.read_bytes()))


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Write model.json with the digests of the folder's files, and the ONNX files' copies of it.

    Raises:
        ValueError: A number in `info` is not finite, which JSON cannot express; nothing has changed.
    """
    networks = sorted(folder.glob("*.onnx"))
    for network in networks:
        with atomic_write(network) as temporary:
            temporary.write_bytes(pack(network.read_bytes(), info))
    files = {path.name: entry(path.read_bytes()) for path in (folder / WEIGHTS, *networks) if path.exists()}
    info = info | {"files": files}  # last, since nobody reads digests
    text = json.dumps(info, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(folder / "model.json") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def describe(folder: Path, **about: Any) -> None:
    """Add to or change what a model folder's model.json says, and the ONNX files' copies of it."""
    info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    del info["files"]
    write_info(folder, info | about)
