"""Build a detector's network from its model.json."""

from typing import TYPE_CHECKING, TypeVar

from vision_app.core.errors import ModelError
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.released.find import Model
from vision_app.released.runtime import load_weights

if TYPE_CHECKING:
    from vision_app.detection.model.rcnn import RCNN

N = TypeVar("N", YOLO, "RCNN")


def build_network(model: Model) -> "YOLO | RCNN":
    """Return the network of a detector with random weights.

    Raises:
        ModelError: The model is no detector of these kinds, or its model.json cannot be used.
    """
    architecture = model.info["architecture"]
    kind = architecture.get("type")
    try:
        if kind == "yolo":
            return YOLO(YOLOConfig.from_dict(architecture))
        from vision_app.detection.model.rcnn import PROPOSALS, RCNN, RCNNConfig  # whose import takes a second

        if kind in PROPOSALS:
            return RCNN(RCNNConfig.from_dict(architecture))
    except (KeyError, TypeError, ValueError) as error:
        raise model.lacks("architecture") from error
    raise ModelError(f"{model.folder}: not a detector of the kinds yolo, {', '.join(PROPOSALS)}, but {kind}")


def load_network(model: Model, kind: type[N]) -> N:
    """Return the network of a detector with its weights.

    Args:
        model: The detector.
        kind: The class that the network must have.

    Raises:
        ModelError: It has another one, its model.json cannot be used, or the weights do not fit it.
    """
    network = build_network(model)
    if not isinstance(network, kind):
        raise ModelError(f"{model.folder}: not a detector of the kind {kind.__name__}, but {type(network).__name__}")
    load_weights(network, model.file("weights.safetensors"))
    return network
