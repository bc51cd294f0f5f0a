"""Trains Fast and Faster R-CNN; their tasks for the training loop, and what training starts from."""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from vision_app.data.samples import DetectionSet
from vision_app.detection.rcnn import RCNN, RCNNConfig
from vision_app.detection.region_detector import load_network
from vision_app.detection.start import known_rows, released_network
from vision_app.detection.train import SceneTask, find_model
from vision_app.errors import UsageError
from vision_app.letterbox import PAD
from vision_app.model_folder import write_folder
from vision_app.training.initialize import initialize


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
    info = {
        "name": name,
        "version": "1",
        "task": "detection",
        "architecture": network.config.to_dict(),
        "classes": list(classes),
        "input": {"size": size, "pad": PAD, "stretch": stretch, "color": "RGB"},
        "defaults": defaults,
        "parameters": sum(p.numel() for p in network.parameters()),
        **about,
    }
    write_folder(folder, copy.deepcopy(network).half(), info)


class RegionTask(SceneTask):
    """Trains the R-CNN family: the network computes its losses itself, as torchvision's do."""

    with_targets = True
    write = staticmethod(write_regions_model)

    def loss(self, images: Tensor, output: dict[str, Tensor], targets) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The mean losses times the number of pictures, that number, and the losses."""
        count = float(len(images))
        total = torch.stack(list(output.values())).sum() * count
        return total, total.new_tensor(count), {name: value.detach() * count for name, value in output.items()}


def region_task(kind: str) -> type[RegionTask]:
    """The task that trains this kind."""
    return RegionTask


def starting_regions(kind: str):
    """What makes the network of this kind that training starts from; see `start.starting_network`."""

    def start(
        initial: Path | None,
        data: DetectionSet,
        *,
        size: int,
        stretch: float = 1.0,
        backbone: str | None = None,
        initialization: str = "he",
        dropout: float = 0.0,
    ) -> tuple[RCNN, dict]:
        if dropout:
            raise UsageError(f"--dropout {dropout:g}: {kind} has none; the only valid value is 0")
        if initial is None:
            network = RCNN(RCNNConfig(kind, len(data.classes), backbone=backbone or "shuffle"))
            initialize(network, initialization)
            return network, {}
        model = find_model(initial)
        old = (released_network if model.info["architecture"].get("type") == "yolo" else load_network)(model)
        if backbone not in (None, old.config.backbone):
            raise UsageError(f"--backbone {backbone}: the model to start from has the backbone {old.config.backbone}")
        shape = {name: getattr(old.config, name) for name in ("backbone", "width", "depths")}
        network = RCNN(RCNNConfig(kind, len(data.classes), **shape))
        _take_over(network, old, known_rows(model.classes, data.classes))
        return network, {}

    return start


@torch.no_grad()
def _take_over(network: RCNN, old: nn.Module, rows: dict[int, int]) -> None:
    """Copies what the two networks share, and the logits of the background and of classes that both know.

    Args:
        rows: index of a class of `network` -> its index in `old`.
    """
    tensors, values = network.state_dict(), old.state_dict()
    for name, tensor in tensors.items():
        if "class_logits" in name and name in values:
            places = {0: 0} | {new + 1: place + 1 for new, place in rows.items()}
            tensor[list(places.keys())] = values[name][list(places.values())]
        elif name in values and values[name].shape == tensor.shape:
            tensor.copy_(values[name])
