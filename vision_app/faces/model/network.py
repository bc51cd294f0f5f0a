"""The network that turns an aligned face into a vector. Needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import chain, repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.core.tensors import BatchNorm

CENTER = (122.782, 117.001, 104.298)  # mean RGB that is subtracted; then pixels are divided by 256


@dataclass(frozen=True)
class FaceNetworkConfig:
    """The shape of a `FaceNetwork`.

    Attributes:
        widths: Channels of each stage; the first one is that of the stem.
        depths: Residual blocks of each stage. All stages but the first begin with one of stride 2.
        ranks: Of the two convolutions of each block, see `convolution`; 0 leaves one whole, and so does a missing pair.
        embedding: Numbers of a vector.
        inner: Side in pixels that the face is scaled to before the first convolution.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    depths: tuple[int, ...] = (3, 4, 3, 3, 1)
    ranks: tuple[tuple[int, int], ...] = ()
    embedding: int = 128
    inner: int = 150

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FaceNetworkConfig":
        """Read model.json's architecture, whose other keys are ignored."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        known |= {name: tuple(known[name]) for name in ("widths", "depths") if name in known}
        return cls(**known | {"ranks": tuple(map(tuple, known.get("ranks", ())))})


def convolution(inputs: int, outputs: int, stride: int, rank: int = 0) -> nn.Module:
    """Build a 3 x 3 convolution without padding at stride 2.

    With a rank, it is a 3 x 3 one to that many channels and a 1 x 1 one to all of them: what remains of the whole one
    when its outputs are projected on their principal directions (Zhang et al., Accelerating Very Deep Convolutional
    Networks, 2016, section 3.1).
    """
    padding = 1 if stride == 1 else 0
    if not rank:
        return nn.Conv2d(inputs, outputs, 3, stride, padding)
    return nn.Sequential(nn.Conv2d(inputs, rank, 3, stride, padding, bias=False), nn.Conv2d(rank, outputs, 1))


class FaceBlock(nn.Module):
    """Two convolutions and a shortcut without weights: the input itself, or at stride 2 its mean over 2 x 2 pixels.

    Where the two differ in channels or size, the smaller one is padded with zeros. `size` is the side of the input in
    pixels.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, ranks: tuple[int, int]):
        super().__init__()
        self.first = convolution(inputs, outputs, stride, ranks[0])
        self.norm1 = BatchNorm(outputs)
        self.second = convolution(outputs, outputs, 1, ranks[1])
        self.norm2 = BatchNorm(outputs)
        self.stride = stride
        self.more_channels = outputs - inputs
        self.more_pixels = 1 if stride == 2 and size % 2 == 0 else 0  # a convolution without padding loses one

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, S, S) -> (B, outputs, S / stride, S / stride)."""
        y = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        if self.stride == 2:
            x = F.avg_pool2d(x, 2)
        if self.more_channels:
            x = F.pad(x, (0, 0, 0, 0, 0, self.more_channels))
        if self.more_pixels:
            y = F.pad(y, (0, self.more_pixels, 0, self.more_pixels))
        return F.relu(x + y)


class FaceNetwork(nn.Module):
    """Residual network of the shape of dlib's face recognition network (King, 2017; after He et al., 2016).

    Input: (B, 3, S, S) RGB, 0 to 255, faces aligned to the model's template. Output: (B, embedding) unit vectors.
    """

    def __init__(self, config: FaceNetworkConfig = FaceNetworkConfig()):
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.widths[0], 7, 2)
        self.norm = BatchNorm(config.widths[0])
        blocks, inputs, size = [], config.widths[0], ((config.inner - 5) // 2 - 1) // 2  # after stem and pooling
        ranks = chain(config.ranks, repeat((0, 0)))
        for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            for place in range(depth):
                stride = 2 if stage and not place else 1
                blocks.append(FaceBlock(inputs, width, size, stride, next(ranks)))
                inputs, size = width, size // stride
        self.blocks = nn.Sequential(*blocks)
        self.embedding = nn.Linear(inputs, config.embedding)
        self.center: Tensor
        self.register_buffer("center", torch.tensor(CENTER).view(1, 3, 1, 1), persistent=False)

    @property
    def input_layers(self) -> tuple[nn.Module, ...]:
        """The layers before the first block."""
        return self.stem, self.norm

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, last width), means over the last stage's pixels."""
        x = F.interpolate(x, size=(self.config.inner,) * 2, mode="bilinear", align_corners=False)
        x = F.relu(self.norm(self.stem((x - self.center) / 256)))
        x = self.blocks(F.max_pool2d(x, 3, 2))
        return x.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, embedding)."""
        return F.normalize(self.embedding(self.features(x)))
