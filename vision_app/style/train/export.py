"""Write encoders and fast networks as model folders. Needs torch."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from vision_app.released.onnx_file import NETWORK
from vision_app.released.write import PIXELS, make_info, write_folder, write_info, write_onnx
from vision_app.style.fast import TASK as FAST_TASK
from vision_app.style.model.features import TASK, EncoderNetwork
from vision_app.style.model.network import STRIDE, STYLE_NETWORK, FastNetwork, PixelsToCode, PixelsToImage

FREE = {dimension: size for dimension, size in PIXELS.items() if size != "batch"}  # one image at a time


def write_encoder(network: EncoderNetwork, folder: Path, *, name: str, half: bool = True, **about: Any) -> None:
    """Write `weights.safetensors` and `model.json` into a folder.

    There is no ONNX file: who uses an encoder needs its gradients.

    Args:
        network: The encoder.
        folder: Made if it is missing.
        name: Of the model.
        half: Whether weights are stored in half precision.
        **about: More for model.json, such as `measured`, `license` and `learned_from`.
    """
    architecture = asdict(network.config) | {"type": "style-encoder"}
    info = make_info(
        network, name=name, task=TASK, architecture=architecture, input={"range": [0, 1]}, defaults={}, **about
    )
    write_folder(folder, network, info, half=half)


def write_fast(network: FastNetwork, folder: Path, *, name: str, **about: Any) -> None:
    """Write `weights.safetensors`, `style.onnx`, `model.onnx` and `model.json` into a folder.

    Args:
        network: The network.
        folder: Made if it is missing.
        name: Of the model.
        **about: More for model.json, such as `measured`, `license` and `learned_from`.
    """
    config = network.config
    vectors = {"code": config.code, "statistics": config.statistics}
    info = make_info(
        network, name=name, task=FAST_TASK, architecture=asdict(config) | {"type": "style-fast"},
        input={**vectors, "multiple": STRIDE, "overlap": config.reach},
        output="picture: 1, height, width, 3 in 0..1; used: 1, means and deviations of the content",
        defaults={}, **about,
    )  # fmt: skip
    write_folder(folder, network, info)
    network = network.cpu().eval()
    write_onnx(PixelsToCode(network), folder / STYLE_NETWORK, {"code": {}}, pixels=FREE)
    outputs = {"picture": FREE, "used": {}}
    write_onnx(PixelsToImage(network), folder / NETWORK, outputs, inputs=vectors, pixels=FREE)
    write_info(folder, info)
