"""The commands behind the README's numbers, run on a few pictures with the released model."""

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from vision_app import Detector
from vision_app.released.find import find

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Two photos whose truth is what the detector finds there, so that its precision is perfect."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "images").mkdir()
    content = {"images": [], "annotations": [], "categories": []}
    detector = Detector.load("yolo")
    for i, picture in enumerate((data.chelsea(), data.coffee())):
        Image.fromarray(picture).save(folder / "images" / f"{i}.png")
        content["images"].append(
            {"id": i, "file_name": f"{i}.png", "width": picture.shape[1], "height": picture.shape[0]}
        )
        for found in detector(picture, confidence=0.4):
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
    path = folder / "truth.json"
    path.write_text(json.dumps(content))
    return path


def test_accuracy_runs_the_command_and_scores_its_rows(benchmark, truth, tmp_path):
    done = benchmark("detection_accuracy.py", truth)
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    assert line.startswith(f"{truth.parent.name} truth (2 images): AP ")
    assert float(re.search(r"AP50 ([\d.]+)", line)[1]) > 0.9
    assert 0.3 < float(re.search(r"at confidence ([\d.]+)", line)[1]) < 1

    nothing = tmp_path / "detections.jsonl"
    nothing.write_text("".join(json.dumps({"file": f"{i}.png", "detections": []}) + "\n" for i in (0, 1)))
    assert "AP50 0.000" in benchmark("detection_accuracy.py", truth, "--rows", nothing).stdout


def test_recorded_figures_are_the_printed_ones(benchmark, truth, tmp_path):
    shutil.copytree(find("yolo").folder, tmp_path / "model")
    before = json.loads((tmp_path / "model" / "model.json").read_text())
    done = benchmark("detection_accuracy.py", truth, "--model", tmp_path / "model", "--record")
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


def test_released_models_are_not_recorded_by_name(benchmark, truth):
    done = benchmark("detection_accuracy.py", truth, "--record")
    assert (done.returncode, "--record goes with a model folder" in done.stderr) == (2, True)


def rates(printed, baseline):
    """The two rates and the ratio that the folder benchmark printed."""
    numbers = [
        re.search(pattern, printed, re.MULTILINE)
        for pattern in (r"^whole command: +([\d.]+)", rf"^{baseline}: +([\d.]+)", rf"{baseline}: (\d+\.\d\d)$")
    ]
    return [float(number[1]) for number in numbers]


def rounding(one: float, other: float, ratio: float) -> float:
    """The most that rates of one decimal and a ratio of two can be off by, relative to the ratio."""
    return 0.05 / one + 0.05 / other + 0.005 / ratio + 1e-3


def test_folder_prints_both_rates_and_their_ratio(benchmark, tmp_path):
    for i in range(60):
        Image.fromarray(data.coffee()[::6, ::6]).save(tmp_path / f"{i:03}.jpg")
    done = benchmark("detect_folder.py", tmp_path, "--flags", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "60 photos, rates after the first 6\n" in done.stdout
    whole, alone, ratio = rates(done.stdout, "the network alone")
    assert whole > 0 and alone > 0
    assert ratio == pytest.approx(whole / alone, rel=rounding(whole, alone, ratio))


def test_folder_makes_large_photos_and_reads_them_faster_than_a_plain_loop(benchmark):
    done = benchmark("detect_folder.py", "--large", "--limit", 20, "--flags", "--batch-size", 2)  # rows come early
    assert done.returncode == 0, done.stderr
    assert "20 photos of 4000 x 3000 pixels, rates after the first 2\n" in done.stdout
    whole, loop, ratio = rates(done.stdout, "a plain loop")
    assert ratio == pytest.approx(whole / loop, rel=rounding(whole, loop, ratio)) and ratio > 1


def test_folder_wants_enough_photos(benchmark, tmp_path):
    done = benchmark("detect_folder.py", tmp_path)
    assert (done.returncode, f"{tmp_path}: 0 photos, at least 20 are needed" in done.stderr) == (2, True)
    done = benchmark("detect_folder.py")
    assert (done.returncode, "FOLDER is missing" in done.stderr) == (2, True)
