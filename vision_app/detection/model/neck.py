"""Necks: mix the backbone's maps across scales (path aggregation, Liu et al., 2018)."""

import torch
from torch import Tensor, nn

from vision_app.detection.model.blocks import ConvUnit, CSPStage, LightConv, SeparableConv, double, light_unit


class PathAggregation(nn.Module):
    """Top-down, then bottom-up: every scale gets the semantics of the coarse maps and the detail of the fine ones."""

    strides = (8, 16, 32)

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
        """Mix three maps and return three of the same shapes."""
        c3, c4, c5 = maps
        p5 = self.lateral5(c5)
        p4 = self.lateral4(self.merge4(torch.cat([double(p5), c4], dim=1)))
        n3 = self.merge3(torch.cat([double(p4), c3], dim=1))
        n4 = self.out4(torch.cat([self.down3(n3), p4], dim=1))
        n5 = self.out5(torch.cat([self.down4(n4), p5], dim=1))
        return n3, n4, n5


class LightCSP(nn.Module):
    """Half of the channels through a 5x5 bottleneck, half around it, a 1x1 convolution joins the halves."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        half = outputs // 2
        self.bypass = light_unit(inputs, half)
        self.main = nn.Sequential(light_unit(inputs, half), light_unit(half, half), LightConv(half, half))
        self.join = light_unit(2 * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        joined: Tensor = self.join(torch.cat([self.main(x), self.bypass(x)], dim=1))
        return joined


class LightPathAggregation(nn.Module):
    """Top-down, then bottom-up (Liu et al., 2018) at one width, with a fourth, coarsest scale at stride 64."""

    strides = (8, 16, 32, 64)

    def __init__(self, channels: tuple[int, int, int]):
        super().__init__()
        c = channels[0]
        self.channels = (c,) * 4
        self.lateral3, self.lateral4, self.lateral5 = (light_unit(inputs, c) for inputs in channels)
        self.merge4, self.merge3 = LightCSP(2 * c, c), LightCSP(2 * c, c)
        self.down3, self.out4 = LightConv(c, c, 2), LightCSP(2 * c, c)
        self.down4, self.out5 = LightConv(c, c, 2), LightCSP(2 * c, c)
        self.top, self.down5 = LightConv(c, c, 2), LightConv(c, c, 2)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Turn maps at strides 8, 16, 32 into (B, c, H/s, W/s) for s = 8, 16, 32, 64; the last size is rounded up."""
        c3, c4, p5 = self.lateral3(maps[0]), self.lateral4(maps[1]), self.lateral5(maps[2])
        p4 = self.merge4(torch.cat([double(p5), c4], dim=1))
        n3 = self.merge3(torch.cat([double(p4), c3], dim=1))
        n4 = self.out4(torch.cat([self.down3(n3), p4], dim=1))
        n5 = self.out5(torch.cat([self.down4(n4), p5], dim=1))
        return n3, n4, n5, self.top(p5) + self.down5(n5)
