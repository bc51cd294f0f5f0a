"""Write a classifier as a model folder: weights, ONNX file and model.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vision_app.classification.model.network import ClassifierNetwork
from vision_app.detection.model.yolo import ByteInput
from vision_app.detection.train.export import write_letterboxed

CONFIDENCE = 0.5  # probability from which a class counts as present: more likely there than not


def write_model(
    network: ClassifierNetwork, folder: Path, *, classes: Sequence[str], stretch: float = 1.5, **about: Any
) -> None:
    """Write the folder of a classifier, with weights in half precision; see `write_letterboxed`."""
    output = f"batch, 5 + {len(classes)}: row of the best object, t_x, t_y, t_h, t_w, classes; logits and offsets"
    write_letterboxed(
        network, folder, task="classification", classes=classes, stretch=stretch, output=output, exported=ByteInput,
        architecture=network.config.to_dict() | {"type": "classifier"}, defaults={"confidence": CONFIDENCE}, half=True,
        **about,
    )  # fmt: skip
