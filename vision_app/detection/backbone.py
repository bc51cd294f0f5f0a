"""Backbones: networks that turn a picture into feature maps at several strides, from the blocks of `blocks.py`.

CSP is the released one, in the arrangement of YOLOX-Nano (Ge et al., 2021), whose published weights fit it
(`initialize.py`).
"""

from torch import Tensor, nn

from vision_app.detection.blocks import ConvUnit, CSPStage, SeparableConv, SpatialPyramidPooling

STRIDES = (8, 16, 32)


class CSPBackbone(nn.Module):
    """Feature maps at strides 8, 16 and 32.

    Args:
        width: channels after the stem; the maps have 4, 8 and 16 times as many.
        depths: bottlenecks in each of the four stages.
    """

    strides = STRIDES

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


BACKBONES = {"csp": CSPBackbone}
