"""The heads of the grid detector: turn the features of a scale into rows with the columns of `grid`."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.detection.grid import ScaleAnchors
from vision_app.detection.model.blocks import ConvUnit, LightConv, SeparableConv

RARE = -math.log((1 - 0.01) / 0.01)  # initial logit: 1 % of the cells hold an object (Lin et al., 2017)
BINS = 8  # distances of 0 to 7 cells


class DecoupledHead(nn.Module):
    """One branch for the classes, one for objectness, box and landmarks (Ge et al., 2021)."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        anchors: ScaleAnchors,
        stride: int,
        dropout: float = 0.0,
        landmarks: int = 0,
    ):
        super().__init__()
        self.k = len(anchors)
        self.stem = ConvUnit(inputs, hidden)
        self.class_branch = nn.Sequential(SeparableConv(hidden, hidden), SeparableConv(hidden, hidden))
        self.box_branch = nn.Sequential(SeparableConv(hidden, hidden), SeparableConv(hidden, hidden))
        self.class_logits = nn.Conv2d(hidden, self.k * classes, 1)
        self.objectness = nn.Conv2d(hidden, self.k, 1)
        self.offsets = nn.Conv2d(hidden, self.k * 4, 1)
        self.landmarks = nn.Conv2d(hidden, self.k * 2 * landmarks, 1) if landmarks else None
        self.dropout = nn.Dropout2d(dropout)
        _start_rare(self.class_logits, self.objectness)

    @property
    def tower(self) -> nn.Module:
        """The layers before those that predict classes."""
        return nn.Sequential(self.stem, self.class_branch)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, G_y, G_x) -> (B, G_y G_x k, 5 + p + 2 K), columns as in `grid`."""
        x = self.stem(x)
        box_features = self.box_branch(x)
        parts = [
            self.objectness(box_features),
            self.offsets(box_features),
            self.class_logits(self.dropout(self.class_branch(x))),
        ]
        if self.landmarks:
            parts.append(self.landmarks(box_features))
        return torch.cat([_rows(part, self.k) for part in parts], dim=2)


class DistributionHead(nn.Module):
    """One branch for everything; each side of a box is the mean of a distribution over distances in cells.

    With d the distances from the cell's center to the left, top, right and bottom side (Li et al., 2020, "Generalized
    focal loss"), the offsets are t_x = (1 + d_r - d_l) / 2, t_y = (1 + d_b - d_t) / 2, t_h = ln(s (d_t + d_b) / a_h)
    and t_w = ln(s (d_l + d_r) / a_w), s the stride, so that `grid` decodes this head's rows and the other's alike.
    """

    log_cells: Tensor
    sums: Tensor

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        anchors: ScaleAnchors,
        stride: int,
        dropout: float = 0.0,
        landmarks: int = 0,
    ):
        super().__init__()
        self.k = len(anchors)
        self.branch = nn.Sequential(LightConv(inputs, hidden), LightConv(hidden, hidden))
        self.class_logits = nn.Conv2d(hidden, self.k * classes, 1)
        self.sides = nn.Conv2d(hidden, self.k * 4 * BINS, 1)
        self.objectness = nn.Conv2d(hidden, self.k, 1)
        self.landmarks = nn.Conv2d(hidden, self.k * 2 * landmarks, 1) if landmarks else None
        self.dropout = nn.Dropout2d(dropout)
        cells = torch.tensor(anchors).flip(1) / stride  # (k, 2) height, width in cells
        self.register_buffer("log_cells", cells.log(), persistent=False)
        sums = torch.stack([torch.ones(BINS), torch.arange(float(BINS))])  # of the probabilities, and the mean's
        self.register_buffer("sums", torch.eye(4).kron(sums), persistent=False)  # (8, 4 BINS)
        _start_rare(self.class_logits, self.objectness)

    @property
    def tower(self) -> nn.Module:
        """The layers before those that predict classes and boxes."""
        return self.branch

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, G_y, G_x) -> (B, G_y G_x k, 5 + p + 2 K), columns as in `grid`."""
        x = self.branch(x)
        offsets = self._offsets(_rows(self.sides(x), self.k))
        parts = [_rows(self.objectness(x), self.k), offsets, _rows(self.class_logits(self.dropout(x)), self.k)]
        if self.landmarks:
            parts.append(_rows(self.landmarks(x), self.k))
        return torch.cat(parts, dim=2)

    def _offsets(self, sides: Tensor) -> Tensor:
        """(B, N, 4 BINS) logits -> (B, N, 4) offsets."""
        with torch.autocast(sides.device.type, enabled=False):
            sums = F.linear(sides.float().clamp(-40, 40).exp(), self.sums)  # one product instead of a softmax: faster
        distances = sums[..., 1::2] / sums[..., ::2]  # (B, N, 4) left, top, right, bottom in cells
        near, far = distances.split(2, dim=2)  # type: ignore[no-untyped-call]
        center = (1 + far - near) / 2  # (t_x, t_y)
        log_anchors = self.log_cells.repeat(sides.shape[1] // self.k, 1)  # (N, 2)
        size = (near + far).flip(2).clamp(min=1e-3).log() - log_anchors  # (t_h, t_w)
        return torch.cat([center, size], dim=2)


def _start_rare(*layers: nn.Conv2d) -> None:
    """Set the biases of layers so that they predict few objects at first."""
    for layer in layers:
        if layer.bias is not None:
            nn.init.constant_(layer.bias, RARE)


def _rows(x: Tensor, k: int) -> Tensor:
    """(B, k c, G_y, G_x) -> (B, G_y G_x k, c)."""
    batch, channels = x.shape[:2]
    return x.permute(0, 2, 3, 1).reshape(batch, -1, channels // k)
