"""Writes a classifier as a model folder: weights, ONNX file and model.json."""

from pathlib import Path

from vision_app.classification.model.network import ClassifierNetwork
from vision_app.core.letterbox import PAD
from vision_app.detection.model.yolo import ByteInput
from vision_app.detection.train.options import INPUT_SIZE
from vision_app.released.write import make_info, write_folder

CONFIDENCE = 0.5  # probability from which a class counts as present: as likely there as not


def write_model(
    network: ClassifierNetwork,
    folder: Path,
    *,
    name: str,
    classes: tuple[str, ...],
    size: int = INPUT_SIZE,
    stretch: float = 1.5,
    **about,
) -> None:
    """Writes `weights.safetensors`, `model.onnx` and, last, `model.json` into a folder, weights in half precision.

    Args:
        classes: names, p of them.
        size: length in pixels that a photo's long side is scaled to, a multiple of 32.
        stretch: how far the short side may be scaled up beyond that, see `letterbox.letterbox_shape`.
        **about: more for model.json, such as `measured`, `license` and `learned_from`.
    """
    if network.config.classes != len(classes):
        raise ValueError(f"the network has {network.config.classes} classes, {len(classes)} names were given")
    info = make_info(
        network,
        name=name,
        task="classification",
        architecture=network.config.to_dict() | {"type": "classifier"},
        classes=classes,
        input={"size": size, "pad": PAD, "stretch": stretch},
        output=f"batch, 5 + {len(classes)}: row of the best object, t_x, t_y, t_h, t_w, classes; logits and offsets",
        defaults={"confidence": CONFIDENCE},
        **about,
    )
    write_folder(folder, network, info, exported=ByteInput, half=True)
