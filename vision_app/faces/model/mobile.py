"""A face network of depthwise-separable convolutions, the shape of SFace's. Needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

MIDDLE, SPREAD = 127.5, 128.0  # pixels become (x - 127.5) / 128


@dataclass(frozen=True)
class MobileFaceConfig:
    """The shape of a `MobileFaceNetwork`.

    Attributes:
        widths: Output channels of the stem and of each block.
        strides: Of the stem and of each block.
        bottleneck: Channels that the last feature map is reduced to before the linear layer; 0 for all of them.
        embedding: Length of an embedding.
        side: Of a face in pixels.
    """

    widths: tuple[int, ...] = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    strides: tuple[int, ...] = (1, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    bottleneck: int = 192
    embedding: int = 128
    side: int = 112

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "MobileFaceConfig":
        """Read model.json's architecture, whose other keys are ignored."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        return cls(**known | {name: tuple(known[name]) for name in ("widths", "strides") if name in known})


def unit(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Build a convolution with a bias and a PReLU of one slope a channel (He et al., 2015); batch norms are folded."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
    return nn.Sequential(convolution, nn.PReLU(outputs))


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Build a depthwise-separable convolution (Howard et al., MobileNets, 2017): 3 x 3 a channel, then 1 x 1."""
    return nn.Sequential(unit(inputs, inputs, 3, stride, inputs), unit(inputs, outputs, 1))


class MobileFaceNetwork(nn.Module):
    """MobileNet body, a reduction of the channels, and one linear layer over all places of the last feature map.

    Input: (B, 3, 112, 112) RGB, 0 to 255, faces aligned to the model's template. Output: (B, embedding) unit vectors.
    """

    def __init__(self, config: MobileFaceConfig = MobileFaceConfig()):
        super().__init__()
        self.config = config
        widths, strides = config.widths, config.strides
        self.stem = unit(3, widths[0], 3, strides[0])
        steps = zip(widths, widths[1:], strides[1:], strict=False)
        self.blocks = nn.Sequential(*(separable(*step) for step in steps))
        side = config.side
        for stride in strides:
            side = -(-side // stride)
        width = config.bottleneck or widths[-1]
        self.reduce = nn.Conv2d(widths[-1], width, 1) if config.bottleneck else nn.Identity()
        self.embedding = nn.Linear(width * side * side, config.embedding)

    @property
    def input_layers(self) -> tuple[nn.Module, ...]:
        """The layers before the first block."""
        return (self.stem,)

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, 112, 112) -> (B, last width, S, S), S the side after all strides."""
        features: Tensor = self.blocks(self.stem((x - MIDDLE) / SPREAD))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 112, 112) -> (B, embedding)."""
        return F.normalize(self.embedding(self.reduce(self.features(x)).flatten(1)).float())
