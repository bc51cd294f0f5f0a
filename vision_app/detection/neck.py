"""The neck: mixes the backbone's maps across scales (path aggregation, Liu et al., 2018)."""

import torch
from torch import Tensor, nn

from vision_app.detection.blocks import ConvUnit, CSPStage, SeparableConv, double


class PathAggregation(nn.Module):
    """Top-down, then bottom-up: every scale gets the meaning of the coarse maps and the detail of the fine ones."""

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
        """Three maps in, three of the same shapes out."""
        c3, c4, c5 = maps
        p5 = self.lateral5(c5)
        p4 = self.lateral4(self.merge4(torch.cat([double(p5), c4], dim=1)))
        n3 = self.merge3(torch.cat([double(p4), c3], dim=1))
        n4 = self.out4(torch.cat([self.down3(n3), p4], dim=1))
        n5 = self.out5(torch.cat([self.down4(n4), p5], dim=1))
        return n3, n4, n5
