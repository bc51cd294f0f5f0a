"""Write a detector as a model folder: weights, ONNX file and model.json."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from vision_app.core.errors import UsageError
from vision_app.core.letterbox import PAD
from vision_app.detection.grid import FIRST_CLASS
from vision_app.detection.model.yolo import YOLO, ByteInput
from vision_app.released.find import Model
from vision_app.released.landmarks import NO_LANDMARKS, Landmarks
from vision_app.released.write import make_info, write_folder
from vision_app.training.runs import check_folder

INPUT_SIZE = 416


def write_model(
    network: YOLO,
    folder: Path,
    *,
    classes: Sequence[str],
    landmarks: Landmarks = NO_LANDMARKS,
    half: bool = False,
    **about: Any,
) -> None:
    """Write the folder of a grid detector, see `write_letterboxed`.

    The ONNX file takes (batch, height, width, 3) uint8 RGB and gives (batch, N, 5 + p + 2 K), all sizes free.

    `about` holds `name`, `size`, `stretch`, `defaults` (the confidence, iou and max_detections that postprocessing uses
    unless told otherwise) and more for model.json. The network has p classes and K landmarks.
    """
    if network.config.landmarks != len(landmarks):
        raise ValueError(f"the network has {network.config.landmarks} landmarks, {len(landmarks)} names were given")
    columns = f"{FIRST_CLASS} + {len(classes)}" + f" + 2 x {len(landmarks)}" * bool(landmarks)
    meaning = "p_c, t_x, t_y, t_h, t_w, classes" + ", l_x and l_y of every landmark" * bool(landmarks)
    about = {"landmarks": landmarks.to_dict()} | about if landmarks else about
    write_letterboxed(
        network, folder, task="detection", classes=classes, half=half, exported=ByteInput, axes={0: "batch", 1: "rows"},
        output=f"batch, rows, {columns}: {meaning}; logits and offsets", **about,
    )  # fmt: skip


def write_letterboxed(
    network: nn.Module,
    folder: Path,
    *,
    classes: Sequence[str],
    size: int = INPUT_SIZE,
    stretch: float = 1.0,
    exported: Callable[[Any], nn.Module] | None = None,
    axes: Mapping[int, str] | None = None,
    half: bool = False,
    **about: Any,
) -> None:
    """Write `weights.safetensors`, `model.onnx` and, last, `model.json` of a model that takes letterboxed images.

    The network's `config` has the number of classes, and is the architecture in model.json unless `about` has one. The
    long side of an image is scaled to `size` pixels, a multiple of 32; for `stretch` see `letterbox.letterbox_shape`,
    for `exported`, `axes` and `half` see `write.write_folder`. `about` is more for `write.make_info`: `measured`,
    `license` and `learned_from`.
    """
    config: Any = network.config
    if config.classes != len(classes):
        raise ValueError(f"the network has {config.classes} classes, {len(classes)} names were given")
    shape = {"size": size, "pad": PAD, "stretch": stretch}
    info = make_info(network, **{"architecture": config.to_dict(), "classes": classes, "input": shape} | about)
    write_folder(folder, network, info, exported=exported, axes=axes, half=half)


def settings_of(model: Model) -> dict[str, Any]:
    """Return what a model that is made from another one has in common with it, for `write_letterboxed`."""
    return {
        "classes": model.classes,
        "defaults": model.defaults,
        "size": model.value("input.size", int),
        "stretch": model.info["input"].get("stretch", 1.0),
    }


def check_output(output: Path) -> None:
    """Raise UsageError if a model cannot be written to a folder, or if there is one already."""
    check_folder(output, "model.json")
    if (output / "model.json").exists():
        raise UsageError(f"--output {output}: contains a model already")
