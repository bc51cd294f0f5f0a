"""Build a detector's network from its model.json."""

from typing import TypeVar

from torch import nn

from vision_app.core.errors import ModelError
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.released.find import Model
from vision_app.released.runtime import built_from, load_weights

N = TypeVar("N", bound=nn.Module)


def build_network(model: Model, kind: type[N]) -> N:
    """Return the network of a detector with random weights.

    Args:
        model: The detector.
        kind: The class that the network must have: `YOLO`, `RCNN`, or a common base of both.

    Raises:
        ModelError: It has another one, or its model.json cannot be used.
    """
    architecture = model.info["architecture"]
    found = architecture.get("type")
    with built_from(model):
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
        ModelError: See `build_network`; or the weights do not fit what model.json says.
    """
    network = build_network(model, kind)
    load_weights(network, model.file("weights.safetensors"))
    return network
