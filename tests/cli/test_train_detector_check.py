"""`vision-app check`, whole: what it says, what it leaves, and how it ends."""

import json

import numpy as np
import pytest
from PIL import Image
from skimage import data
from tiny_detectors import write_tiny

from vision_app.cli import main
from vision_app.core.images import read_image
from vision_app.detection.train import checks
from vision_app.training.checks import Check

pytestmark = pytest.mark.slow

CATEGORIES = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
COLORS = {1: (220, 30, 30), 2: (30, 60, 220)}


def make_set(folder, photos=2):
    """A COCO-style set of photos with two rectangles each; returns its file."""
    (folder / "images").mkdir(parents=True)
    generator, images, annotations = np.random.default_rng(0), [], []
    for number in range(photos):
        photo = Image.fromarray((data.coffee, data.chelsea)[number % 2]()).resize((96, 96))
        images.append({"id": number, "file_name": f"{number}.png", "width": 96, "height": 96})
        for category, left in ((1, 4), (2, 52)):
            (x, y), (w, h) = (left, *generator.integers(4, 40, 1).tolist()), generator.integers(24, 40, 2).tolist()
            photo.paste(COLORS[category], (x, y, x + w, y + h))
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": category, "bbox": [x, y, w, h]}
            )
        photo.save(folder / "images" / f"{number}.png")
    path = folder / "boxes.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))
    return path


@pytest.fixture
def known_gradients(monkeypatch):
    """Without holding the losses to finite differences, which takes seconds and does not look at the data."""
    monkeypatch.setattr(checks, "check_gradients", lambda: Check("gradients", True, "not tried"))


@pytest.fixture
def quick(monkeypatch, known_gradients):
    """Without the checks that take time."""
    monkeypatch.setattr(checks, "check_overfit", lambda task, output, log: Check("overfit", True, "not tried"))


def check(path, output, *words):
    return main(["check", "--data", str(path), "--output", str(output), "--size", "64", *words])


@pytest.mark.training
def test_good_data_and_a_network_that_can_learn_it_pass(tmp_path, capsys, known_gradients, without_onnx):
    path, output = make_set(tmp_path / "set", photos=2), tmp_path / "out"
    assert check(path, output, "--model", str(write_tiny(tmp_path / "tiny"))) == 0
    lines = capsys.readouterr().out.splitlines()
    verdicts = [line for line in lines if ": ok, " in line]
    assert [line.split(":")[0] for line in verdicts] == ["data", "gradients", "batches", "overfit"]
    assert verdicts[0] == "data: ok, 2 images with 4 boxes of 2 classes"
    assert "4 of 4 boxes found and 0 others (overfit.png)" in verdicts[3]
    assert any(line.startswith("overfitting 2 images: step 25 of at most 300, loss ") for line in lines)
    assert lines[-1] == f"all 4 checks passed; images are in {output}"
    assert sorted(file.name for file in output.iterdir()) == ["batch-1.png", "overfit.png", "scan.csv"]
    assert read_image(output / "overfit.png").width == 4 * 326 + 6


def test_faulty_data_fails_and_is_listed(tmp_path, capsys, quick):
    path, output = make_set(tmp_path / "set", photos=5), tmp_path / "out"
    (path.parent / "images" / "0.png").unlink()
    (path.parent / "images" / "1.png").write_bytes(b"no image")
    content = json.loads(path.read_text())
    content["annotations"][-1]["bbox"] = [80, 80, 60, 60]
    path.write_text(json.dumps(content))
    assert check(path, output) == 1
    said = capsys.readouterr().out
    assert "data: FAILED, 3 images with 6 boxes of 2 classes; " in said
    for kind in ("missing image", "box out of range", "corrupt image"):
        assert f"1 x {kind}" in said
        assert kind in (output / "scan.csv").read_text()
    assert said.splitlines()[-1] == f"1 of 4 checks failed; see {output}"


def test_a_model_to_start_from_brings_its_network(tmp_path, monkeypatch, known_gradients):
    def seen(task, output, log):
        config = task.network.config
        return Check("overfit", (config.backbone, config.classes, task.data.classes) == expected, "")

    expected = ("shuffle", 2, ("red", "blue"))  # a fresh network would be "csp"
    monkeypatch.setattr(checks, "check_overfit", seen)
    path = make_set(tmp_path / "set")  # with fewer boxes than a fresh network has anchors
    assert check(path, tmp_path / "out", "--model", "yolo") == 0


@pytest.mark.parametrize("boxes", [0, 4])
def test_too_few_boxes_for_anchors_are_a_failed_check_after_those_of_the_data(tmp_path, capsys, known_gradients, boxes):
    path, output = make_set(tmp_path / "set"), tmp_path / "out"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"annotations": content["annotations"][:boxes]}))
    assert check(path, output) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines if line.startswith(("data:", "gradients:", "network:"))] == [
        f"data: {'ok' if boxes else 'FAILED'}", "gradients: ok", "network: FAILED",
    ]  # fmt: skip
    assert f"6 anchors cannot be found from {boxes} boxes in all" in lines[-2]
    assert lines[-1] == f"{1 if boxes else 2} of 3 checks failed; see {output}"
    assert (output / "scan.csv").exists()


def test_without_boxes_all_checks_of_a_model_but_the_gradients_fail(tmp_path, capsys, known_gradients):
    path, output = make_set(tmp_path / "set"), tmp_path / "out"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    assert check(path, output, "--model", "yolo") == 1
    said = capsys.readouterr().out
    assert "overfit: FAILED, there is no box to learn" in said
    assert said.splitlines()[-1] == f"3 of 4 checks failed; see {output}"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--size", "50"], 2, "--size 50: must be a multiple of 32 between 32 and 2048; the nearest valid value is 64"),
        (["--size", "0"], 2, "--size 0: must be a multiple of 32 between 32 and 2048; the nearest valid value is 32"),
        (["--backbone", "cps"], 2, "--backbone: unknown choice 'cps'; did you mean 'csp'?"),
        (["--model", "yolq"], 2, "unknown model 'yolq'; did you mean 'yolo'?"),
        (["--model", "yolo", "--backbone", "residual"], 2, "--backbone residual: the model to start from has the"),
        (["--data", "none.json"], 2, "Invalid value for '--data': path 'none.json' does not exist."),
        (["--data", "broken.json"], 1, "broken.json: not a JSON file"),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, words, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    assert check(make_set(tmp_path / "set"), tmp_path / "out", *words) == code
    said = capsys.readouterr().err
    assert said.startswith("vision-app: ") and said.count("\n") == 1 and message in said
    assert not (tmp_path / "out").exists()
