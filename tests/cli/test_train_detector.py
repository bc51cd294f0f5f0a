"""`vision-app train yolo` from photos to a model that `vision-app detect` runs."""

import contextlib
import csv
import io
import json
import os
import signal
import time
from dataclasses import fields

import numpy as np
import pytest
import typer
from PIL import Image
from skimage import data

from vision_app import Detector
from vision_app.cli import main
from vision_app.cli.train_detector import app
from vision_app.detection.train import trainer as train
from vision_app.detection.train.options import DetectionOptions
from vision_app.released.find import find
from vision_app.training import learning_rate
from vision_app.training.config import TrainConfig

pytestmark = pytest.mark.slow

CATEGORIES = [{"id": 1, "name": "tvmonitor"}, {"id": 2, "name": "kite"}]
COLORS = {1: (220, 30, 30), 2: (30, 60, 220)}


def make_set(folder, count, seed):
    """A COCO-style set of photos with colored rectangles pasted in; returns its file."""
    generator = np.random.default_rng(seed)
    scenes = [Image.fromarray(image()).resize((160, 120)) for image in (data.coffee, data.chelsea)]
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


def say(*words):
    """Run the command in this process, which has torch already: its exit code and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        return main([str(word) for word in words]), out.getvalue()


@pytest.fixture(scope="module")
def words(sets):
    """The command, up to where the run goes; one of the annotations is faulty."""
    train, validation = sets
    content = json.loads(train.read_text(encoding="utf-8"))
    content["annotations"].append({"id": 99, "image_id": 0, "category_id": 1})
    faulty = train.with_name("faulty.json")
    faulty.write_text(json.dumps(content), encoding="utf-8")
    settings = train.with_name("settings.yaml")
    settings.write_text("batch_size: 2\nsize: 64\nlearning-rate: 1e-3\nepochs: 7\nprecision: fp32\n", encoding="utf-8")
    return ["train", "yolo", "--data", faulty, "--val", validation, "--config", settings, "--epochs", 2, "--output"]


@pytest.fixture(scope="module")
def run(words, tmp_path_factory):
    """A whole run: its folder and what the command said."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    code, said = say(*words, folder)
    assert code == 0
    return folder, said


@pytest.mark.training
def test_a_run_reports_measures_and_releases(run):
    folder, said = run
    assert "malformed row: annotations[12] has no 'bbox'" in said
    best, verdict = said.splitlines()[-2:]
    assert best.startswith(f"best model: {folder / 'best'} val boxes AP 0")
    assert "; try " in verdict

    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"] and rows[1]["val boxes AP50"] != ""
    config = json.loads((folder / "config.json").read_text())
    # flags win over the file, and the file over defaults
    assert [config[name] for name in ("epochs", "batch_size", "learning_rate", "size")] == [2, 2, 1e-3, 64]

    model = find(folder / "best")
    model.verify()
    assert model.classes == ("tvmonitor", "kite") and model.info["measured"]["val boxes"].keys() == {"AP", "AP50"}
    assert model.info["trained"]["photos"] == 5  # without that of the faulty annotation


