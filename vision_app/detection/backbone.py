"""Backbones: networks that turn a picture into feature maps at strides 8, 16 and 32, from the blocks of `blocks.py`.

Each takes `width`, its channels after the stem, and `depths`, the blocks in each of its stages; its maps have
4, 8 and 16 times `width` channels. Its stages are its children, from the picture to the coarsest map.
"""

from collections.abc import Callable

from torch import Tensor, nn

from vision_app.detection.blocks import (
    ConvUnit,
    CSPStage,
    InceptionBlock,
    ResidualBlock,
    ResidualBottleneck,
    SeparableConv,
    SpatialPyramidPooling,
)
from vision_app.detection.shuffle import ShuffleBackbone

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


def _stem(width: int) -> nn.Sequential:
    """(B, 3, H, W) -> (B, width, H / 4, W / 4), as both papers begin."""
    return nn.Sequential(ConvUnit(3, width, 7, stride=2, activation="relu"), nn.MaxPool2d(3, stride=2, padding=1))


BACKBONES: dict[str, Callable[[int, tuple[int, ...]], nn.Module]] = {
    "csp": CSPBackbone,
    "residual": ResidualBackbone,
    "inception": InceptionBackbone,
    "shuffle": ShuffleBackbone,
}
