"""`vision-app train` for the R-CNN family, from photos to models that other commands run."""

import contextlib
import io
import json

import pytest
import torch
from drawn_sets import coco, yolo

from vision_app import Detector
from vision_app.cli import main
from vision_app.detection.model.rcnn import RCNN, RCNNConfig
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.export import write_model
from vision_app.detection.train.rcnn import write_regions_model
from vision_app.released.find import find

ANCHORS = (((20.0, 20.0),), ((40.0, 40.0),), ((80.0, 80.0),), ((160.0, 160.0),))
DEFAULTS = {"confidence": 0.3, "iou": 0.5, "max_detections": 100}
SMALL = {"width": 4, "depths": (1, 1, 1), "pyramid": 8, "hidden": 16, "proposals": 12}
SHORT = ["--epochs", 1, "--batch-size", 3, "--size", 96, "--no-multi-scale", "--precision", "fp32"]


def say(*words):
    """Run the command in this process, which has torch already: its exit code and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        return main([str(word) for word in words]), " ".join(out.getvalue().split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A grid detector, and the runs of Faster R-CNN from it and of Fast R-CNN from that."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    grid = YOLO(YOLOConfig(2, ANCHORS, "shuffle", 4, (1, 1, 1)))
    write_model(grid, folder / "grid", name="grid", classes=("screw", "kite"), defaults=DEFAULTS, size=96)
    data = yolo(folder / "set")
    for kind, initial in (("faster-rcnn", folder / "grid"), ("fast-rcnn", folder / "faster-rcnn" / "best")):
        words = ["train", kind, "--data", data, "--initial", initial, "--output", folder / kind, *SHORT]
        code, said = say(*words)
        assert code == 0, said
    return folder


@pytest.mark.training
@pytest.mark.parametrize("kind", ["faster-rcnn", "fast-rcnn"])
def test_a_run_leaves_a_model_that_finds_objects(runs, kind, tmp_path):
    model = runs / kind / "best"
    info = find(model).info
    assert info["architecture"]["type"] == kind and info["classes"] == ["screw", "nut"]
    assert info["files"].keys() == {"weights.safetensors"} and info["input"]["size"] == 96
    assert info["files"]["weights.safetensors"]["bytes"] < 2.2 * info["parameters"] + 60_000  # half precision
    photo = runs / "set" / "images" / "val" / "0.png"
    options = ["--model", model, "--confidence", 0, "--max-detections", 7, "--output", tmp_path]
    assert say("detect", photo, *options)[0] == 0
    (row,) = [json.loads(line) for line in (tmp_path / "detections.jsonl").read_text().splitlines()]
    found = Detector.load(model)(photo, confidence=0, max_detections=7)
    assert row["detections"] == found.to_dict()["detections"] and len(found) == 7


@pytest.mark.training
def test_only_the_head_is_trained_by_default(runs):
    start, end = (Detector.load(runs / "faster-rcnn" / name).network.state_dict() for name in ("initial", "best"))
    changed = {name.split(".")[0] for name in start if not torch.equal(start[name], end[name])}
    assert changed == {"pyramid", "rpn", "roi_heads"}


@pytest.mark.training
def test_fast_rcnn_keeps_the_regions_of_every_photo_that_it_learned_from_or_was_measured_on(runs):
    assert len(list((runs / "fast-rcnn" / "proposals").glob("*.boxes"))) == 6 + 2


@pytest.mark.training
def test_an_evaluation_keeps_the_regions_for_the_next_one(runs, tmp_path):
    words = ["evaluate", "detector", "--data", runs / "set" / "data.yaml", "--proposals", tmp_path / "kept"]
    words += ["--model", runs / "fast-rcnn" / "best"]
    times, rows = [], []
    for name in ("first", "second"):
        code, said = say(*words, "--output", tmp_path / name)
        assert code == 0, said
        rows.append((tmp_path / name / "detections.jsonl").read_text())
        times.append({file: file.stat().st_mtime_ns for file in (tmp_path / "kept").iterdir()})
    assert rows[0] == rows[1] and times[0] == times[1] and len(times[0]) == 2  # photos; no file is written again


@pytest.mark.training
@pytest.mark.parametrize("words", [["--model", "faster-rcnn/best"], ["--model", "fast-rcnn/best", "--tta"]])
def test_regions_are_kept_only_for_detectors_that_search(runs, tmp_path, words):
    flags = ["--data", runs / "set" / "data.yaml", "--proposals", tmp_path / "kept", "--output", tmp_path / "out"]
    code, said = say("evaluate", "detector", *flags, words[0], runs / words[1], *words[2:])
    assert code == 2 and "only for --model rcnn or fast-rcnn, alone and without --tta" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.training
def test_the_weights_of_fast_rcnn_serve_rcnn(runs, tmp_path):
    """A model folder that differs in its kind alone."""
    folder = runs / "fast-rcnn" / "best"
    info = json.loads((folder / "model.json").read_text())
    info["architecture"] |= {"type": "rcnn", "proposals": 12}
    (tmp_path / "model.json").write_text(json.dumps(info))
    (tmp_path / "weights.safetensors").write_bytes((folder / "weights.safetensors").read_bytes())
    detector = Detector.load(tmp_path)
    image = detector.read(runs / "set" / "images" / "val" / "0.png")
    _, stages = detector.timed(image)
    assert stages.times.keys() == {"preprocess", "proposals", "network"}
    (raw,) = detector.forward(detector.preprocess([image]))
    assert raw.boxes.shape == (12, 4) and raw.logits.shape == (12, 3)


@pytest.mark.parametrize(("words", "message"), [
    (["--backbone", "csp"], "No such option"),
    (["--initial", "nowhere"], "unknown model 'nowhere'"),
    (["--dropout", "0.1"], "No such option"),
])  # fmt: skip
@pytest.mark.training
def test_what_does_not_fit_is_refused_before_training(runs, tmp_path, words, message):
    code, said = say("train", "faster-rcnn", "--data", runs / "set" / "data.yaml", "--output", tmp_path / "run", *words)
    assert code == 2 and message in said
    assert not (tmp_path / "run" / "config.json").exists()


def write(folder, kind):
    torch.manual_seed(0)
    network = RCNN(RCNNConfig(kind, 2, **SMALL))
    about = {"name": kind, "classes": ("screw", "nut"), "defaults": DEFAULTS, "trained": {"epochs": 3}}
    write_regions_model(network, folder, size=96, stretch=1.5, **about)
    return folder


def test_the_weights_of_a_fast_rcnn_become_an_rcnn(tmp_path):
    source, output = write(tmp_path / "fast", "fast-rcnn"), tmp_path / "slow"
    assert say("train", "rcnn", "--initial", source, "--output", output) == (0, str(output))
    old, new = (json.loads((folder / "model.json").read_text()) for folder in (source, output))
    assert new == old | {"name": "slow", "architecture": old["architecture"] | {"type": "rcnn"}}
    assert (output / "weights.safetensors").read_bytes() == (source / "weights.safetensors").read_bytes()
    detector = Detector.load(output)
    assert detector.network.config.kind == "rcnn" and detector.network.config.proposals == 12
    code, said = say("train", "rcnn", "--initial", source, "--output", output)
    assert code == 2 and "contains a model already" in said


@pytest.mark.parametrize("kind", ["rcnn", "faster-rcnn"])
def test_an_rcnn_is_made_of_a_fast_rcnn_only(tmp_path, kind):
    code, said = say("train", "rcnn", "--initial", write(tmp_path / kind, kind), "--output", tmp_path / "out")
    assert code == 2 and f"is of the kind {kind}; R-CNN takes the weights of a fast-rcnn model" in said
    assert not (tmp_path / "out" / "model.json").exists()


@pytest.mark.parametrize("kind", ["yolo", "fast-rcnn", "faster-rcnn"])
def test_training_starts_from_models_not_from_files(tmp_path, kind):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"published")
    data, output = coco(tmp_path / "set"), tmp_path / "run"
    code, said = say("train", kind, "--data", data, "--initial", file, "--output", output)
    assert code == 2 and f"{file}: is a file; training starts from a model" in said
    assert "tools/convert_detector.py makes one" in said and not output.exists()
    _, said = say("train", kind, "--help")
    assert ".pth" not in said and "--initial MODEL" in said
    if kind != "yolo":
        assert "--backbone" not in said and "--initialize" not in said and "grid detector" in said
