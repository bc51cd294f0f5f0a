"""Writes encoders and fast networks as model folders. Needs torch."""

from pathlib import Path

from torch import Tensor, nn

from vision_app import model_folder
from vision_app.model_folder import PIXELS, make_info, write_folder, write_info
from vision_app.onnx_file import NETWORK
from vision_app.style.fast import TASK as FAST_TASK
from vision_app.style.features import TASK, EncoderNetwork
from vision_app.style.network import STRIDE, FastNetwork

STYLE_NETWORK = "style.onnx"
FREE = {dimension: size for dimension, size in PIXELS.items() if size != "batch"}  # one picture at a time


class StyleInput(nn.Module):
    """(1, H, W, 3) uint8 RGB to the code of a style, (1, K)."""

    def __init__(self, network: FastNetwork):
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.encode(from_bytes(pixels))


class ContentInput(nn.Module):
    """(1, H, W, 3) uint8 RGB, a code (1, K) and statistics (1, M) to a picture (1, H, W, 3) in 0..1 and statistics."""

    def __init__(self, network: FastNetwork):
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor, code: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor]:
        picture, used = self.network.paint(from_bytes(pixels), code, statistics)
        return picture.permute(0, 2, 3, 1), used


def from_bytes(pixels: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) in 0..1."""
    return pixels.permute(0, 3, 1, 2).float() / 255


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
    model_folder.write_onnx(StyleInput(network), folder / STYLE_NETWORK, {"code": {}}, pixels=FREE)
    vectors = {"code": config.code, "statistics": config.statistics}
    outputs = {"picture": FREE, "used": {}}
    model_folder.write_onnx(ContentInput(network), folder / NETWORK, outputs, inputs=vectors, pixels=FREE)
    write_info(folder, info)
