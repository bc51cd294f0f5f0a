"""Writes encoders and fast networks as model folders. Needs torch."""

from pathlib import Path

from vision_app.released.onnx_file import NETWORK
from vision_app.released.write import PIXELS, make_info, write_folder, write_info, write_onnx
from vision_app.style.fast import TASK as FAST_TASK
from vision_app.style.model.features import TASK, EncoderNetwork
from vision_app.style.model.network import STRIDE, STYLE_NETWORK, ContentInput, FastNetwork, StyleInput

FREE = {dimension: size for dimension, size in PIXELS.items() if size != "batch"}  # one picture at a time


def write_encoder(network: EncoderNetwork, folder: Path, *, name: str, **about) -> None:
    """Writes `weights.safetensors` and, last, `model.json` into a folder. There is no ONNX file: who uses an encoder
    needs its gradients.

    Args:
        **about: more for model.json, such as `measured`, `license` and `learned_from`.
    """
    info = make_info(
        network, name=name, task=TASK, architecture=network.config.to_dict() | {"type": "style-encoder"},
        input={"range": [0, 1]}, defaults={}, **about,
    )  # fmt: skip
    write_folder(folder, network, info, half=True)


def write_fast(network: FastNetwork, folder: Path, *, name: str, **about) -> None:
    """Writes `weights.safetensors`, `style.onnx`, `model.onnx` and, last, `model.json` into a folder.

    Args:
        **about: more for model.json, such as `measured`, `license` and `learned_from`.
    """
    config = network.config
    info = make_info(
        network, name=name, task=FAST_TASK, architecture=config.to_dict() | {"type": "style-fast"},
        input={"code": config.code, "statistics": config.statistics, "multiple": STRIDE, "overlap": config.reach},
        output="picture: 1, height, width, 3 in 0..1; used: 1, means and deviations of the content",
        defaults={}, **about,
    )  # fmt: skip
    write_folder(folder, network, info)
    network = network.cpu().eval()
    write_onnx(StyleInput(network), folder / STYLE_NETWORK, {"code": {}}, pixels=FREE)
    vectors = {"code": config.code, "statistics": config.statistics}
    outputs = {"picture": FREE, "used": {}}
    write_onnx(ContentInput(network), folder / NETWORK, outputs, inputs=vectors, pixels=FREE)
    write_info(folder, info)
