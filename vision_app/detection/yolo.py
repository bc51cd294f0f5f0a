"""The grid detector as a torch module: backbone, neck, and a decoupled head with k anchors a cell."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from vision_app.detection.backbone import STRIDES, CSPBackbone
from vision_app.detection.blocks import ConvUnit, SeparableConv
from vision_app.detection.grid import Anchors, make_grid
from vision_app.detection.neck import PathAggregation


@dataclass(frozen=True)
class YOLOConfig:
    """Everything that decides the network's shape.

    Attributes:
        classes: number of classes p.
        anchors: for each of the strides 8, 16, 32 its k anchors, (width, height) in input pixels.
        width: channels after the stem.
        depths: bottlenecks in the four stages of the backbone.
    """

    classes: int
    anchors: Anchors
    width: int = 16
    depths: tuple[int, ...] = (1, 3, 3, 1)

    def __post_init__(self):
        if len(self.anchors) != len(STRIDES) or len({len(scale) for scale in self.anchors}) != 1:
            raise ValueError(f"anchors must be given for {len(STRIDES)} scales, the same number for each")

    def to_dict(self) -> dict:
        return {"type": "yolo", "strides": list(STRIDES), **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping) -> "YOLOConfig":
        return cls(
            classes=values["classes"],
            anchors=tuple(tuple(tuple(anchor) for anchor in scale) for scale in values["anchors"]),
            width=values["width"],
            depths=tuple(values["depths"]),
        )


class ScaleHead(nn.Module):
    """The head of one scale: one branch for the classes, one for objectness and box."""

    def __init__(self, inputs: int, hidden: int, k: int, classes: int):
        super().__init__()
        self.stem = ConvUnit(inputs, hidden)
        self.class_branch = nn.Sequential(SeparableConv(hidden, hidden), SeparableConv(hidden, hidden))
        self.box_branch = nn.Sequential(SeparableConv(hidden, hidden), SeparableConv(hidden, hidden))
        self.class_logits = nn.Conv2d(hidden, k * classes, 1)
        self.objectness = nn.Conv2d(hidden, k, 1)
        self.offsets = nn.Conv2d(hidden, k * 4, 1)
        self.k = k
        rare = -math.log((1 - 0.01) / 0.01)  # start from "1 % of the cells hold something" (Lin et al., 2017)
        for layer in (self.class_logits, self.objectness):
            nn.init.constant_(layer.bias, rare)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, G_y, G_x) -> (B, G_y G_x k, 5 + p), columns (p_c, t_x, t_y, t_h, t_w, c_1 ... c_p)."""
        x = self.stem(x)
        box_features = self.box_branch(x)
        parts = (self.objectness(box_features), self.offsets(box_features), self.class_logits(self.class_branch(x)))
        return torch.cat([_rows(part, self.k) for part in parts], dim=2)


def _rows(x: Tensor, k: int) -> Tensor:
    """(B, k c, G_y, G_x) -> (B, G_y G_x k, c)."""
    batch, channels = x.shape[:2]
    return x.permute(0, 2, 3, 1).reshape(batch, -1, channels // k)


class YOLO(nn.Module):
    """The whole network. Input (B, 3, H, W), RGB in 0..1, H and W multiples of 32; output (B, N, 5 + p), see `grid`."""

    def __init__(self, config: YOLOConfig):
        super().__init__()
        self.config = config
        self.backbone = CSPBackbone(config.width, config.depths)
        self.neck = PathAggregation(self.backbone.channels)
        k, hidden = len(config.anchors[0]), self.backbone.channels[0]
        self.heads = nn.ModuleList(ScaleHead(c, hidden, k, config.classes) for c in self.neck.channels)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.neck(self.backbone(images))
        return torch.cat([head(x) for head, x in zip(self.heads, maps, strict=True)], dim=1)


class ByteInput(nn.Module):
    """A network behind the input that is exported: (B, H, W, 3) uint8 RGB pixels instead of floats in 0..1."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixels.permute(0, 3, 1, 2).float() / 255)


@dataclass(frozen=True)
class TorchGrid:
    """`grid.Grid` as tensors on a device, for the loss."""

    cells: Tensor  # (N, 2) column, row
    strides: Tensor  # (N, 1) pixels per cell
    table: Tensor  # (S, k, 2) the anchors of every scale, width and height in pixels
    scale: Tensor  # (N,) index of the scale that a row belongs to
    slot: Tensor  # (N,) which of its cell's k anchors a row is

    @classmethod
    def make(cls, height: int, width: int, anchors: Anchors, device: torch.device | str = "cpu") -> "TorchGrid":
        grid = make_grid(height, width, STRIDES, anchors)
        table = torch.tensor(anchors, device=device)
        k = table.shape[1]
        cells, strides = (torch.from_numpy(part).to(device) for part in (grid.cells, grid.strides))
        counts = torch.tensor([height // s * (width // s) * k for s in STRIDES], device=device)
        scale = torch.arange(len(STRIDES), device=device).repeat_interleave(counts)
        return cls(cells, strides, table, scale, torch.arange(k, device=device).repeat(len(cells) // k))

    @property
    def anchors(self) -> Tensor:
        """(N, 2) width and height of every row's anchor."""
        return self.table[self.scale, self.slot]

    @property
    def centers(self) -> Tensor:
        """(N, 2) the centers of the cells in input pixels."""
        return (self.cells + 0.5) * self.strides

    def decode(self, offsets: Tensor) -> Tensor:
        """(..., N, 4) offsets (t_x, t_y, t_h, t_w) -> (..., N, 4) boxes xyxy in input pixels; see `Grid.decode`."""
        center = (self.cells + offsets[..., :2]) * self.strides
        half = self.anchors * offsets[..., 2:].flip(-1).clamp(max=10).exp() / 2
        return torch.cat([center - half, center + half], dim=-1)
