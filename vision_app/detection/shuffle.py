"""The light trunk of the released detector: a shuffle backbone and a neck of large depthwise windows over four scales.

Sources: channel shuffle (Ma et al., 2018, ShuffleNet V2), squeeze and excitation (Hu et al., 2018), hard swish (Howard
et al., 2019), concatenated ghost branches (Han et al., 2020), in the arrangement of PicoDet-S (Yu et al., 2021), whose
published weights fit these modules (`initialize.py`).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.detection.blocks import ConvUnit, double

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's pixels, RGB in 0..1; so is the gray of the stem's padding
_RATIOS = ((0.875, 0.5, 0.5), (0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # of the blocks' inner widths


def _unit(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> ConvUnit:
    return ConvUnit(inputs, outputs, kernel, stride, activation="hardswish")


def _depthwise(channels: int, kernel: int, stride: int = 1, activation: str = "hardswish") -> ConvUnit:
    return ConvUnit(channels, channels, kernel, stride, groups=channels, activation=activation)


class LightConv(nn.Sequential):
    """A 5x5 convolution in two steps: each channel by itself, then 1x1 across channels."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__(_depthwise(inputs, 5, stride), _unit(inputs, outputs))


class SqueezeExcitation(nn.Module):
    """Weighs channels by what the whole picture holds: mean over it, two 1x1 convolutions, hard sigmoid."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))  # (B, C / 4, 1, 1)
        return x * F.hardsigmoid(self.excite(weight))


class ShuffleDown(nn.Module):
    """Halves the resolution in two branches, and mixes what they give."""

    def __init__(self, inputs: int, outputs: int, inner: int):
        super().__init__()
        half = outputs // 2
        self.coarse = nn.Sequential(_depthwise(inputs, 3, 2, "none"), _unit(inputs, half))
        self.fine = nn.Sequential(
            _unit(inputs, inner), _depthwise(inner, 3, 2, "none"), SqueezeExcitation(inner), _unit(inner, half)
        )
        self.mix = nn.Sequential(_depthwise(outputs, 3), _unit(outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(torch.cat([self.coarse(x), self.fine(x)], dim=1))


class ShuffleBlock(nn.Module):
    """Half of the channels pass by; the other half go through a ghost branch; a shuffle mixes the halves."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.half = half = channels // 2
        self.expand = _unit(half, inner)
        self.ghost = _depthwise(inner, 3, activation="none")
        self.attend = SqueezeExcitation(2 * inner)
        self.project = _unit(2 * inner, half)
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
        self.stem = nn.Sequential(_unit(3, width, 3, 2), nn.MaxPool2d(3, 2, 1))
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


class LightCSP(nn.Module):
    """Half of the channels through a 5x5 bottleneck, half around it, a 1x1 convolution joins the halves."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        half = outputs // 2
        self.bypass = _unit(inputs, half)
        self.main = nn.Sequential(_unit(inputs, half), _unit(half, half), LightConv(half, half))
        self.join = _unit(2 * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([self.main(x), self.bypass(x)], dim=1))


class LightPathAggregation(nn.Module):
    """Top-down, then bottom-up (Liu et al., 2018) at one width, with a fourth, coarsest scale at stride 64."""

    strides = (8, 16, 32, 64)

    def __init__(self, channels: tuple[int, int, int]):
        super().__init__()
        c = channels[0]
        self.channels = (c,) * 4
        self.lateral3, self.lateral4, self.lateral5 = (_unit(inputs, c) for inputs in channels)
        self.merge4, self.merge3 = LightCSP(2 * c, c), LightCSP(2 * c, c)
        self.down3, self.out4 = LightConv(c, c, 2), LightCSP(2 * c, c)
        self.down4, self.out5 = LightConv(c, c, 2), LightCSP(2 * c, c)
        self.top, self.down5 = LightConv(c, c, 2), LightConv(c, c, 2)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps at strides 8, 16, 32 -> maps (B, c, H/s, W/s) for s = 8, 16, 32, 64; the last size is rounded up."""
        c3, c4, p5 = self.lateral3(maps[0]), self.lateral4(maps[1]), self.lateral5(maps[2])
        p4 = self.merge4(torch.cat([double(p5), c4], dim=1))
        n3 = self.merge3(torch.cat([double(p4), c3], dim=1))
        n4 = self.out4(torch.cat([self.down3(n3), p4], dim=1))
        n5 = self.out5(torch.cat([self.down4(n4), p5], dim=1))
        return n3, n4, n5, self.top(p5) + self.down5(n5)
