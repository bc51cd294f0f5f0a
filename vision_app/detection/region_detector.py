"""R-CNN, Fast R-CNN and Faster R-CNN, ready to run, on torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from vision_app.core.letterbox import Letterbox
from vision_app.core.results import Detections
from vision_app.core.timing import Stages
from vision_app.detection.base import LetterboxDetector, ResolvedOptions
from vision_app.detection.model.build import load_network
from vision_app.detection.model.rcnn import BOX_WEIGHTS, RCNN, Regions
from vision_app.detection.model.yolo import to_floats
from vision_app.detection.proposals import selective_search
from vision_app.released.execution import Execution
from vision_app.released.find import Model
from vision_app.released.letterbox_model import Inputs, batches
from vision_app.released.runtime import check_finite

Propose = Callable[..., np.ndarray]  # see `proposals.selective_search`


@dataclass(frozen=True)
class RegionOutput:
    """What the head gives for one image's regions.

    Attributes:
        boxes: (R, 4) float32, the regions as proposed, xyxy in input pixels.
        logits: (R, 1 + p) float32 of background and the classes.
        deltas: (R, 4) float32 from the region to the object; see `decode`.
        letterbox: The way back to the pixels of the photo.
    """

    boxes: np.ndarray
    logits: np.ndarray
    deltas: np.ndarray
    letterbox: Letterbox


class RegionDetector(LetterboxDetector):
    """A released detector of the R-CNN family.

    Attributes:
        network: The module.
        propose: Finds regions for R-CNN and Fast R-CNN: selective search, or a `proposals.ProposalCache` of it.
    """

    def __init__(self, model: Model, network: RCNN, *, device: str = "cpu", propose: Propose = selective_search):
        super().__init__(model, runtime="torch", device=device)
        self.network: RCNN = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.propose = propose

    @classmethod
    def open(cls, model: Model, execution: Execution) -> Self:
        """Open a released model; errors are those of `load.load_detector`."""
        return cls(model, load_network(model, RCNN), device=execution.on_torch(model.name).device)

    @property
    def searches(self) -> bool:
        """Whether `propose` finds the regions; Faster R-CNN's network finds its own."""
        return self.network.config.kind != "faster-rcnn"

    @torch.inference_mode()
    def forward(self, inputs: Inputs, stages: Stages | None = None) -> list[RegionOutput]:
        """Find regions and classify them, images of one shape together."""
        found: dict[int, RegionOutput] = {}
        stages = stages or Stages()
        for indices, pixels in batches(inputs):
            proposals = None
            if self.searches:
                with stages.stage("proposals"):
                    proposals = [self._regions(inputs.pixels[i], inputs.letterboxes[i]) for i in indices]
            images = to_floats(torch.from_numpy(pixels).to(self.device))  # channels last
            for i, regions in zip(indices, self._classified(images, proposals, stages), strict=True):
                arrays = {name: tensor.float().cpu().numpy() for name, tensor in vars(regions).items()}
                check_finite(np.concatenate([arrays["logits"], arrays["deltas"]], axis=1), self.name)
                found[i] = RegionOutput(**arrays, letterbox=inputs.letterboxes[i])
        return [found[i] for i in range(len(inputs.pixels))]

    def _regions(self, pixels: np.ndarray, back: Letterbox) -> torch.Tensor:
        boxes = letterboxed_regions(pixels, back, self.propose, self.network.config.proposals)
        return torch.from_numpy(np.asarray(boxes, np.float32)).to(self.device)

    def _classified(
        self, images: torch.Tensor, proposals: Sequence[torch.Tensor] | None, stages: Stages
    ) -> list[Regions]:
        network = self.network
        if network.config.kind == "rcnn":  # backbone and head run on every region in turn
            with stages.stage("network"):
                regions: list[Regions] = network(images, proposals=proposals)
                return regions
        with stages.stage("backbone"):
            maps = network.maps(images)
        if proposals is None:
            with stages.stage("proposals"):
                proposals = network.propose(images, maps)
        with stages.stage("heads"):
            return network.classify(maps, proposals)

    def _detections(self, raw: RegionOutput, options: ResolvedOptions) -> Detections:
        powers = np.exp(raw.logits - raw.logits.max(axis=1, keepdims=True, initial=-np.inf))
        scores = powers / powers.sum(axis=1, keepdims=True)  # softmax
        return self._selected(
            scores[:, 1:], lambda rows: decode(raw.boxes[rows], raw.deltas[rows]), raw.letterbox, options
        )


def letterboxed_regions(pixels: np.ndarray, back: Letterbox, propose: Propose, most: int) -> np.ndarray:
    """Return (R, 4) regions of a letterboxed image, xyxy in its pixels, proposed for the image without its padding."""
    height, width = (max(1, round(side)) for side in (back.height * back.scale_y, back.width * back.scale_x))
    return propose(np.ascontiguousarray(pixels[:height, :width]), most=most)


def decode(boxes: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Turn regions and their deltas into the objects' boxes, (R, 4) xyxy.

    x = x_r + w_r dx / 10 and w = w_r exp(dw / 5), and so for y and h; x, y are centers and r is the region (Girshick et
    al., 2014, appendix C; the weights are those of Fast R-CNN's code).
    """
    weights = np.array(BOX_WEIGHTS, np.float32)
    dx_dy, dw_dh = deltas[:, :2] / weights[:2], deltas[:, 2:] / weights[2:]
    size = boxes[:, 2:] - boxes[:, :2]
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 + size * dx_dy
    half = size * np.exp(np.minimum(dw_dh, np.log(1000 / 16, dtype=np.float32))) / 2  # the limit is torchvision's
    return np.concatenate([center - half, center + half], axis=1)
