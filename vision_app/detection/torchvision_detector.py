"""Detectors that torchvision publishes with COCO weights, fetched when the user names one for the first time.

They go by `torchvision:NAME`, e.g. `torchvision:fasterrcnn_resnet50_fpn_v2`. Nothing else in Vision App goes online but
the style encoder `vgg19`.
"""

import os
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchvision.models import detection, get_model, get_model_weights, list_models

from vision_app.core.boxes import clip
from vision_app.core.errors import ModelError, UsageError
from vision_app.core.flags import flag
from vision_app.core.images import RGBImage
from vision_app.core.results import Detections
from vision_app.core.several import several
from vision_app.core.timing import Stages
from vision_app.detection.base import Detector, ResolvedOptions
from vision_app.released.execution import Execution
from vision_app.released.find import Model
from vision_app.released.published import fetch

PREFIX = "torchvision:"
DEFAULTS = {"confidence": 0.5, "iou": 0.5, "max_detections": 100}  # usual values; not measured here
# What the networks give, before the user's options: torchvision's own limits are stricter.
LOWEST, LOOSEST, MOST = 0.01, 0.7, 300  # score, IoU of two boxes that both stay, boxes per image


class TorchvisionDetector(Detector):
    """A network of `torchvision.models.detection` with its published weights. Each image goes through it alone.

    Raises:
        ModelError: There is no such detector, its weights cannot be fetched, or they are damaged.
        UsageError: There is no such device, or another runtime than torch was asked for.
    """

    runtime = "torch"
    defaults = DEFAULTS
    target = 1333  # pixels that torchvision scales the long side to at most

    def __init__(self, name: str, execution: Execution = Execution()):
        self.name, self.device = name, execution.on_torch(name).device
        architecture = name.removeprefix(PREFIX)
        if architecture not in (names := published()):
            raise ModelError(f"unknown model {name!r}; {PREFIX}NAME takes {', '.join(names)}")
        weights = get_model_weights(architecture).DEFAULT
        path = fetch(name, weights.url, weights.meta["_file_size"])
        # torchvision reads the file itself, since it changes some layers to suit it; nothing in it may run.
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        try:
            self.network = get_model(architecture, weights=weights, progress=False).eval().to(self.device)
        except (RuntimeError, pickle.UnpicklingError) as error:
            raise ModelError(f"{path}: not the weights of this network ({error})") from error
        limits = getattr(self.network, "roi_heads", self.network)
        limits.score_thresh, limits.nms_thresh, limits.detections_per_img = LOWEST, LOOSEST, MOST
        self._categories = weights.meta["categories"]  # 91, of which eleven are no classes
        self.classes = tuple(name for name in self._categories if name not in ("__background__", "N/A"))
        self.models = (_describe(name, path, self.classes, weights.meta["num_params"]),)

    def scaled(self, factor: float) -> Detector:
        """Refuse: the networks choose their input size themselves."""
        raise UsageError(f"{flag('tta')}: not with {self.name}, which chooses its input size itself")

    def preprocess(self, images: RGBImage | Sequence[RGBImage]) -> tuple[RGBImage, ...]:
        """Return the images as they are: the networks scale them."""
        return tuple(several(images))

    def join(self, parts: Sequence[tuple[RGBImage, ...]]) -> tuple[RGBImage, ...]:
        """Join the images of several parts."""
        return tuple(image for part in parts for image in part)

    @torch.inference_mode()
    def forward(self, inputs: Sequence[RGBImage], stages: Stages | None = None) -> list[Detections]:
        """Detect objects, those of low scores too, in one image after the other: a batch would change the padding."""
        with (stages or Stages()).stage("network"):
            return [self._all_detections(image) for image in inputs]

    def _all_detections(self, image: RGBImage) -> Detections:
        pixels = torch.from_numpy(np.array(image.pixels)).to(self.device).permute(2, 0, 1).float() / 255
        (found,) = self.network([pixels])
        boxes, scores = (found[key].float().cpu().numpy() for key in ("boxes", "scores"))
        height, width = image.pixels.shape[:2]
        boxes = clip(boxes * np.array([image.width / width, image.height / height] * 2), image.width, image.height)
        names = [self._categories[i] for i in found["labels"].tolist()]
        real = [i for i, name in enumerate(names) if name in self.classes]
        labels = tuple(names[i] for i in real)
        return Detections(boxes[real], scores[real], labels, image.width, image.height, self.name)

    def _detections(self, raw: Detections, options: ResolvedOptions) -> Detections:
        return options.select(raw)


def published() -> list[str]:
    """Return the names of torchvision's detectors of boxes."""
    return [name for name in list_models(module=detection) if not name.startswith(("maskrcnn", "keypointrcnn"))]


def _describe(name: str, path: Path, classes: tuple[str, ...], parameters: int) -> Model:
    """Describe a published network as `model.json` would; the file's name holds a part of its digest."""
    info = {
        "task": "detection",
        "classes": list(classes),
        "architecture": {"type": "torchvision", "name": name.removeprefix(PREFIX)},
        "input": {},
        "defaults": DEFAULTS,
        "parameters": parameters,
        "files": {path.name: {"bytes": path.stat().st_size}},
    }
    return Model(name, path.parent, info)