@pytest.mark.training
def test_the_trained_model_detects(sets, run, tmp_path, monkeypatch):
    folder, _ = run
    monkeypatch.chdir(folder.parent)
    photos = sets[1].parent / "images"
    words = ["detect", photos, "--model", "run/best", "--confidence", 0, "--output", tmp_path / "out"]
    assert say(*words)[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert [(row["status"], row["model"], len(row["detections"])) for row in rows] == [("ok", "run/best", 100)] * 2
    detector = Detector.load(folder / "best")
    assert rows[0]["detections"] == detector(photos / "0.png", confidence=0.0).to_dict()["detections"]


@pytest.mark.training
def test_control_c_leaves_a_run_that_resumes_to_the_same_weights(start, words, run, tmp_path, without_onnx):
    """Pressed in a terminal, that is sent to the worker processes too, in the middle of an epoch."""
    folder = tmp_path / "stopped"
    process = start(*map(str, words), str(folder), start_new_session=True)
    while process.poll() is None and not (folder / "batch-1.png").exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("interrupted after epoch 0, step ")
    assert said.splitlines()[-1].endswith("; the same command with --resume continues")
    code, said = say(*words, folder, "--resume")
    assert code == 0 and "resuming after epoch 0 of 2, step " in said
    for name in ("metrics.csv", "config.json", "best/weights.safetensors", "last/weights.safetensors"):
        assert (folder / name).read_bytes() == (run[0] / name).read_bytes(), name


@pytest.mark.training
def test_a_run_is_neither_overwritten_nor_resumed_with_other_options(words, run, capsys):
    folder, _ = run
    before = (folder / "config.json").read_bytes()
    command = [str(word) for word in (*words, folder)]
    assert main(command) == 2
    message = f"vision-app: --output {folder}: contains a run already; --resume continues it"
    assert capsys.readouterr().err.strip() == message
    assert main([*command, "--resume", "--learning-rate", "0.1"]) == 2
    message = "vision-app: --learning-rate 0.1: the run to resume was started with 0.001; leave it out or choose"
    assert capsys.readouterr().err.startswith(message)
    assert (folder / "config.json").read_bytes() == before


@pytest.mark.training
@pytest.mark.parametrize("order", [1, -1])
def test_a_run_is_resumed_with_the_options_that_it_was_started_with(words, run, tmp_path, monkeypatch, order):
    """From another folder, with its two options in any order."""
    folder, _ = run
    monkeypatch.chdir(tmp_path)
    resume = [word for pair in [("--output", folder), ("--resume",)][::order] for word in pair]
    before = (folder / "config.json").read_bytes()
    code, said = say("train", "yolo", *resume)
    assert code == 0 and "resuming after epoch 2 of 2" in said
    assert (folder / "config.json").read_bytes() == before
    with contextlib.redirect_stderr(io.StringIO()) as error:
        assert say("train", "yolo", *resume, "--seed", 3)[0] == 2
    assert "--seed 3: the run to resume was started with 0" in error.getvalue()


@pytest.mark.training
def test_a_learning_rate_is_searched_for_and_nothing_else_done(words, tmp_path, monkeypatch):
    monkeypatch.setattr(learning_rate, "STEPS", 6)
    monkeypatch.setattr(learning_rate, "suggest", lambda *curve: 0.003)  # which so few steps cannot do
    code, said = say(*words, tmp_path / "search", "--find-lr")
    assert code == 0 and said.splitlines()[-1] == "suggested: --learning-rate 0.003"
    assert {path.name for path in (tmp_path / "search").iterdir()} == {
        "learning_rates.csv", "learning_rates.png", "scan.csv",
    }  # fmt: skip


def test_a_schedule_is_drawn_without_data(tmp_path):
    code, said = say("train", "yolo", "--plot-schedule", tmp_path / "a.png", "--schedule", "one-cycle")
    assert (code, said.strip()) == (0, str(tmp_path / "a.png"))
    assert Image.open(tmp_path / "a.png").size == (800, 400)


def test_train_yolo_has_a_flag_for_each_setting_with_its_default():
    parameters = typer.main.get_command(app).commands["yolo"].params
    flags = {parameter.name: parameter.default for parameter in parameters}
    for kind in (TrainConfig, DetectionOptions):
        assert {field.name: field.default for field in fields(kind)}.items() <= flags.items()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--average 0.9 --final=0.1 --imgsz 64 --half", {"ema_decay": 0.9, "min_lr_ratio": 0.1, "precision": "fp16"}),
        ("--ema-decay 0.9 --min-lr-ratio 0.1 --size 64", {"ema_decay": 0.9, "min_lr_ratio": 0.1, "precision": "auto"}),
    ],
)
def test_former_flags_and_those_of_other_tools_work_and_are_not_in_the_help(tmp_path, monkeypatch, words, expected):
    seen = {}
    monkeypatch.setattr(
        train, "train", lambda *_, config, options, **more: seen.update(vars(config) | {"size": options.size})
    )
    assert say("train", "yolo", "--data", tmp_path, "--output", tmp_path / "run", *words.split())[0] == 0
    assert (expected | {"size": 64}).items() <= seen.items()
    _, shown = say("train", "yolo", "--help")
    assert "--average" not in shown and "--imgsz" not in shown and "--ema-decay" in shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epoch: 3", "--config a.yaml: unknown option 'epoch'; did you mean 'epochs'?"),
        ("batch_sise: 3", "--config a.yaml: unknown option 'batch_sise'; did you mean 'batch-size'?"),
        ("config: b.yaml", "--config a.yaml: unknown option 'config'"),
        ("epochs: many", "--epochs many: must be a whole number"),
        ("epochs: 2.5", "--epochs 2.5: must be a whole number"),
        ("epochs: [1, 2]", "--config a.yaml: epochs takes one value"),
        ("patience: -2", "--patience -2: must lie between 0 and 10000; the nearest valid value is 0"),
        ("data: none.json", "Invalid value for '--data': path 'none.json' does not exist."),
        ("- epochs", "--config a.yaml: has no options; write one per line, such as `epochs: 30`"),
        ("a: {", "--config a.yaml: cannot be read as YAML"),
    ],
)
def test_a_wrong_line_of_the_settings_file_is_named(tmp_path, monkeypatch, capsys, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(content, encoding="utf-8")
    assert main(["train", "yolo", "--config", "a.yaml", "--output", "run"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"vision-app: {message}") and said.err.count("\n") == 1 and said.out == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("value", "said"), [("true", True), ("false", False), ("no", False)])
def test_a_switch_in_the_settings_file_goes_both_ways(tmp_path, monkeypatch, value, said):
    seen = []
    monkeypatch.setattr(train, "train", lambda data, validation, output, config, options, **more: seen.append(options))
    for name in ("data.json", "a.yaml"):
        (tmp_path / name).write_text(f"multi-scale: {value}\nfind-lr: false\n", encoding="utf-8")
    words = ["train", "yolo", "--data", tmp_path / "data.json", "--output", tmp_path / "run"]
    assert say(*words, "--config", tmp_path / "a.yaml")[0] == 0
    assert seen[0].multi_scale is said


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"--data": None}, 2, "Missing option '--data'."),
        ({"--output": None}, 2, "Missing option '--output'."),
        ({"--data": "none.json"}, 2, "Invalid value for '--data': path 'none.json' does not exist."),
        ({"--val": "none.json"}, 2, "Invalid value for '--validation' / '--val': path 'none.json' does not exist."),
        ({"--initial": "yolq"}, 2, "unknown model 'yolq'"),
        ({"--teacher-boxes": "none.gz"}, 2, "Invalid value for '--teacher-boxes': file 'none.gz' does not exist."),
        ({"--output": "broken.json"}, 2, "--output broken.json: is a file; choose a folder"),
        ({"--epochs": "0"}, 2, "--epochs 0: must lie between 1 and 10000; the nearest valid value is 1"),
        ({"--epochs": "many"}, 2, "--epochs many: must be a whole number"),
        ({"--learning-rate": "fast"}, 2, "--learning-rate fast: must be a number"),
        ({"--learning-rate": "50"}, 2, "--learning-rate 50.0: must lie between 1e-07 and 10.0"),
        ({"--seed": "-1"}, 2, "--seed -1: must lie between 0 and 4294967295"),
        ({"--precision": "fp23"}, 2, "--precision fp23: must be one of auto, fp32, bf16, fp16; did you mean fp32?"),
        ({"--size": "100"}, 2, "--size 100: must be a multiple of 32 between 32 and 2048"),
        ({"--size": "0"}, 2, "--size 0: must be a multiple of 32 between 32 and 2048; the nearest valid value is 32"),
        ({"--device": "cuda:77"}, 2, "--device cuda:77: this machine has"),
        ({"--device": "gpu"}, 2, "--device gpu: must be auto, cpu, cuda or cuda:N"),
        ({"--data": "broken.json"}, 1, "broken.json: not a JSON file"),
    ],
)
def test_wrong_usage_ends_before_anything_is_read_or_written(sets, tmp_path, monkeypatch, capsys, changes, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    options = {"--data": str(sets[0]), "--val": str(sets[1]), "--output": "run"} | changes
    assert main(["train", "yolo", *(word for pair in options.items() if pair[1] for word in pair)]) == code
    said = capsys.readouterr()
    assert said.err.startswith(f"vision-app: {words}") and said.err.count("\n") == 1 and said.out == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["yolo", "faster-rcnn", "fast-rcnn", "face-detector", "classifier"])
