"""Backbones: networks that turn an image into feature maps at strides 8, 16 and 32, from the blocks of `blocks.py`.

Each takes `width`, its channels after the stem, and `depths`, the number of blocks in each of its stages; its maps have
4, 8 and 16 times `width` channels. Its stages are its children, from the image to the coarsest map.
"""

import math
from collections.abc import Callable, Sequence

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
STRIDES = (8, 16, 32)
_RATIOS = ((0.875, 0.5, 0.5), (0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # of the blocks' inner widths


class Backbone(nn.Module):
    """What the backbones share: a stem and stages called `stage2` or `stage3` to `stage5`; the last three give maps.

    Attributes:
        channels: Those of the three maps.
    """

    strides = STRIDES

    def __init__(self, width: int, stem: nn.Module, stages: Sequence[nn.Module]):
        super().__init__()
        self.stem = stem
        for number, stage in enumerate(stages, start=6 - len(stages)):
            self.add_module(f"stage{number}", stage)
        self.channels = (4 * width, 8 * width, 16 * width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) with H, W divisible by 32 -> maps (B, c, H/s, W/s) for s = 8, 16, 32."""
        *first, stage3, stage4, stage5 = self.children()
        for part in first:
            x = part(x)
        c3: Tensor = stage3(x)
        c4: Tensor = stage4(c3)
        return c3, c4, stage5(c4)


class CSPBackbone(Backbone):
    """Cross Stage Partial stages of separable bottlenecks, and pyramid pooling in the last.

    In the arrangement of YOLOX-Nano (Ge et al., 2021), whose published weights fit it (`tools/convert_detector.py`).
    """

    def __init__(self, width: int = 16, depths: tuple[int, ...] = (1, 3, 3, 1)):
        stages: list[nn.Module] = []
        for i, depth in enumerate(depths):
            inputs, outputs, last = width * 2**i, width * 2 ** (i + 1), i == 3
            halve = SeparableConv(inputs, outputs, stride=2)
            pool = [SpatialPyramidPooling(outputs, outputs)] if last else []
            stages.append(nn.Sequential(halve, *pool, CSPStage(outputs, outputs, depth, shortcut=not last)))
        super().__init__(width, ConvUnit(3, width, kernel=6, stride=2), stages)


class ResidualBackbone(Backbone):
    """Residual blocks (He et al., 2015): plain ones where channels are few, bottlenecks where they are many."""

    def __init__(self, width: int = 16, depths: tuple[int, ...] = (1, 3, 3, 1)):
        blocks = (ResidualBlock, ResidualBlock, ResidualBottleneck, ResidualBottleneck)
        inputs = width
        stages: list[nn.Module] = []
        for i, (block, depth) in enumerate(zip(blocks, depths, strict=True)):
            outputs = width * 2 ** (i + 1)
            first = block(inputs, outputs, stride=2 if i else 1)  # the pooling has halved what enters the first stage
            stages.append(nn.Sequential(first, *(block(outputs, outputs) for _ in range(depth - 1))))
            inputs = outputs
        super().__init__(width, _stem(width), stages)


class InceptionBackbone(Backbone):
    """Inception blocks with max pooling between the stages (Szegedy et al., 2014); `width` is a multiple of 4."""

    def __init__(self, width: int = 16, depths: tuple[int, ...] = (1, 3, 3, 1)):
        inputs = width
        stages: list[nn.Module] = []
        for i, depth in enumerate(depths):
            outputs = width * 2 ** (i + 1)
            halve = [nn.MaxPool2d(3, stride=2, padding=1)] if i else []
            blocks = [InceptionBlock(inputs, outputs), *(InceptionBlock(outputs, outputs) for _ in range(depth - 1))]
            stages.append(nn.Sequential(*halve, *blocks))
            inputs = outputs
        super().__init__(width, _stem(width), stages)


def _stem(width: int) -> nn.Sequential:
    """(B, 3, H, W) -> (B, width, H / 4, W / 4), as both papers begin."""
    return nn.Sequential(ConvUnit(3, width, 7, stride=2, activation="relu"), nn.MaxPool2d(3, stride=2, padding=1))


class ShuffleDown(nn.Module):
    """Halves the resolution in two branches and mixes them."""

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
        """(B, inputs, H, W) -> (B, outputs, H / 2, W / 2)."""
        mixed: Tensor = self.mix(torch.cat([self.coarse(x), self.fine(x)], dim=1))
        return mixed


class ShuffleBlock(nn.Module):
    """Half of the channels go around it, the other half through a ghost branch; a shuffle mixes the halves."""

    order: Tensor

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.split_at = half = channels // 2
        self.expand = light_unit(half, inner)
        self.ghost = light_depthwise(inner, 3, activation="none")
        self.attend = SqueezeExcitation(2 * inner)
        self.project = light_unit(2 * inner, half)
        # the halves' channels in turn; an index and no reshape, since ONNX Runtime then copies whole channels
        self.register_buffer("order", torch.arange(channels).view(2, half).T.flatten(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> the same shape."""
        kept, x = x.split(self.split_at, dim=1)  # type: ignore[no-untyped-call]
        x = self.expand(x)
        x = self.project(self.attend(torch.cat([x, self.ghost(x)], dim=1)))
        return torch.cat([kept, x], dim=1)[:, self.order]


class ShuffleBackbone(Backbone):
    """Three stages of shuffle blocks, the first of which halves the resolution, as PicoDet has them (Yu et al., 2021).

    `width` is an even number.
    """

    mean: Tensor

    def __init__(self, width: int = 24, depths: tuple[int, ...] = (3, 7, 3)):
        stem = nn.Sequential(light_unit(3, width, 3, 2), nn.MaxPool2d(3, 2, 1))
        inputs = width
        stages: list[nn.Module] = []
        for outputs, depth, ratios in zip((4 * width, 8 * width, 16 * width), depths, _RATIOS, strict=True):
            inner = [4 * math.ceil(outputs * ratio / 8) for ratio in (*ratios, *[0.5] * depth)[:depth]]
            blocks = (ShuffleBlock(outputs, narrow) for narrow in inner[1:])
            stages.append(nn.Sequential(ShuffleDown(inputs, outputs, inner[0]), *blocks))
            inputs = outputs
        super().__init__(width, stem, stages)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Backbone.forward`; subtracts the mean first."""
        return super().forward(x - self.mean)


BACKBONES: dict[str, Callable[[int, tuple[int, ...]], Backbone]] = {
    "csp": CSPBackbone,
    "residual": ResidualBackbone,
    "inception": InceptionBackbone,
    "shuffle": ShuffleBackbone,
}
