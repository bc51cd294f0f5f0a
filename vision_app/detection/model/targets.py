"""What a detector is to learn of one image, as tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vision_app.core.labeled_boxes import REGION, LabeledBoxes


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
