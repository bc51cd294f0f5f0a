"""The convolutional trunk of the detectors: a CSP backbone and a path-aggregation neck, in one file of small blocks.

Sources: Cross Stage Partial networks (Wang et al., 2019), spatial pyramid pooling (He et al., 2014), path aggregation
(Liu et al., 2018) and depthwise separable convolutions (Howard et al., 2017), in the arrangement of YOLOX-Nano
(Ge et al., 2021), whose published weights fit these modules (`initialize.py`).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm, SiLU; padded so that stride 1 keeps the size."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        padding = (kernel - 1) // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.norm(self.conv(x)), inplace=True)


class SeparableConv(nn.Sequential):
    """A 3x3 convolution in two steps: each channel by itself, then 1x1 across channels."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__(ConvUnit(inputs, inputs, 3, stride, groups=inputs), ConvUnit(inputs, outputs))


class Bottleneck(nn.Module):
    """1x1, then separable 3x3, with an optional identity shortcut around both."""

    def __init__(self, channels: int, shortcut: bool):
        super().__init__()
        self.reduce = ConvUnit(channels, channels)
        self.spatial = SeparableConv(channels, channels)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.spatial(self.reduce(x))
        return x + y if self.shortcut else y


class CSPStage(nn.Module):
    """Half of the channels pass through bottlenecks, half go around them, a 1x1 convolution joins the halves."""

    def __init__(self, inputs: int, outputs: int, depth: int, shortcut: bool = True):
        super().__init__()
        hidden = outputs // 2
        self.main = ConvUnit(inputs, hidden)
        self.bypass = ConvUnit(inputs, hidden)
        self.blocks = nn.Sequential(*(Bottleneck(hidden, shortcut) for _ in range(depth)))
        self.join = ConvUnit(2 * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([self.blocks(self.main(x)), self.bypass(x)], dim=1))


class SpatialPyramidPooling(nn.Module):
    """Max pooling with windows of 5, 9 and 13 beside the identity, so that a cell sees far around itself."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.reduce = ConvUnit(inputs, inputs // 2)
        self.join = ConvUnit(2 * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        near = F.max_pool2d(x, 5, stride=1, padding=2)  # a window of 9 is two of 5 in a row, 13 is three
        middle = F.max_pool2d(near, 5, stride=1, padding=2)
        far = F.max_pool2d(middle, 5, stride=1, padding=2)
        return self.join(torch.cat([x, near, middle, far], dim=1))


class CSPBackbone(nn.Module):
    """Feature maps at strides 8, 16 and 32.

    Args:
        width: channels after the stem; the maps have 4, 8 and 16 times as many.
        depths: bottlenecks in each of the four stages.
    """

    def __init__(self, width: int = 16, depths: tuple[int, ...] = (1, 3, 3, 1)):
        super().__init__()
        c1, c2, c3, c4, c5 = (width * 2**i for i in range(5))
        self.stem = ConvUnit(3, c1, kernel=6, stride=2)
        self.stage2 = nn.Sequential(SeparableConv(c1, c2, stride=2), CSPStage(c2, c2, depths[0]))
        self.stage3 = nn.Sequential(SeparableConv(c2, c3, stride=2), CSPStage(c3, c3, depths[1]))
        self.stage4 = nn.Sequential(SeparableConv(c3, c4, stride=2), CSPStage(c4, c4, depths[2]))
        self.stage5 = nn.Sequential(
            SeparableConv(c4, c5, stride=2),
            SpatialPyramidPooling(c5, c5),
            CSPStage(c5, c5, depths[3], shortcut=False),
        )
        self.channels = (c3, c4, c5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) with H, W divisible by 32 -> maps (B, c, H/s, W/s) for s = 8, 16, 32."""
        c3 = self.stage3(self.stage2(self.stem(x)))
        c4 = self.stage4(c3)
        return c3, c4, self.stage5(c4)


class PathAggregation(nn.Module):
    """Top-down, then bottom-up: every scale gets the meaning of the coarse maps and the detail of the fine ones."""

    def __init__(self, channels: tuple[int, int, int], depth: int = 1):
        super().__init__()
        c3, c4, c5 = channels
        self.lateral5 = ConvUnit(c5, c4)
        self.merge4 = CSPStage(2 * c4, c4, depth, shortcut=False)
        self.lateral4 = ConvUnit(c4, c3)
        self.merge3 = CSPStage(2 * c3, c3, depth, shortcut=False)
        self.down3 = SeparableConv(c3, c3, stride=2)
        self.out4 = CSPStage(2 * c3, c4, depth, shortcut=False)
        self.down4 = SeparableConv(c4, c4, stride=2)
        self.out5 = CSPStage(2 * c4, c5, depth, shortcut=False)
        self.channels = channels

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Three maps in, three of the same shapes out."""
        c3, c4, c5 = maps
        p5 = self.lateral5(c5)
        p4 = self.lateral4(self.merge4(torch.cat([_double(p5), c4], dim=1)))
        n3 = self.merge3(torch.cat([_double(p4), c3], dim=1))
        n4 = self.out4(torch.cat([self.down3(n3), p4], dim=1))
        n5 = self.out5(torch.cat([self.down4(n4), p5], dim=1))
        return n3, n4, n5


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
