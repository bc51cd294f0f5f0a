"""Backbones: networks that turn a picture into feature maps at strides 8, 16 and 32, from the blocks of `blocks.py`.

Each takes `width`, its channels after the stem, and `depths`, the blocks in each of its stages; its maps have
4, 8 and 16 times `width` channels. Its stages are its children, from the picture to the coarsest map.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vision_app.detection.model.blocks import (
    ConvUnit,
    CSPStage,
    InceptionBlock,
    ResidualBlock,
    ResidualBottleneck,
    SeparableConv,
    SpatialPyramidPooling,
    SqueezeExcitation,
    light_depthwise,
    light_unit,
)

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's pixels, RGB in 0..1; so is the gray of the stem's padding
_RATIOS = ((0.875, 0.5, 0.5), (0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # of the blocks' inner widths

STRIDES = (8, 16, 32)


class _Backbone(nn.Module):
    """What the backbones share: a stem and four stages, the last three of which give a map each."""

    strides = STRIDES

    def __init__(self, width: int, stem: nn.Module, stages: list[nn.Module]):
        super().__init__()
        self.stem = stem
        self.stage2, self.stage3, self.stage4, self.stage5 = stages
        self.channels = (4 * width, 8 * width, 16 * width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) with H, W divisible by 32 -> maps (B, c, H/s, W/s) for s = 8, 16, 32."""
        c3 = self.stage3(self.stage2(self.stem(x)))
        c4 = self.stage4(c3)
        return c3, c4, self.stage5(c4)


class CSPBackbone(_Backbone):
    """Cross Stage Partial stages of separable bottlenecks, and pyramid pooling in the last.

    In the arrangement of YOLOX-Nano (Ge et al., 2021), whose published weights fit it (`initialize.py`).
    """

    def __init__(self, width: int = 16, depths: tuple[int, ...] = (1, 3, 3, 1)):
        c1, c2, c3, c4, c5 = (width * 2**i for i in range(5))
        stages = [
            nn.Sequential(SeparableConv(c1, c2, stride=2), CSPStage(c2, c2, depths[0])),
            nn.Sequential(SeparableConv(c2, c3, stride=2), CSPStage(c3, c3, depths[1])),
            nn.Sequential(SeparableConv(c3, c4, stride=2), CSPStage(c4, c4, depths[2])),
            nn.Sequential(
                SeparableConv(c4, c5, stride=2),
                SpatialPyramidPooling(c5, c5),
                CSPStage(c5, c5, depths[3], shortcut=False),
            ),
        ]
        super().__init__(width, ConvUnit(3, c1, kernel=6, stride=2), stages)


class ResidualBackbone(_Backbone):
    """Residual blocks (He et al., 2015): plain ones where channels are few, bottlenecks where they are many."""

    def __init__(self, width: int = 16, depths: tuple[int, ...] = (1, 3, 3, 1)):
        blocks = (ResidualBlock, ResidualBlock, ResidualBottleneck, ResidualBottleneck)
        stages, inputs = [], width
        for i, (block, depth) in enumerate(zip(blocks, depths, strict=True)):
            outputs = width * 2 ** (i + 1)
            first = block(inputs, outputs, stride=2 if i else 1)  # the pooling has halved what enters the first stage
            stages.append(nn.Sequential(first, *(block(outputs, outputs) for _ in range(depth - 1))))
            inputs = outputs
        super().__init__(width, _stem(width), stages)


class InceptionBackbone(_Backbone):
    """Inception blocks with max pooling between the stages (Szegedy et al., 2014); `width` is a multiple of 4."""

    def __init__(self, width: int = 16, depths: tuple[int, ...] = (1, 3, 3, 1)):
        stages, inputs = [], width
        for i, depth in enumerate(depths):
            outputs = width * 2 ** (i + 1)
            halve = [nn.MaxPool2d(3, stride=2, padding=1)] if i else []
            blocks = [InceptionBlock(inputs, outputs), *(InceptionBlock(outputs, outputs) for _ in range(depth - 1))]
            stages.append(nn.Sequential(*halve, *blocks))
            inputs = outputs
        super().__init__(width, _stem(width), stages)


class ShuffleDown(nn.Module):
    """Halves the resolution in two branches, and mixes what they give."""

    def __init__(self, inputs: int, outputs: int, inner: int):
        super().__init__()
        half = outputs // 2
        self.coarse = nn.Sequential(light_depthwise(inputs, 3, 2, "none"), light_unit(inputs, half))
        self.fine = nn.Sequential(
            light_unit(inputs, inner),
            light_depthwise(inner, 3, 2, "none"),
            SqueezeExcitation(inner),
            light_unit(inner, half),
        )
        self.mix = nn.Sequential(light_depthwise(outputs, 3), light_unit(outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(torch.cat([self.coarse(x), self.fine(x)], dim=1))


class ShuffleBlock(nn.Module):
    """Half of the channels pass by; the other half go through a ghost branch; a shuffle mixes the halves."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.half = half = channels // 2
        self.expand = light_unit(half, inner)
        self.ghost = light_depthwise(inner, 3, activation="none")
        self.attend = SqueezeExcitation(2 * inner)
        self.project = light_unit(2 * inner, half)
        # the halves' channels in turn; an index and no reshape, since ONNX Runtime then copies whole channels
        self.register_buffer("order", torch.arange(channels).view(2, half).T.flatten(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kept, x = x.split(self.half, dim=1)
        x = self.expand(x)
        x = self.project(self.attend(torch.cat([x, self.ghost(x)], dim=1)))
        return torch.cat([kept, x], dim=1)[:, self.order]


class ShuffleBackbone(nn.Module):
    """Feature maps at strides 8, 16 and 32.

    Args:
        width: channels after the stem, an even number; the maps have 4, 8 and 16 times as many.
        depths: blocks of each of the three stages, the halving one included.
    """

    strides = (8, 16, 32)

    def __init__(self, width: int = 24, depths: tuple[int, ...] = (3, 7, 3)):
        super().__init__()
        self.channels = (4 * width, 8 * width, 16 * width)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Sequential(light_unit(3, width, 3, 2), nn.MaxPool2d(3, 2, 1))
        inputs, stages = width, []
        for outputs, depth, ratios in zip(self.channels, depths, _RATIOS, strict=True):
            inner = [4 * math.ceil(outputs * ratio / 8) for ratio in (*ratios, *[0.5] * depth)[:depth]]
            blocks = (ShuffleBlock(outputs, narrow) for narrow in inner[1:])
            stages.append(nn.Sequential(ShuffleDown(inputs, outputs, inner[0]), *blocks))
            inputs = outputs
        self.stage3, self.stage4, self.stage5 = stages

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) with H, W divisible by 32 -> maps (B, c, H/s, W/s) for s = 8, 16, 32."""
        c3 = self.stage3(self.stem(x - self.mean))
        c4 = self.stage4(c3)
        return c3, c4, self.stage5(c4)


def _stem(width: int) -> nn.Sequential:
    """(B, 3, H, W) -> (B, width, H / 4, W / 4), as both papers begin."""
    return nn.Sequential(ConvUnit(3, width, 7, stride=2, activation="relu"), nn.MaxPool2d(3, stride=2, padding=1))


BACKBONES: dict[str, Callable[[int, tuple[int, ...]], nn.Module]] = {
    "csp": CSPBackbone,
    "residual": ResidualBackbone,
    "inception": InceptionBackbone,
    "shuffle": ShuffleBackbone,
}
