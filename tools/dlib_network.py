"""Read dlib's face recognition network (Davis King, 2017, public domain) as a `FaceNetwork`, without dlib.

The file `dlib_face_recognition_resnet_model_v1.dat` is dlib's own serialization. Each layer with weights has its name,
a few packed integers and then a tensor of little-endian float32: integers are a byte with the sign and the number of
bytes, and that many bytes; a tensor is its version (2), its four sizes and its values.
"""

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vision_app.core.errors import ModelError
from vision_app.faces.model.network import FaceNetwork

# Where its own alignment places eyes, nose and corners of the mouth in 112 x 112 pixels: medians over 27,000 faces,
# made symmetric.
TEMPLATE = np.array([[36.6, 32.39], [75.4, 32.39], [56.0, 54.56], [39.94, 77.18], [72.06, 77.18]], np.float32)
_LAYER = re.compile(rb"con_4|affine_|fc_2")
_TENSOR = 2  # version of how a tensor is written


class DlibNetwork(FaceNetwork):
    """dlib's network, whose vectors are not normalized: (B, 3, S, S) RGB, 0 to 255 -> (B, 128).

    Two photos show one person where the Euclidean distance of their vectors is below about 0.6.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 128)."""
        return self.embedding(self.features(x))


def load_dlib(path: Path) -> DlibNetwork:
    """Return dlib's network in evaluation mode.

    Raises:
        ModelError: The file is not that network.
    """
    network = DlibNetwork().eval()
    layers = [network.stem, network.norm]
    for block in network.blocks:
        layers += [block.first, block.norm1, block.second, block.norm2]
    try:
        tensors = _tensors(Path(path).read_bytes())
        if len(tensors) != len(layers) + 1:
            raise ValueError(f"{len(tensors)} layers, expected {len(layers) + 1}")
        with torch.no_grad():
            for layer, values in zip([*layers, network.embedding], tensors, strict=True):
                _fill(layer, torch.from_numpy(values))
    except (OSError, ValueError, IndexError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path}: not dlib's face recognition network ({reason})") from error
    return network


def _tensors(content: bytes) -> list[np.ndarray]:
    """Return the values of each layer, from the input to the output."""
    tensors, end = [], 0
    while found := _LAYER.search(content, end):
        at = found.end()
        if found.group() == b"fc_2":  # outputs and inputs come first
            at = _integer(content, _integer(content, at)[1])[1]
        version, at = _integer(content, at)
        count = 1
        for _ in range(4):
            size, at = _integer(content, at)
            count *= size
        end = at + 4 * count
        if version != _TENSOR or end > len(content):
            raise ValueError("damaged or of another version")
        tensors.append(np.frombuffer(content, "<f4", count, at).copy())
    return tensors


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """Return a packed integer without its sign, and where the next value begins."""
    size = content[at]
    return int.from_bytes(content[at + 1 : at + 1 + size], "little"), at + 1 + size


def _fill(layer: nn.Module, values: Tensor) -> None:
    """Copy a layer's weights, in dlib's order."""
    if isinstance(layer, nn.Linear):  # dlib's is inputs x outputs and has no bias
        layer.weight.copy_(values.view(layer.in_features, layer.out_features).T)
        layer.bias.zero_()
        return
    if isinstance(layer, nn.BatchNorm2d):  # dlib stores a factor and a shift
        layer.running_var.fill_(1 - layer.eps)
    weight, bias = values.split([layer.weight.numel(), layer.bias.numel()])
    layer.weight.copy_(weight.view_as(layer.weight))
    layer.bias.copy_(bias)
