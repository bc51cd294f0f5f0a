"""The small networks that look at an aligned face: whether it is what it should be, and where its landmarks are.

Needs torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

INNER = 56  # side in pixels that the face is scaled to before the first convolution
STRIDES = (2, 2, 1, 2, 1)  # of the convolutions
SIDE = 7  # pixels after the last one
ROLL_NUMBERS = 2  # numbers in front of the logits: cosine and sine of the roll
LANDMARKS = 5


class AlignedFaceNetwork(nn.Module):
    """Five convolutions and two layers on all of their pixels, since it matters where something is to be seen.

    Input: (B, 3, 112, 112) RGB, 0 to 255, aligned faces. Output: (B, outputs).

    Args:
        outputs: Numbers for each face.
        widths: Channels of each convolution.
        inner: Channels in front of the first layer, and numbers after it.
        dropout: Share of these numbers that training leaves out at random.
    """

    def __init__(self, outputs: int, widths: Sequence[int], inner: tuple[int, int], dropout: float = 0.0):
        super().__init__()
        self.widths, self.inner = tuple(widths), tuple(inner)
        blocks: list[nn.Module] = []
        for before, after, stride in zip((3, *widths[:-1]), widths, STRIDES, strict=True):
            blocks += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        channels, hidden = self.inner
        blocks += [nn.Conv2d(widths[-1], channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        self.features = nn.Sequential(*blocks)
        self.hidden = nn.Linear(channels * SIDE * SIDE, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 112, 112) -> (B, outputs)."""
        x = F.interpolate(x, size=(INNER, INNER), mode="bilinear", align_corners=False)  # the means of 2 x 2 pixels
        x = self.features(x / 128 - 1).flatten(1)
        result: Tensor = self.output(self.dropout(F.relu(self.hidden(x))))
        return result


class QualityNetwork(AlignedFaceNetwork):
    """Gives (B, 2 + checks): the cosine and sine of the face's roll, then a logit for each check.

    Attributes:
        checks: Number of checks.
    """

    def __init__(self, checks: int, widths: Sequence[int] = (24, 48, 48, 96, 96), inner: tuple[int, int] = (32, 64)):
        super().__init__(ROLL_NUMBERS + checks, widths, inner, dropout=0.2)
        self.checks = checks

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "QualityNetwork":
        """Build what `to_dict` describes; other keys are ignored."""
        return cls(values["checks"], values["widths"], tuple(values["inner"]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values for model.json."""
        return {"checks": self.checks, "widths": list(self.widths), "inner": list(self.inner)}


class LandmarkNetwork(AlignedFaceNetwork):
    """Gives (B, 10): how far each landmark is from its place in a template, in distances between the eyes.

    They are x and y of one landmark after the other.
    """

    def __init__(self, widths: Sequence[int] = (24, 48, 48, 96, 96), inner: tuple[int, int] = (24, 64)):
        super().__init__(2 * LANDMARKS, widths, inner)  # no dropout: it would be noise in the places

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LandmarkNetwork":
        """Build what `to_dict` describes; other keys are ignored."""
        return cls(values["widths"], tuple(values["inner"]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values for model.json."""
        return {"widths": list(self.widths), "inner": list(self.inner)}


class ByteQuality(nn.Module):
    """A `QualityNetwork` behind the input that is exported, (B, 112, 112, 3) uint8 RGB, with probabilities."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 112, 112, 3) uint8 -> (B, 2 + checks): cosine and sine of the roll, then probabilities."""
        answer = self.network(pixels.permute(0, 3, 1, 2).float())
        return torch.cat([answer[:, :ROLL_NUMBERS], answer[:, ROLL_NUMBERS:].sigmoid()], dim=1)


class ByteLandmarks(nn.Module):
    """A `LandmarkNetwork` behind the input that is exported, (B, 112, 112, 3) uint8 RGB, with places in pixels.

    Args:
        network: To run.
        template: (5, 2) where landmarks lie on average, those of the eyes first.
    """

    def __init__(self, network: nn.Module, template: np.ndarray):
        super().__init__()
        self.network, self.unit = network, float(template[1, 0] - template[0, 0])  # between the eyes
        self.template: Tensor
        self.register_buffer("template", torch.from_numpy(template), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 112, 112, 3) uint8 -> (B, 5, 2) x, y in pixels of the aligned face."""
        away: Tensor = self.network(pixels.permute(0, 3, 1, 2).float())
        return self.template + self.unit * away.reshape(-1, LANDMARKS, 2)
