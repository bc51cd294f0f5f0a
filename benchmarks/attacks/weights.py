"""Attacks with the weights of models that others made or changed."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from attacks import Trial
from vision_app.core.errors import VisionAppError
from vision_app.detection.load import load_detector
from vision_app.released.find import find
from vision_app.released.published import check_published


def weights_that_are_no_numbers(folder: Path) -> Iterator[Trial]:
    """Put NaN or infinity into the weights of a model, and load it on both runtimes."""
    for value in (np.nan, np.inf, -np.inf):
        for runtime, name in (("onnx", "model.onnx"), ("torch", "weights.safetensors")):
            model = folder / f"{value} {runtime}"
            shutil.copytree(find("yolo").folder, model)
            _change_first_weight(model / name, value)
            info = json.loads((model / "model.json").read_text(encoding="utf-8"))
            content = (model / name).read_bytes()
            info["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            (model / "model.json").write_text(json.dumps(info), encoding="utf-8")
            try:
                load_detector(str(model), runtime=runtime, device="cpu")
                held = False
            except VisionAppError as error:
                held = "finite" in str(error) or "NaN" in str(error)
            yield Trial(f"{value} in {name}", held)


def _change_first_weight(path: Path, value: float) -> None:
    if path.suffix == ".onnx":
        import onnx

        network = onnx.load(path)
        tensor = next(one for one in network.graph.initializer if len(one.raw_data) > 100)
        numbers = onnx.numpy_helper.to_array(tensor).copy()
        numbers.flat[0] = value
        tensor.raw_data = numbers.tobytes()
        path.write_bytes(network.SerializeToString())
    else:
        from safetensors.numpy import load_file, save_file

        tensors = load_file(path)
        name = next(name for name, numbers in tensors.items() if numbers.dtype.kind == "f" and numbers.size > 1)
        tensors[name].flat[0] = value
        save_file(tensors, path)


def published_weights_that_were_changed(folder: Path) -> Iterator[Trial]:
    """Change a file of published weights after its first use, also such that its name still fits."""
    first = b"weights"
    prefix = hashlib.sha256(first).hexdigest()[:4]
    path = folder / f"network-{prefix}.pth"
    forged = next(
        content
        for number in count()
        if hashlib.sha256(content := f"forged {number}".encode()).hexdigest().startswith(prefix)
    )
    for name, content, is_right in (("first use", first, True), ("other", b"other", False), ("fits", forged, False)):
        path.write_bytes(content)
        for use in (1, 2):
            try:
                check_published(path)
                held = is_right
            except VisionAppError:
                held = not is_right
            yield Trial(f"{name}, look {use}", held)
