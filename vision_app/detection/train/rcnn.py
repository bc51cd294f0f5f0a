"""Trains Fast and Faster R-CNN; their tasks for the training loop, and what training starts from."""

from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vision_app.core.errors import UsageError
from vision_app.core.letterbox import PAD, letterbox
from vision_app.data.samples import DetectionSet
from vision_app.detection.model.rcnn import PROPOSALS, RCNN, RCNNConfig
from vision_app.detection.model.yolo import YOLO
from vision_app.detection.proposals import ProposalCache
from vision_app.detection.region_detector import Propose, letterboxed_regions, load_network
from vision_app.detection.train.initial import check_backbone, known_rows, released_network
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.trainer import SceneTask, find_model
from vision_app.released.write import make_info, write_folder
from vision_app.training.initialize import initialize
from vision_app.training.runs import check_folder


def write_regions_model(
    network: RCNN,
    folder: Path,
    *,
    name: str,
    classes: tuple[str, ...],
    defaults: dict,
    size: int,
    stretch: float = 1.0,
    **about,
) -> None:
    """Writes a model folder with weights in half precision and no ONNX file; see `export.write_model`."""
    info = make_info(
        network,
        name=name,
        task="detection",
        architecture=network.config.to_dict(),
        classes=classes,
        input={"size": size, "pad": PAD, "stretch": stretch},
        defaults=defaults,
        **about,
    )
    write_folder(folder, network, info, half=True)


def write_rcnn(initial: Path, output: Path) -> None:
    """Writes the R-CNN that has the weights of a Fast R-CNN.

    Args:
        initial: a Fast R-CNN model, by its folder or name.

    Raises:
        UsageError: it is another kind of model, or `output` holds a model already.
        ModelError: its files do not fit each other.
    """
    check_folder(output, "model.json")
    if (output / "model.json").exists():
        raise UsageError(f"--output {output}: holds a model already")
    model = find_model(initial)
    kind = model.info["architecture"].get("type")
    if kind != "fast-rcnn":
        raise UsageError(f"--initial {initial}: is of the kind {kind}; R-CNN takes the weights of a fast-rcnn model")
    old = load_network(model)
    network = RCNN(replace(old.config, kind="rcnn"))
    network.load_state_dict(old.state_dict())
    about = {key: model.info[key] for key in ("license", "trained", "learned_from") if key in model.info}
    write_regions_model(
        network, output, name=output.name, classes=model.classes, defaults=model.defaults,
        size=model.value("input.size", int), stretch=model.info["input"].get("stretch", 1.0), **about,
    )  # fmt: skip


class RegionTask(SceneTask):
    """Trains the R-CNN family: the network computes its losses itself, as torchvision's do."""

    with_targets = True
    write = staticmethod(write_regions_model)

    def loss(self, images: Tensor, output: dict[str, Tensor], targets) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The mean losses times the number of pictures, that number, and the losses."""
        count = float(len(images))
        total = torch.stack(list(output.values())).sum() * count
        return total, total.new_tensor(count), {name: value.detach() * count for name, value in output.items()}


def region_task(kind: str, cache: Path) -> type[RegionTask]:
    """The task that trains this kind.

    Args:
        cache: folder that keeps the regions found by selective search, which Fast R-CNN learns from.
    """
    if kind == "faster-rcnn":
        return RegionTask

    class ProposedTask(RegionTask):
        def __init__(self, *args, **others):
            super().__init__(*args, **others)
            size, stretch = self.options.size, self.options.stretch
            search, most = ProposalCache(cache), PROPOSALS[kind]
            self.propose = partial(photo_regions, propose=search, most=most, size=size, stretch=stretch)

    return ProposedTask


def photo_regions(pixels: np.ndarray, *, propose: Propose, most: int, size: int, stretch: float) -> np.ndarray:
    """(R, 4) regions of a photo, (H, W, 3), that are found as in prediction: in the photo as the network takes it."""
    height, width = pixels.shape[:2]
    scaled, back = letterbox(pixels, width, height, size, PAD, stretch)
    return back.to_photo(letterboxed_regions(scaled, back, propose, most))


def starting_regions(
    kind: str, initial: Path | None, data: DetectionSet, options: DetectionOptions
) -> tuple[RCNN, dict]:
    """The network of this kind that training starts from; see `start.starting_network`."""
    if options.dropout:
        raise UsageError(f"--dropout {options.dropout:g}: {kind} has none; the only valid value is 0")
    if initial is None:
        network = RCNN(RCNNConfig(kind, len(data.classes), backbone=options.backbone or "shuffle"))
        initialize(network, options.initialize)
        return network, {}
    model = find_model(initial)
    grid = model.info["architecture"].get("type") == "yolo"
    old = released_network(model) if grid else load_network(model)
    check_backbone(options, old.config.backbone)
    shared = {field.name for field in fields(RCNNConfig)} & set(vars(old.config)) - {"kind", "classes", "proposals"}
    shape = {name: getattr(old.config, name) for name in shared}
    network = RCNN(RCNNConfig(kind, len(data.classes), **shape))
    values = _trunk(old) if grid else old.state_dict()
    _take_over(network, values, known_rows(model.classes, data.classes))
    return network, {}


def _trunk(network: YOLO) -> dict[str, Tensor]:
    """The weights of a grid detector that an `RCNN` has too, by their names there."""
    parts = {"backbone": network.backbone, "neck.neck": network.neck}
    parts |= {f"neck.towers.{i}": head.tower for i, head in enumerate(network.heads)}
    return {f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}


@torch.no_grad()
def _take_over(network: RCNN, values: dict[str, Tensor], rows: dict[int, int]) -> None:
    """Copies weights by name, and the logits of the background and of classes that both know.

    Args:
        rows: index of a class of `network` -> its index in what the weights are of.
    """
    for name, tensor in network.state_dict().items():
        if name not in values:
            continue
        if "class_logits" in name:
            places = {0: 0} | {new + 1: place + 1 for new, place in rows.items()}
            tensor[list(places.keys())] = values[name][list(places.values())]
        else:
            tensor.copy_(values[name])
