"""The blocks that the networks are built from, each with its source.

Every block turns (B, inputs, H, W) into (B, outputs, H / stride, W / stride).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.core.tensors import BatchNorm

_ACTIVATIONS: dict[str, Callable[..., Tensor] | None] = {
    "silu": F.silu, "hardswish": F.hardswish, "relu": F.relu, "none": None,
}  # fmt: skip


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm, activation ("silu", "hardswish", "relu" or "none").

    With an odd kernel, stride 1 keeps the size.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, activation: str = "silu"
    ):
        super().__init__()
        padding = (kernel - 1) // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = BatchNorm(outputs, eps=1e-3, momentum=0.03)
        self.activation = _ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        conv = self.conv
        if self.training and conv.groups == conv.in_channels and x.shape[2:] == (1, 1):
            # Only the middle of the kernel sees anything. oneDNN's gradient of the rest is random there in bf16.
            middle = conv.kernel_size[0] // 2
            x = x * conv.weight[:, 0, middle, middle, None, None].to(x.dtype)
        else:
            x = conv(x)
        x = self.norm(x)
        return self.activation(x, inplace=True) if self.activation else x


class SeparableConv(nn.Sequential):
    """A 3x3 convolution in two steps: each channel by itself, then 1x1 across channels (Howard et al., 2017)."""

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
        """(B, C, H, W) -> (B, C, H, W)."""
        y: Tensor = self.spatial(self.reduce(x))
        return x + y if self.shortcut else y


class CSPStage(nn.Module):
    """Half of the channels pass through bottlenecks, half go around them, a 1x1 convolution joins the halves.

    Cross Stage Partial networks (Wang et al., 2019).
    """

    def __init__(self, inputs: int, outputs: int, depth: int, shortcut: bool = True):
        super().__init__()
        hidden = outputs // 2
        self.main = ConvUnit(inputs, hidden)
        self.bypass = ConvUnit(inputs, hidden)
        self.blocks = nn.Sequential(*(Bottleneck(hidden, shortcut) for _ in range(depth)))
        self.join = ConvUnit(2 * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        joined: Tensor = self.join(torch.cat([self.blocks(self.main(x)), self.bypass(x)], dim=1))
        return joined


class SpatialPyramidPooling(nn.Module):
    """Max pooling with windows of 5, 9 and 13 beside the identity, for a large receptive field.

    After He et al. (2014), at stride 1 as in YOLOv3 (Redmon and Farhadi, 2018).
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.reduce = ConvUnit(inputs, inputs // 2)
        self.join = ConvUnit(2 * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        x = self.reduce(x)
        near = F.max_pool2d(x, 5, stride=1, padding=2)  # a window of 9 is two of 5 in a row, 13 is three
        middle = F.max_pool2d(near, 5, stride=1, padding=2)
        far = F.max_pool2d(middle, 5, stride=1, padding=2)
        joined: Tensor = self.join(torch.cat([x, near, middle, far], dim=1))
        return joined


class Residual(nn.Module):
    """Adds the input to the output of a body, then ReLU (He et al., 2015).

    Where the shapes differ, a 1x1 convolution adapts the input. The body has no activation at its end.
    """

    def __init__(self, body: nn.Module, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = body
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else ConvUnit(inputs, outputs, 1, stride, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


class ResidualBlock(Residual):
    """Two 3x3 convolutions with a shortcut around them (He et al., 2015, figure 5, left)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        body = nn.Sequential(
            _rectified(inputs, outputs, 3, stride),
            ConvUnit(outputs, outputs, 3, activation="none"),
        )
        super().__init__(body, inputs, outputs, stride)


class ResidualBottleneck(Residual):
    """1x1 to a quarter of the channels, 3x3, 1x1 back, with a shortcut around (He et al., 2015, figure 5, right)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        hidden = outputs // 4
        body = nn.Sequential(
            _rectified(inputs, hidden),
            _rectified(hidden, hidden, 3, stride),
            ConvUnit(hidden, outputs, activation="none"),
        )
        super().__init__(body, inputs, outputs, stride)


class InceptionBlock(nn.Module):
    """Windows of 1, 3 and 5 and a max pooling side by side; `outputs` is a multiple of 8.

    Szegedy et al. (2014), figure 2b, with about the shares of channels of its block 3a; the 5x5 convolution is two of
    3x3 in a row (Szegedy et al., 2015, figure 5).
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        half, quarter, eighth = outputs // 2, outputs // 4, outputs // 8
        self.one = _rectified(inputs, quarter)
        self.three = nn.Sequential(_rectified(inputs, quarter), _rectified(quarter, half, 3))
        self.five = nn.Sequential(
            _rectified(inputs, eighth), _rectified(eighth, eighth, 3), _rectified(eighth, eighth, 3)
        )
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _rectified(inputs, eighth))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


def _rectified(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> ConvUnit:
    return ConvUnit(inputs, outputs, kernel, stride, activation="relu")


def double(x: Tensor) -> Tensor:
    """Repeat each cell four times: (B, C, H, W) -> (B, C, 2 H, 2 W)."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def light_unit(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> ConvUnit:
    """Return a `ConvUnit` with hard swish."""
    return ConvUnit(inputs, outputs, kernel, stride, activation="hardswish")


def light_depthwise(channels: int, kernel: int, stride: int = 1, activation: str = "hardswish") -> ConvUnit:
    """Return a `ConvUnit` that works on each channel by itself."""
    return ConvUnit(channels, channels, kernel, stride, groups=channels, activation=activation)


class LightConv(nn.Sequential):
    """A 5x5 convolution in two steps: each channel by itself, then 1x1 across channels."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__(light_depthwise(inputs, 5, stride), light_unit(inputs, outputs))


class SqueezeExcitation(nn.Module):
    """Weights channels by the content of the whole image: its mean, two 1x1 convolutions, hard sigmoid."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        weight = F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))  # (B, C / 4, 1, 1)
        return x * F.hardsigmoid(self.excite(weight))
