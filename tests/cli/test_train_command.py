"""`vision-app train yolo` from photos to a model that `vision-app detect` runs."""

import csv
import json
import signal
import time

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from skimage import data

from vision_app import Detector
from vision_app.cli import main
from vision_app.released import find

CATEGORIES = [{"id": 1, "name": "tvmonitor"}, {"id": 2, "name": "kite"}]
COLORS = {1: (220, 30, 30), 2: (30, 60, 220)}


def make_set(folder, count, seed):
    """A COCO-style set of photos with colored rectangles pasted in; returns its file."""
    generator = np.random.default_rng(seed)
    scenes = [Image.fromarray(picture()).resize((160, 120)) for picture in (data.coffee, data.chelsea)]
    images, annotations = [], []
    (folder / "images").mkdir(parents=True)
    for number in range(count):
        photo = scenes[number % 2].copy()
        images.append({"id": number, "file_name": f"{number}.png", "width": 160, "height": 120})
        for category in (1, 2):
            (x, y), (w, h) = generator.integers((0, 0), (80, 60)).tolist(), generator.integers(20, 60, 2).tolist()
            photo.paste(COLORS[category], (x, y, x + w, y + h))
            annotations.append({"id": len(annotations), "image_id": number, "category_id": category,
                                "bbox": [x, y, w, h]})  # fmt: skip
        photo.save(folder / "images" / f"{number}.png")
    path = folder / "boxes.json"
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return make_set(folder / "train", 6, seed=0), make_set(folder / "val", 2, seed=1)


@pytest.fixture(scope="module")
def words(sets):
    """The command, up to where the run goes; one of the annotations is faulty."""
    train, validation = sets
    content = json.loads(train.read_text(encoding="utf-8"))
    content["annotations"].append({"id": 99, "image_id": 0, "category_id": 1})
    faulty = train.with_name("faulty.json")
    faulty.write_text(json.dumps(content), encoding="utf-8")
    return ["train", "yolo", "--data", faulty, "--validation", validation, "--epochs", 2, "--batch-size", 2, "--output"]


