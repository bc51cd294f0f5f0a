"""What a grid detector is to learn from a batch."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """What is true of one image.

    Attributes:
        boxes: (M, 4) xyxy in input pixels.
        labels: (M,) class indices.
        confidences: (M,) 1 for a box that a person drew, less for one that a teacher proposed.
        unknown: (U, 4) boxes that are neither right nor wrong: predictions on them are not punished.
        landmarks: (M, K, 2) x, y in input pixels, NaN where a point is not known; by default K is 0.
        proposals: (R, 4) boxes where objects may be, for Fast R-CNN; by default R is 0.
    """

    boxes: Tensor
    labels: Tensor
    confidences: Tensor
    unknown: Tensor
    landmarks: Tensor | None = None
    proposals: Tensor | None = None

    def __post_init__(self):
        if self.landmarks is None:
            object.__setattr__(self, "landmarks", self.boxes.new_zeros(len(self.boxes), 0, 2))
        if self.proposals is None:
            object.__setattr__(self, "proposals", self.boxes.new_zeros(0, 4))

    def to(self, device: torch.device | str) -> "Targets":
        return Targets(*(tensor.to(device) for tensor in vars(self).values()))

    def scaled(self, scale: float) -> "Targets":
        """Those of the image at another size."""
        places = ("boxes", "unknown", "landmarks", "proposals")
        return replace(self, **{name: getattr(self, name) * scale for name in places})
