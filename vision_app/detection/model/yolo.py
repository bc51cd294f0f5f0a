"""The grid detector as a torch module: backbone, neck, and heads with k anchors per cell; its grid and targets."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vision_app.core.errors import UsageError, unknown
from vision_app.core.labeled_boxes import REGION, LabeledBoxes
from vision_app.core.timing import Stages
from vision_app.detection.grid import Anchors, make_grid
from vision_app.detection.model.backbone import BACKBONES
from vision_app.detection.model.heads import DecoupledHead, DistributionHead
from vision_app.detection.model.neck import LightPathAggregation, PathAggregation


@dataclass(frozen=True)
class Layout:
    """What goes with a backbone: neck, head, anchors per cell, and the width and depths that it was designed with."""

    neck: type[PathAggregation] | type[LightPathAggregation] = PathAggregation
    head: type[DecoupledHead] | type[DistributionHead] = DecoupledHead
    width: int = 16
    depths: tuple[int, ...] = (1, 3, 3, 1)
    anchors: int = 2


LAYOUTS = {
    "csp": Layout(),
    "residual": Layout(),
    "inception": Layout(),
    "shuffle": Layout(LightPathAggregation, DistributionHead, 24, (3, 7, 3), anchors=1),
}


def layout(backbone: str) -> Layout:
    """Return the layout of a backbone.

    Raises:
        UsageError: There is no backbone of this name.
    """
    if backbone not in LAYOUTS:
        raise UsageError("--backbone: " + unknown("backbone", backbone, tuple(LAYOUTS)))
    return LAYOUTS[backbone]


@dataclass(frozen=True)
class YOLOConfig:
    """Everything that decides the network's shape.

    Attributes:
        classes: Number of classes p.
        anchors: For each of the strides its k anchors, (width, height) in input pixels.
        backbone: One of `LAYOUTS`, which also decides neck and head.
        width: Channels after the stem; by default the layout's.
        depths: Number of blocks in each stage of the backbone; by default the layout's.
        dropout: Probability that a channel in front of the class layer is dropped in training.
        landmarks: Number of points K of a box.
    """

    classes: int
    anchors: Anchors
    backbone: str = "csp"
    width: int = 0
    depths: tuple[int, ...] = ()
    dropout: float = 0.0
    landmarks: int = 0

    def __post_init__(self) -> None:
        chosen = layout(self.backbone)
        object.__setattr__(self, "width", self.width or chosen.width)
        object.__setattr__(self, "depths", self.depths or chosen.depths)
        if len(self.anchors) != len(self.strides) or len({len(scale) for scale in self.anchors}) != 1:
            raise ValueError(f"anchors must be given for {len(self.strides)} scales, the same number for each")

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of the maps that the heads predict from."""
        return layout(self.backbone).neck.strides

    def to_dict(self) -> dict[str, Any]:
        """Return the values as model.json has them."""
        values = {"type": "yolo", "strides": list(self.strides), **asdict(self)}
        return values if self.landmarks else {key: value for key, value in values.items() if key != "landmarks"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "YOLOConfig":
        """Return the config that `to_dict` gave."""
        return cls(
            classes=values["classes"],
            anchors=tuple(tuple(tuple(anchor) for anchor in scale) for scale in values["anchors"]),
            backbone=values.get("backbone", "csp"),
            width=values["width"],
            depths=tuple(values["depths"]),
            dropout=values.get("dropout", 0.0),
            landmarks=values.get("landmarks", 0),
        )


class YOLO(nn.Module):
    """The whole network: (B, 3, H, W), RGB in 0..1, sides multiples of 32 -> (B, N, 5 + p + 2 K), see `grid`."""

    def __init__(self, config: YOLOConfig):
        super().__init__()
        self.config = config
        parts = layout(config.backbone)
        self.backbone = BACKBONES[config.backbone](config.width, config.depths)
        self.neck = parts.neck(self.backbone.channels)
        hidden, scales = self.backbone.channels[0], zip(self.neck.channels, config.anchors, config.strides, strict=True)
        self.heads = nn.ModuleList(
            parts.head(inputs, hidden, config.classes, anchors, stride, config.dropout, config.landmarks)
            for inputs, anchors, stride in scales
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the output of (B, 3, H, W) images."""
        return self.answer(self.maps(images))

    def maps(self, images: Tensor) -> Sequence[Tensor]:
        """Return the input of the heads: the neck's maps, (B, c, H/s, W/s) for each stride s."""
        maps: Sequence[Tensor] = self.neck(self.backbone(images))
        return maps

    def answer(self, maps: Sequence[Tensor]) -> Tensor:
        """Turn the neck's maps into the output, (B, N, 5 + p + 2 K)."""
        return torch.cat([head(x) for head, x in zip(self.heads, maps, strict=True)], dim=1)

    def timed(self, pixels: Tensor, stages: Stages) -> Tensor:
        """Return the output of (B, H, W, 3) uint8 pixels, computed in stages."""
        with stages.stage("backbone"):
            maps = self.maps(to_floats(pixels))
        with stages.stage("heads"):
            return self.answer(maps)


class ByteInput(nn.Module):
    """A `YOLO` behind the input that is exported: (B, H, W, 3) uint8 RGB pixels instead of floats in 0..1."""

    def __init__(self, network: YOLO):
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the network's output."""
        output: Tensor = self.network(to_floats(pixels))
        return output

    def timed(self, pixels: Tensor, stages: Stages) -> Tensor:
        """Return the network's output, computed in stages."""
        return self.network.timed(pixels, stages)


def to_floats(pixels: Tensor) -> Tensor:
    """Turn (B, H, W, 3) uint8 pixels into (B, 3, H, W) in 0..1."""
    return pixels.permute(0, 3, 1, 2).float() / 255


@dataclass(frozen=True)
class TorchGrid:
    """`grid.Grid` as tensors on a device, for the loss."""

    cells: Tensor  # (N, 2) column, row
    strides: Tensor  # (N, 1) pixels per cell
    table: Tensor  # (S, k, 2) the anchors of every scale, width and height in pixels
    scale: Tensor  # (N,) index of the scale that a row belongs to
    slot: Tensor  # (N,) which of its cell's k anchors a row is

    @classmethod
    def make(
        cls, height: int, width: int, strides: tuple[int, ...], anchors: Anchors, device: torch.device | str = "cpu"
    ) -> "TorchGrid":
        """Return the grid of an input of height x width pixels; see `grid.make_grid`."""
        grid = make_grid(height, width, strides, anchors)
        table = torch.tensor(anchors, device=device)
        k = table.shape[1]
        cells, steps = (torch.from_numpy(part).to(device) for part in (grid.cells, grid.strides))
        counts = torch.tensor([-(-height // s) * -(-width // s) * k for s in strides], device=device)
        scale = torch.arange(len(strides), device=device).repeat_interleave(counts)
        return cls(cells, steps, table, scale, torch.arange(k, device=device).repeat(len(cells) // k))

    @property
    def anchors(self) -> Tensor:
        """The (N, 2) width and height of every row's anchor."""
        return self.table[self.scale, self.slot]

    @property
    def centers(self) -> Tensor:
        """The (N, 2) centers of the cells in input pixels."""
        return (self.cells + 0.5) * self.strides

    def decode(self, offsets: Tensor) -> Tensor:
        """Turn (..., N, 4) offsets (t_x, t_y, t_h, t_w) into boxes xyxy in input pixels; see `Grid.decode`."""
        center = (self.cells + offsets[..., :2]) * self.strides
        half = self.anchors * offsets[..., 2:].flip(-1).clamp(max=10).exp() / 2
        return torch.cat([center - half, center + half], dim=-1)

    def landmarks(self, offsets: Tensor, rows: Tensor) -> Tensor:
        """Turn (P, 2 K) offsets of the given rows into (P, K, 2) points in input pixels; see `Grid.landmarks`."""
        points: Tensor = offsets.unflatten(1, (-1, 2))  # type: ignore[no-untyped-call]
        return self.centers[rows, None] + points * self.anchors[rows, None]


@dataclass(frozen=True)
class Targets:
    """The ground truth of one image by its role in a loss.

    Attributes:
        boxes: (M, 4) xyxy in input pixels, without ignored ones.
        labels: (M,) class indices.
        scores: (M,) 1 for a box that a person drew, less for one that a teacher proposed.
        landmarks: (M, K, 2) x, y in input pixels, NaN where a point is not known.
        ignored: (U, 4) ignore regions: predictions in them are not penalized.
        proposals: (R, 4) boxes where objects may be, for Fast R-CNN.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    landmarks: Tensor
    ignored: Tensor
    proposals: Tensor

    @classmethod
    def of(cls, boxes: LabeledBoxes, device: torch.device | str = "cpu") -> "Targets":
        """Return the targets that the boxes of an image make, on a device."""
        region = boxes.labels == REGION
        found = boxes[~(region | boxes.ignored)]
        parts = (found.xyxy, found.labels, found.scores, found.landmarks)
        rest = (boxes.xyxy[boxes.ignored], boxes.xyxy[region])
        return cls(*(torch.from_numpy(part).to(device) for part in (*parts, *rest)))