@pytest.fixture(scope="module")
def run(vision_app, words, tmp_path_factory):
    """A whole run: its folder and what the command said."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = vision_app(*words, folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_run_reports_measures_and_releases(run):
    folder, said = run
    assert "malformed row: annotations[12] has no 'bbox'" in said
    assert "6 photos, 1 problems: {'malformed row': 1}" in said
    assert said.splitlines()[-1].startswith(f"best model: {folder / 'best'} val boxes AP 0.")

    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"] and rows[1]["val boxes AP50"] != ""
    config = json.loads((folder / "config.json").read_text())
    assert (config["epochs"], config["batch_size"], config["learning_rate"]) == (2, 2, 5e-4)

    model = find(folder / "best")
    model.verify()
    assert len(model.classes) == 80 and model.info["measured"]["val boxes"].keys() == {"AP", "AP50"}
    assert model.info["trained"]["photos"] == 6


def test_the_trained_model_detects(vision_app, sets, run, tmp_path):
    folder, _ = run
    photos = sets[1].parent / "images"
    words = ["detect", photos, "--model", "run/best", "--confidence", 0, "--output", tmp_path / "out"]
    found = vision_app(*words, cwd=folder.parent)
    assert found.returncode == 0, found.stderr
    rows = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert [(row["status"], row["model"], len(row["detections"])) for row in rows] == [("ok", "run/best", 100)] * 2
    detector = Detector.load(folder / "best")
    assert rows[0]["detections"] == detector(photos / "0.png", confidence=0.0).to_dict()["detections"]


def test_a_killed_run_is_resumed_to_the_same_weights(vision_app, start, words, run, tmp_path):
    folder = tmp_path / "killed"
    process = start(*words, folder)
    while process.poll() is None and not (folder / "last.safetensors").exists():
        time.sleep(0.02)
    process.kill()
    said, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL and "epoch 2/2" not in said
    resumed = vision_app(*words, folder, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after epoch 1 of 2" in resumed.stdout
    for name in ("last.safetensors", "metrics.csv", "config.json", "best/weights.safetensors", "best/model.onnx"):
        assert (folder / name).read_bytes() == (run[0] / name).read_bytes(), name


def test_a_blend_lies_between_the_start_and_the_end_of_a_run(vision_app, run, tmp_path):
    folder, _ = run
    ends = folder / "initial", folder / "best"
    words = ["train", "blend", *ends, "--fraction", 0.25, "--output", tmp_path / "between"]
    assert vision_app(*words).returncode == 0
    start, end, between = (load_file(path / "weights.safetensors") for path in (*ends, tmp_path / "between"))
    name = "heads.0.offsets.bias"
    assert not np.array_equal(start[name], end[name])
    np.testing.assert_allclose(between[name], 0.75 * start[name] + 0.25 * end[name], rtol=1e-5)
    assert Detector.load(tmp_path / "between")(np.zeros((50, 60, 3), np.uint8), confidence=0).model
    again = vision_app(*words)
    assert (again.returncode, "holds a model already" in again.stderr) == (2, True)


def test_a_run_is_neither_overwritten_nor_resumed_with_other_options(words, run, capsys):
    folder, _ = run
    before = (folder / "config.json").read_bytes()
    command = [str(word) for word in (*words, folder)]
    assert main(command) == 2
    message = f"vision-app: --output {folder}: holds a run already; --resume continues it"
    assert capsys.readouterr().err.strip() == message
    assert main([*command, "--resume", "--learning-rate", "0.1"]) == 2
    message = "vision-app: --learning-rate 0.1: the run to resume was started with 0.0005"
    assert capsys.readouterr().err.strip() == message
    assert (folder / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"--data": "none.json"}, 2, "Invalid value for '--data': file 'none.json' does not exist."),
        ({"--data": "."}, 2, "Invalid value for '--data': file '.' is a directory."),
        ({"--validation": "none.json"}, 2, "Invalid value for '--validation': file 'none.json' does not exist."),
        ({"--initial": "none.pth"}, 2, "Invalid value for '--initial': path 'none.pth' does not exist."),
        ({"--teacher-boxes": "none.gz"}, 2, "Invalid value for '--teacher-boxes': file 'none.gz' does not exist."),
        ({"--output": "broken.json"}, 2, "Invalid value for '--output': dir 'broken.json' is a file."),
        ({"--epochs": "0"}, 2, "Invalid value for '--epochs': '0' is too small; the nearest valid value is 1"),
        ({"--epochs": "many"}, 2, "Invalid value for '--epochs': 'many' is not a whole number"),
        ({"--learning-rate": "fast"}, 2, "Invalid value for '--learning-rate': 'fast' is not a number"),
        ({"--learning-rate": "50"}, 2, "--learning-rate 50.0: must lie between 1e-07 and 10.0"),
        ({"--seed": "-1"}, 2, "--seed -1: must lie between 0 and 4294967295"),
        ({"--precision": "fp23"}, 2, "--precision fp23: must be one of auto, fp32, bf16; did you mean fp32?"),
        ({"--device": "cuda:77"}, 2, "--device cuda:77: this machine has"),
        ({"--device": "gpu"}, 2, "--device gpu: must be auto, cpu, cuda or cuda:N"),
        ({"--data": "broken.json"}, 1, "broken.json: not a JSON file"),
        ({"--data": "odd.json"}, 1, "odd.json: category 'unicorn' is none of the 80 classes of the model"),
    ],
)
def test_wrong_usage_ends_before_anything_is_read_or_written(sets, tmp_path, monkeypatch, capsys, changes, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    odd = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "unicorn"}]}
    (tmp_path / "odd.json").write_text(json.dumps(odd))
    options = {"--data": str(sets[0]), "--validation": str(sets[1]), "--output": "run"} | changes
    assert main(["train", "yolo", *(word for pair in options.items() for word in pair)]) == code
    said = capsys.readouterr()
    assert said.err.startswith(f"vision-app: {words}") and said.err.count("\n") == 1 and said.out == ""
    assert not (tmp_path / "run").exists()
