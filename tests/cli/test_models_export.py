"""An exported file does all that the model does that it was exported from."""

import json
from shutil import copytree

import pytest
from PIL import Image
from skimage import data

from vision_app import Detector
from vision_app.cli import main
from vision_app.released.find import find

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "mine.onnx"
    assert main(["export", "yolo", "--output", str(path)]) == 0
    return path


def test_the_command_finds_the_same_boxes_with_the_file(file, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("chelsea", "coffee"):
        Image.fromarray(getattr(data, name)()).save(tmp_path / "photos" / f"{name}.png")
    rows = {}
    for model in ("yolo", str(file)):
        output = tmp_path / f"with {find(model).name}"
        words = [str(tmp_path / "photos"), "--output", str(output), "--confidence", "0.02"]
        assert main(["detect", *words, "--model", model]) == 0
        rows[model] = [json.loads(line) for line in (output / "detections.jsonl").read_text().splitlines()]
    ours, exported = rows.values()
    assert sum(len(row["detections"]) for row in ours) > 5
    assert [row.pop("model") for row in ours + exported] == ["yolo"] * 2 + ["mine"] * 2
    assert ours == exported


def test_scores_are_those_of_torch(file):
    image = data.coffee()
    one = Detector.load(file)(image, confidence=0.02)
    other = Detector.load("yolo", runtime="torch", device="cpu")(image, confidence=0.02)
    assert one.labels == other.labels and len(one) > 2
    assert one.scores == pytest.approx(other.scores, abs=1e-4)
    assert one.boxes == pytest.approx(other.boxes, abs=0.05)


def test_models_describes_and_verifies_the_file(file, capsys):
    assert main(["models", "info", str(file)]) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    told = {key: value.strip() for key, value in lines.items()}
    assert (told["name"], told["file"], told["task"]) == ("mine", str(file), "detection")
    assert told["classes"].startswith("80: person, ") and find("yolo").info["license"] == told["license"]
    assert main(["models", "verify", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: 1 file ok\n"


@pytest.mark.parametrize("flags", [["--runtime", "torch"], ["--runtime", "torch", "--device", "cpu"]])
def test_torch_cannot_run_the_file_and_the_error_says_what_can(file, tmp_path, capsys, flags):
    assert main(["detect", str(tmp_path), "--output", str(tmp_path / "out"), "--model", str(file), *flags]) == 2
    words = "model 'mine' has no weights.safetensors, which torch needs; it runs with --runtime onnx and --device cpu"
    assert words in capsys.readouterr().err


def test_a_model_is_not_exported_onto_its_own_file(tmp_path, capsys):
    copytree(find("yolo").folder, tmp_path / "mine")
    network = tmp_path / "mine" / "model.onnx"
    before = network.read_bytes()
    assert main(["export", str(tmp_path / "mine"), "--output", str(network), "--overwrite"]) == 2
    assert f"{network}: is read by this command and would be replaced; write elsewhere" in capsys.readouterr().err
    assert network.read_bytes() == before


@pytest.mark.parametrize(
    ("model", "output", "message"),
    [
        ("yolq", "a.onnx", "unknown model 'yolq'; did you mean 'yolo'?"),
        ("yolo", "there.onnx", "there.onnx: exists already; write elsewhere or replace it with --overwrite"),
        ("yolo", "none/a.onnx", "--output none/a.onnx: there is no folder none; make it first"),
        ("yolo", "a.pt", "--output a.pt: must end in .onnx; the nearest valid value is a.pt.onnx"),
        ("faster-rcnn", "a.onnx", "faster-rcnn: runs on torch only, not as one ONNX file; copy its folder "),
        ("style-encoder", "a.onnx", "style-encoder: runs on torch only, not as one ONNX file; copy its folder "),
        ("there.onnx", "b.onnx", "there.onnx: has no model.json in its metadata"),
    ],
)
def test_wrong_usage_gets_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, model, output, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").touch()
    assert main(["export", model, "--output", output]) == 2
    assert capsys.readouterr().err.startswith(f"vision-app: {message}")
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]
    assert (tmp_path / "there.onnx").read_bytes() == b""