def test_a_set_without_a_box_is_trained_on_by_no_command(tmp_path, capsys, kind):
    path = make_set(tmp_path / "set", 3, seed=0)
    content = json.loads(path.read_text())
    crowds = [{**row, "iscrowd": 1} for row in content["annotations"]]
    for annotations in ([], crowds):
        path.write_text(json.dumps(content | {"annotations": annotations}))
        assert main(["train", kind, "--data", str(path), "--output", str(tmp_path / "run")]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"vision-app: {path}: none of the 2 images to train on has a box, so there is nothing")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["train", "yolo"], ["train", "classifier"], ["check"]])
def test_photos_elsewhere_are_named(tmp_path, capsys, monkeypatch, command):
    path = make_set(tmp_path / "set", 2, seed=0)
    (tmp_path / "set" / "images").rename(tmp_path / "photos")
    words = [*command, "--data", str(path), "--output", str(tmp_path / "run")]
    assert main(words) == 1
    assert "0.png is neither in" in (said := capsys.readouterr().err) and "--images names the folder" in said
    empty = json.dumps(json.loads(path.read_text()) | {"annotations": []})
    path.write_text(empty)  # which ends the command behind the reader
    assert main([*words, "--images", str(tmp_path / "photos")]) == 1
    said = capsys.readouterr()
    assert "has a box" in said.err or "there is nothing to learn" in said.out


def test_a_settings_file_may_begin_with_a_byte_order_mark(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "a.yaml").write_text("patience: -2", encoding=encoding)
        assert main(["train", "yolo", "--config", "a.yaml", "--output", "run"]) == 2
        assert capsys.readouterr().err.startswith("vision-app: --patience -2: must lie between")
