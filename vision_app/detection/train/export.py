"""Writes a detector as a model folder: weights, ONNX file and model.json."""

from pathlib import Path

from vision_app.core.letterbox import PAD
from vision_app.detection.grid import FIRST_CLASS
from vision_app.detection.model.yolo import YOLO, ByteInput
from vision_app.detection.train.options import INPUT_SIZE
from vision_app.released.landmarks import NO_LANDMARKS, Landmarks
from vision_app.released.write import make_info, write_folder


def write_model(
    network: YOLO,
    folder: Path,
    *,
    name: str,
    classes: tuple[str, ...],
    defaults: dict,
    size: int = INPUT_SIZE,
    stretch: float = 1.0,
    landmarks: Landmarks = NO_LANDMARKS,
    half: bool = False,
    **about,
) -> None:
    """Writes `weights.safetensors`, `model.onnx` and, last, `model.json` into a folder.

    The ONNX file takes (batch, height, width, 3) uint8 RGB and gives (batch, N, 5 + p + 2 K), all sizes free.

    Args:
        classes: names, p of them.
        defaults: confidence, iou and max_detections that postprocessing uses unless told otherwise.
        size: length in pixels that a photo's long side is scaled to, a multiple of 32.
        stretch: how far the short side may be scaled up beyond that, see `letterbox.letterbox_shape`.
        landmarks: names of the points of a box, K of them.
        half: see `model_folder.write_folder`.
        **about: more for model.json, such as `measured`, `license` and `learned_from`.
    """
    if network.config.classes != len(classes):
        raise ValueError(f"the network has {network.config.classes} classes, {len(classes)} names were given")
    if network.config.landmarks != len(landmarks):
        raise ValueError(f"the network has {network.config.landmarks} landmarks, {len(landmarks)} names were given")
    columns = f"{FIRST_CLASS} + {len(classes)}" + f" + 2 x {len(landmarks)}" * bool(landmarks)
    meaning = "p_c, t_x, t_y, t_h, t_w, classes" + ", l_x and l_y of every landmark" * bool(landmarks)
    about = {"landmarks": landmarks.to_dict()} | about if landmarks else about
    info = make_info(
        network,
        name=name,
        task="detection",
        architecture=network.config.to_dict(),
        classes=classes,
        input={"size": size, "pad": PAD, "stretch": stretch},
        output=f"batch, rows, {columns}: {meaning}; logits and offsets",
        defaults=defaults,
        **about,
    )
    write_folder(folder, network, info, exported=ByteInput, axes={0: "batch", 1: "rows"}, half=half)
