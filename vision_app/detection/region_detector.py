"""R-CNN, Fast R-CNN and Faster R-CNN, ready to run, on torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vision_app.core.errors import ModelError
from vision_app.core.letterbox import Letterbox
from vision_app.core.results import Detections
from vision_app.core.timing import Stages
from vision_app.detection.base import DetectOptions, LetterboxDetector
from vision_app.detection.model.rcnn import BOX_WEIGHTS, RCNN, RCNNConfig, Regions
from vision_app.detection.proposals import selective_search
from vision_app.released.find import Model
from vision_app.released.letterbox_model import Inputs, batches
from vision_app.released.runtime import Execution, load_weights

Propose = Callable[..., np.ndarray]  # see `proposals.selective_search`


@dataclass(frozen=True)
class RawRegions:
    """What the head said of each picture's regions, as NumPy arrays, and the ways back to the photos."""

    regions: tuple[Regions, ...]
    letterboxes: tuple[Letterbox, ...]


class RegionDetector(LetterboxDetector):
    """A released detector of the R-CNN family.

    Attributes:
        network: the module.
        propose: what finds regions for R-CNN and Fast R-CNN: selective search, or a `proposals.ProposalCache` of it.
    """

    def __init__(self, model: Model, network: RCNN, *, device: str = "cpu", propose: Propose = selective_search):
        super().__init__(model, runtime="torch", device=device)
        self.network, self.propose = network.eval().to(device, memory_format=torch.channels_last), propose

    @classmethod
    def open(cls, model: Model, execution: Execution) -> "RegionDetector":
        """Open a released model; errors are those of `load.load_detector`."""
        return cls(model, load_network(model), device=execution.on_torch(model.name).device)

    @property
    def searches(self) -> bool:
        """Whether `propose` finds the regions; Faster R-CNN's network finds its own."""
        return self.network.config.kind != "faster-rcnn"

    @torch.inference_mode()
    def forward(self, inputs: Inputs, stages: Stages | None = None) -> RawRegions:
        """Finds regions and looks at them, pictures of one shape together."""
        found: list[Regions | None] = [None] * len(inputs.pixels)
        stages = stages or Stages()
        for indices, pixels in batches(inputs):
            proposals = None
            if self.searches:
                with stages.stage("proposals"):
                    proposals = [self._regions(inputs.pixels[i], inputs.letterboxes[i]) for i in indices]
            images = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() / 255  # channels last
            for i, regions in zip(indices, self._look(images, proposals, stages), strict=True):
                found[i] = Regions(*(tensor.float().cpu().numpy() for tensor in vars(regions).values()))
        return RawRegions(tuple(found), inputs.letterboxes)

    def _regions(self, pixels: np.ndarray, back: Letterbox) -> torch.Tensor:
        boxes = letterboxed_regions(pixels, back, self.propose, self.network.config.proposals)
        return torch.from_numpy(np.asarray(boxes, np.float32)).to(self.device)

    def _look(self, images: torch.Tensor, proposals: Sequence[torch.Tensor] | None, stages: Stages) -> list[Regions]:
        network = self.network
        if network.config.kind == "rcnn":  # backbone and head run on every region by turns
            with stages.stage("network"):
                return network(images, proposals=proposals)
        with stages.stage("backbone"):
            maps = network.maps(images)
        if proposals is None:
            with stages.stage("proposals"):
                proposals = network.propose(images, maps)
        with stages.stage("heads"):
            return network.classify(maps, proposals)

    def postprocess(self, raw: RawRegions, options: DetectOptions = DetectOptions()) -> list[Detections]:
        """Decodes the boxes, drops those below the confidence and suppresses overlaps."""
        options = options.resolved(self)
        return [self._detections(*one, options) for one in zip(raw.regions, raw.letterboxes, strict=True)]

    def _detections(self, regions: Regions, back: Letterbox, options: DetectOptions) -> Detections:
        scores = _softmax(regions.logits)[:, 1:]
        return self._chosen(scores, lambda rows: decode(regions.boxes[rows], regions.deltas[rows]), back, options)


def letterboxed_regions(pixels: np.ndarray, back: Letterbox, propose: Propose, most: int) -> np.ndarray:
    """(R, 4) regions of a letterboxed picture, xyxy in its pixels; what pads it is not looked at."""
    height, width = (max(1, round(side)) for side in (back.height * back.scale_y, back.width * back.scale_x))
    return propose(np.ascontiguousarray(pixels[:height, :width]), most=most)


def load_network(model: Model) -> RCNN:
    """A released model of the R-CNN family as a module.

    Raises:
        ModelError: it is another kind of model, or its weights do not fit what model.json says.
    """
    try:
        network = RCNN(RCNNConfig.from_dict(model.info["architecture"]))
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"{model.folder}: not a model of the R-CNN family ({error})") from error
    load_weights(network, model.file("weights.safetensors"))
    return network


def decode(boxes: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Regions and their deltas -> the objects' boxes, (R, 4) xyxy.

    x = x_r + w_r dx / 10 and w = w_r exp(dw / 5), and so for y and h; x, y are centers and r is the region (Girshick et
    al., 2014, appendix C; the weights are those of Fast R-CNN's code).
    """
    weights = np.array(BOX_WEIGHTS, np.float32)
    dx_dy, dw_dh = deltas[:, :2] / weights[:2], deltas[:, 2:] / weights[2:]
    size = boxes[:, 2:] - boxes[:, :2]
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 + size * dx_dy
    half = size * np.exp(np.minimum(dw_dh, np.log(1000 / 16, dtype=np.float32))) / 2  # the limit is torchvision's
    return np.concatenate([center - half, center + half], axis=1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return powers / powers.sum(axis=1, keepdims=True)
