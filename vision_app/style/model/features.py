"""The encoder in whose features content and style are compared.

It has the layers of VGG-19 up to conv5_1 (Simonyan and Zisserman, 2015), by default at a quarter of the widths, which
makes it about a tenth as expensive; it is trained to reproduce VGG-19's features, see `train.encoder`.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.core.errors import ModelError
from vision_app.released.find import find
from vision_app.released.names import STYLE_ENCODER
from vision_app.released.published import fetch
from vision_app.released.runtime import load_module

STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CONTENT_LAYER = "conv4_2"
LAYERS = (*STYLE_LAYERS[:4], CONTENT_LAYER, STYLE_LAYERS[4])
TASK = "style-features"
PADDINGS = ("reflect", "zeros")

VGG19_MEAN, VGG19_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB in 0..1


@dataclass(frozen=True)
class EncoderConfig:
    """The architecture of an encoder.

    Attributes:
        widths: Channels of the five blocks, between which images are halved.
        depths: Convolutions of each block.
        padding: "reflect" or "zeros", at the borders of images.
        heads: Channels of a linear map for each of `LAYERS`, to be compared with a teacher, 0 for no such map; empty
            without a teacher.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 128)
    depths: tuple[int, ...] = (2, 2, 4, 4, 1)
    padding: Literal["reflect", "zeros"] = "reflect"
    heads: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.depths) or not 1 <= len(self.widths) <= 5:
            raise ValueError(f"{len(self.widths)} widths and {len(self.depths)} depths: must be as many, 1 to 5")
        if self.padding not in PADDINGS:
            raise ValueError(f"padding {self.padding!r}: must be one of {', '.join(PADDINGS)}")
        if len(self.heads) not in (0, len(LAYERS)):
            raise ValueError(f"{len(self.heads)} heads: must be none or one for each of {', '.join(LAYERS)}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read JSON values of the fields; other keys are ignored."""
        known: dict[str, Any] = {key: values[key] for key in cls.__dataclass_fields__ if key in values}
        return cls(**known | {key: tuple(value) for key, value in known.items() if isinstance(value, list)})


VGG19 = EncoderConfig(widths=(64, 128, 256, 512, 512), padding="zeros")


class EncoderNetwork(nn.Module):
    """3 x 3 convolutions with ReLU, named as in VGG: conv3_2 is the second one of the third block."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: EncoderConfig = EncoderConfig()):
        super().__init__()
        self.config = config
        self.blocks = [
            [f"conv{block}_{place}" for place in range(1, depth + 1)] for block, depth in enumerate(config.depths, 1)
        ]
        self.convs, self.heads = nn.ModuleDict(), nn.ModuleDict()
        heads = dict(zip(LAYERS, config.heads, strict=False))
        before = 3
        for names, width in zip(self.blocks, config.widths, strict=True):
            for name in names:
                self.convs[name] = nn.Conv2d(before, width, 3, padding=1, padding_mode=config.padding)
                before = width
        for name, width in heads.items():
            if width:
                self.heads[name] = nn.Conv2d(config.widths[int(name[4]) - 1], width, 1)
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("deviation", torch.ones(3, 1, 1))

    def forward(self, images: Tensor, layers: Collection[str] = LAYERS) -> dict[str, Tensor]:
        """Return the features after ReLU of some layers; deeper ones are not computed.

        Args:
            images: (B, 3, H, W), RGB in 0..1.
            layers: Names of layers.

        Returns:
            By layer; those of block b are (B, widths[b - 1], H // 2^(b - 1), W // 2^(b - 1)).

        Raises:
            ValueError: There is no such layer.
        """
        if unknown := set(layers) - set(self.convs):
            raise ValueError(f"no layer {', '.join(sorted(unknown))}; there are {', '.join(self.convs)}")
        features: dict[str, Tensor] = {}
        x = (images - self.mean) / self.deviation
        for block, names in enumerate(self.blocks):
            if len(features) == len(set(layers)):
                break
            x = F.max_pool2d(x, 2) if block else x
            for name in names:
                x = F.relu(self.convs[name](x))
                if name in layers:
                    features[name] = x
        return features

    def teach(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs of the heads for features, in the teacher's channels: (B, heads, h, w) by layer."""
        return {name: F.relu(self.heads[name](x)) for name, x in features.items() if name in self.heads}


def load_encoder(name: str | os.PathLike[str] = STYLE_ENCODER, device: str = "cpu") -> EncoderNetwork:
    """Load an encoder in evaluation mode, whose weights take no gradients.

    Args:
        name: A released model or a model folder; "vgg19" for the full-size network with torchvision's weights, which
            are downloaded once into torch's own cache, see `released.published`; or a `.pth` file with these.
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: There is no such model, it cannot be downloaded, or its file is damaged or not one of an encoder.
    """
    name = os.fspath(name)
    network = _vgg19(name) if name == "vgg19" or name.endswith(".pth") else _released(name)
    return network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)


def _released(name: str) -> EncoderNetwork:
    model = find(name, TASK)
    return load_module(model, lambda: EncoderNetwork(EncoderConfig.from_dict(model.value("architecture", dict))))


def _vgg19(name: str) -> EncoderNetwork:
    """Load VGG-19 with torchvision's weights, downloaded or from a file."""
    path = _published(name) if name == "vgg19" else Path(name)
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{name}: cannot be read ({error})") from error
    except Exception as error:  # torch does not say what it raises for other files
        raise ModelError(f"{name}: not a file of torch weights") from error
    network = EncoderNetwork(VGG19)
    try:
        for conv, place in zip(network.convs.values(), _places(VGG19.depths), strict=True):
            conv.load_state_dict({key: weights[f"features.{place}.{key}"] for key in ("weight", "bias")})
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"{name}: not the weights of torchvision's VGG-19 ({error})") from error
    network.mean.copy_(torch.tensor(VGG19_MEAN)[:, None, None])
    network.deviation.copy_(torch.tensor(VGG19_DEVIATION)[:, None, None])
    return network


def _published(name: str) -> Path:
    """Return the file of torchvision's weights, downloaded once."""
    from torchvision.models import VGG19_Weights

    weights = VGG19_Weights.IMAGENET1K_V1
    return fetch(name, weights.url, weights.meta["_file_size"])


def _places(depths: Collection[int]) -> list[int]:
    """Return the indices of convolutions in torchvision's list of layers, which counts ReLUs and pooling as well."""
    places, place = [], 0
    for depth in depths:
        places += [place + 2 * i for i in range(depth)]
        place += 2 * depth + 1
    return places  # 0, 2, 5, 7, 10, ...
