"""torchvision's parts of an R-CNN where they have to be other than its own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou


class ProposalNetwork(RegionProposalNetwork):  # type: ignore[misc]
    """torchvision's, which leaves out anchors on ignored boxes."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """See torchvision: labels 1, 0 or -1 (left out) of each image's anchors, and the boxes that they match."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            if len(target["ignored"]):
                ignored = box_iou(anchor, target["ignored"]).amax(dim=1) >= self.proposal_matcher.low_threshold
                label[ignored & (label == 0)] = -1
        return labels, boxes


class StrideAnchors(AnchorGenerator):  # type: ignore[misc]
    """torchvision's anchors at given strides. It would divide the input's size by the map's, which is rounded up."""

    def __init__(
        self, sizes: tuple[tuple[int, ...], ...], ratios: tuple[tuple[float, ...], ...], strides: Sequence[int]
    ):
        super().__init__(sizes, ratios)
        self.strides = strides

    def grid_anchors(self, grid_sizes: list[list[int]], strides: list[list[Tensor]]) -> list[Tensor]:
        """See torchvision; the given strides are not used."""
        device = strides[0][0].device
        own = [[torch.tensor(stride, device=device)] * 2 for stride in self.strides]
        anchors: list[Tensor] = super().grid_anchors(grid_sizes, own)
        return anchors


class BoxPredictor(nn.Module):
    """Predicts class logits and one box for all classes, repeated for each of them as `RoIHeads` expects it."""

    def __init__(self, hidden: int, classes: int):
        super().__init__()
        self.class_logits = nn.Linear(hidden, 1 + classes)
        self.deltas = nn.Linear(hidden, 4)
        nn.init.normal_(self.class_logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        for layer in (self.class_logits, self.deltas):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Turn (R, hidden) into (R, 1 + p) logits and (R, (1 + p) 4) deltas."""
        return self.class_logits(x), self.deltas(x).repeat(1, self.class_logits.out_features)
