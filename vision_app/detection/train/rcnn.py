"""Train Fast and Faster R-CNN: their tasks for the training loop, and what training starts from."""

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_app.core.errors import UsageError
from vision_app.core.letterbox import PAD, letterbox
from vision_app.data.samples import DetectionSet
from vision_app.detection.model.build import load_network
from vision_app.detection.model.rcnn import PROPOSALS, RCNN, RCNNConfig
from vision_app.detection.model.yolo import YOLO
from vision_app.detection.proposals import ProposalCache
from vision_app.detection.region_detector import Propose, letterboxed_regions
from vision_app.detection.train.export import check_output, settings_of, write_letterboxed
from vision_app.detection.train.initial import check_backbone, copy_rows, find_model, known_rows
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.trainer import SceneTask
from vision_app.training.initialize import initialize


def write_regions_model(network: RCNN, folder: Path, **about: Any) -> None:
    """Write a model folder with weights in half precision and no ONNX file; see `export.write_letterboxed`."""
    write_letterboxed(network, folder, task="detection", half=True, **about)


def write_rcnn(initial: Path, output: Path) -> None:
    """Write the R-CNN that has the weights of a Fast R-CNN.

    Args:
        initial: A Fast R-CNN model, by its folder or name.
        output: Where to write.

    Raises:
        UsageError: `initial` is another kind of model, or `output` contains a model already.
        ModelError: The files of `initial` do not fit each other.
    """
    check_output(output)
    model = find_model(initial)
    kind = model.info["architecture"].get("type")
    if kind != "fast-rcnn":
        raise UsageError(f"--initial {initial}: is of the kind {kind}; R-CNN takes the weights of a fast-rcnn model")
    old = load_network(model, RCNN)
    network = RCNN(replace(old.config, kind="rcnn"))
    network.load_state_dict(old.state_dict())
    about = {key: model.info[key] for key in ("license", "trained", "learned_from") if key in model.info}
    write_regions_model(network, output, name=output.name, **settings_of(model), **about)


class RegionTask(SceneTask):
    """Trains the R-CNN family, whose network computes its losses itself, as torchvision's do."""

    with_targets = True
    write = staticmethod(write_regions_model)

    def loss(self, images: Tensor, output: Any, targets: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the mean losses times the number of images, that number, and the losses."""
        count = float(len(images))
        total = torch.stack(list(output.values())).sum() * count
        return total, total.new_tensor(count), {name: value.detach() * count for name, value in output.items()}


def region_task(kind: str, cache: Path) -> type[RegionTask]:
    """Return the task that trains a kind of detector.

    Args:
        kind: "fast-rcnn" or "faster-rcnn".
        cache: Folder for the regions found by selective search, which Fast R-CNN learns from.
    """
    if kind == "faster-rcnn":
        return RegionTask

    class ProposedTask(RegionTask):
        def __init__(self, *args: Any, **others: Any):
            super().__init__(*args, **others)
            size, stretch = self.options.size, self.options.stretch
            search, most = ProposalCache(cache), PROPOSALS[kind]
            self.propose = partial(photo_regions, propose=search, most=most, size=size, stretch=stretch)

    return ProposedTask


def photo_regions(pixels: np.ndarray, *, propose: Propose, most: int, size: int, stretch: float) -> np.ndarray:
    """Return (R, 4) regions of a photo, (H, W, 3), found as in prediction: in the photo as the network takes it."""
    height, width = pixels.shape[:2]
    scaled, back = letterbox(pixels, width, height, size, PAD, stretch)
    return back.to_photo(letterboxed_regions(scaled, back, propose, most))


def starting_regions(
    kind: str, initial: Path | None, data: DetectionSet, options: DetectionOptions
) -> tuple[RCNN, dict[str, Any]]:
    """Return the network of this kind that training starts from; see `initial.starting_network`."""
    if options.dropout:
        raise UsageError(f"--dropout {options.dropout:g}: {kind} has none; the only valid value is 0")
    if initial is None:
        network = RCNN(RCNNConfig(kind, len(data.classes), backbone=options.backbone or "shuffle"))
        initialize(network, options.initialize)
        return network, {}
    model = find_model(initial)
    is_grid = model.info["architecture"].get("type") == "yolo"
    old = load_network(model, YOLO) if is_grid else load_network(model, RCNN)
    check_backbone(options, old.config.backbone)
    shared = {field.name for field in fields(RCNNConfig)} & set(vars(old.config)) - {"kind", "classes", "proposals"}
    shape = {name: getattr(old.config, name) for name in shared}
    network = RCNN(RCNNConfig(kind, len(data.classes), **shape))
    values = _trunk(old) if isinstance(old, YOLO) else old.state_dict()
    _take_over(network, values, known_rows(model.classes, data.classes))
    return network, {}


def _trunk(network: YOLO) -> dict[str, Tensor]:
    """Return the weights of a grid detector that an `RCNN` has, too, by their names there."""
    parts: dict[str, Any] = {"backbone": network.backbone, "neck.neck": network.neck}
    parts |= {f"neck.towers.{i}": head.tower for i, head in enumerate(network.heads)}
    return {f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}


@torch.no_grad()
def _take_over(network: RCNN, values: Mapping[str, Tensor], rows: Mapping[int, int]) -> None:
    """Copy weights by name, and the logits of the background and of classes that both know.

    Args:
        network: Takes the weights.
        values: Weights by name.
        rows: Index of a class of `network` -> its index in the network that the weights are of.
    """
    places = {0: 0} | {new + 1: place + 1 for new, place in rows.items()}  # behind the background
    for name, tensor in network.state_dict().items():
        if name in values and "class_logits" in name:
            copy_rows(tensor, values[name], places, len(tensor), len(values[name]))
        elif name in values:
            tensor.copy_(values[name])
