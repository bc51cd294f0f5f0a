"""Accuracy on a set as the README states it: two images with the released model."""

import json
import re
import shutil

import pytest
from PIL import Image
from skimage import data

from vision_app import Detector
from vision_app.released.find import find

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground_truth(tmp_path_factory):
    """Two photos whose ground truth is what the detector finds there, so that its precision is perfect."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "images").mkdir()
    content = {"images": [], "annotations": [], "categories": []}
    detector = Detector.load("yolo")
    for i, image in enumerate((data.chelsea(), data.coffee())):
        Image.fromarray(image).save(folder / "images" / f"{i}.png")
        content["images"].append({"id": i, "file_name": f"{i}.png", "width": image.shape[1], "height": image.shape[0]})
        for found in detector(image, confidence=0.4):
            x1, y1, x2, y2 = map(float, found.box)
            category = detector.classes.index(found.label) + 1
            content["annotations"].append(
                {
                    "id": len(content["annotations"]),
                    "image_id": i,
                    "category_id": category,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                }
            )
    content["categories"] = [{"id": i + 1, "name": name} for i, name in enumerate(detector.classes)]
    assert len(content["annotations"]) >= 2
    path = folder / "boxes.json"
    path.write_text(json.dumps(content))
    return path


def test_accuracy_runs_the_command_and_scores_its_rows(benchmark, ground_truth, tmp_path):
    done = benchmark("detection_accuracy.py", ground_truth)
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    assert line.startswith(f"{ground_truth.parent.name} boxes (2 images): AP ")
    assert float(re.search(r"AP50 ([\d.]+)", line)[1]) > 0.9
    assert 0.3 < float(re.search(r"at confidence ([\d.]+)", line)[1]) < 1

    nothing = tmp_path / "detections.jsonl"
    nothing.write_text("".join(json.dumps({"file": f"{i}.png", "detections": []}) + "\n" for i in (0, 1)))
    assert "AP50 0.000" in benchmark("detection_accuracy.py", ground_truth, "--rows", nothing).stdout


def test_recorded_figures_are_the_printed_ones(benchmark, ground_truth, tmp_path):
    shutil.copytree(find("yolo").folder, tmp_path / "model")
    before = json.loads((tmp_path / "model" / "model.json").read_text())
    done = benchmark("detection_accuracy.py", ground_truth, "--model", tmp_path / "model", "--record")
    assert done.returncode == 0, done.stderr
    after = json.loads((tmp_path / "model" / "model.json").read_text())
    (measured,) = after["measured"].values()
    line = done.stdout.splitlines()[-1]
    assert f"AP {measured['AP']:.3f}  AP50 {measured['AP50']:.3f}" in line
    assert line.endswith(f"at confidence {after['defaults']['confidence']:.2f}")
    changed = {"measured", "defaults", "files"}
    assert {k: v for k, v in after.items() if k not in changed} == {k: v for k, v in before.items() if k not in changed}
    for path in (tmp_path / "model", tmp_path / "model" / "model.onnx"):
        find(path).verify()
        assert find(path).info["measured"] == after["measured"]
    assert after["files"]["weights.safetensors"] == before["files"]["weights.safetensors"]


def test_released_models_are_not_recorded_by_name(benchmark, ground_truth):
    done = benchmark("detection_accuracy.py", ground_truth, "--record")
    assert (done.returncode, "--record goes with a model folder" in done.stderr) == (2, True)
