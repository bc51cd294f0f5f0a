"""Build a detector's network from its model.json."""

from typing import TypeVar

from torch import nn

from vision_app.core.errors import ModelError
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.released.find import Model
from vision_app.released.runtime import load_module

N = TypeVar("N", bound=nn.Module)


def build_network(model: Model, kind: type[N]) -> N:
    """Return the network of a detector with random weights; for `runtime`, which bounds it by the file of weights.

    Args:
        model: The detector.
        kind: The class that the network must have: `YOLO`, `RCNN`, or a common base of both.

    Raises:
        ModelError: It has another one.
    """
    architecture = model.info["architecture"]
    found = architecture.get("type")
    if found == "yolo":
        network: nn.Module = YOLO(YOLOConfig.from_dict(architecture))
    else:
        from vision_app.detection.model.rcnn import PROPOSALS, RCNN, RCNNConfig  # whose import takes a second

        if found not in PROPOSALS:
            raise ModelError(f"{model.folder}: not a detector of the kinds yolo, {', '.join(PROPOSALS)}")
        network = RCNN(RCNNConfig.from_dict(architecture))
    if not isinstance(network, kind):
        raise ModelError(f"{model.folder}: a detector of the kind {found} does not fit here")
    return network


def load_network(model: Model, kind: type[N]) -> N:
    """Return the network of a detector with its weights.

    Raises:
        ModelError: See `build_network` and `load_module`.
    """
    return load_module(model, lambda: build_network(model, kind))
