"""`vision-app train classifier`, `classify` and `evaluate classifier` as users run them, from photos to figures."""

import csv
import json

import pytest
import torch
from drawn_sets import coco, yolo
from image_files import encode
from PIL import Image
from tiny_detectors import ANCHORS

from vision_app import Classifier
from vision_app.cli import main
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.export import write_model

KEYS = ["file", "status", "error", "width", "height", "model", "classes"]
TRAIN = ["--epochs", "2", "--batch-size", "3", "--learning-rate", "0.05", "--precision", "fp32"]

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A tiny detector of screws and kites, photos of screws and nuts, and the run of a classifier of these."""
    folder = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    network = YOLO(YOLOConfig(2, ANCHORS, width=4, depths=(1, 1, 1, 1)))
    defaults = {"confidence": 0.3, "iou": 0.5, "max_detections": 9}
    write_model(network, folder / "tiny", name="tiny", classes=("screw", "kite"), defaults=defaults, size=64)
    data = yolo(folder / "data")
    labels = folder / "data" / "labels" / "val" / "0.txt"
    labels.write_text(labels.read_text().splitlines()[0] + "\n")  # a photo without a nut
    words = ["--data", data, "--initial", folder / "tiny", "--output", folder / "run", *TRAIN]
    assert main(["train", "classifier", *map(str, words)]) == 0
    return folder


def rows_of(out):
    return [json.loads(line) for line in (out / "classes.jsonl").read_text(encoding="utf-8").splitlines()]


def classify(home, out, *words):
    return main(["classify", str(home / "photos"), "--output", str(out), "--model", str(home / "run/best"), *words])


@pytest.fixture(scope="module")
def classified(home):
    """Rows of three photos and of a file that is none."""
    (home / "photos").mkdir()
    for name, size in (("a.png", (64, 48)), ("b.png", (30, 90)), ("c.png", (64, 64))):
        (home / "photos" / name).write_bytes(encode(Image.effect_noise(size, 80).convert("RGB"), "PNG"))
    (home / "photos" / "broken.png").write_bytes(b"no image")
    assert classify(home, home / "out", "--localize", "--batch-size", "2") == 1
    return home / "out"


def test_training_releases_a_model_that_says_what_it_is(home):
    classifier = Classifier.load(home / "run" / "best")
    assert classifier.classes == ("screw", "nut") and classifier.size == 64
    info = classifier.model.info
    assert info["trained"]["initial"].startswith("tiny ") and info["trained"]["transfer"] == "pooling"
    assert {"mAP"} <= info["measured"]["data val"].keys() <= {"mAP", "located"}  # perhaps no photo has a box
    columns = (home / "run" / "metrics.csv").read_text().splitlines()[0]
    assert "data val mAP" in columns
    assert {"initial", "last", "scan.csv", "options.yaml"} <= {path.name for path in (home / "run").iterdir()}


def test_a_run_that_is_over_can_be_resumed_and_another_is_refused(home, capsys):
    words = ["--output", str(home / "run")]
    assert main(["train", "classifier", *words, "--resume"]) == 0
    assert "best model" in capsys.readouterr().out
    assert main(["train", "classifier", "--data", str(home / "data" / "data.yaml"), *words]) == 2
    assert "--resume" in capsys.readouterr().err


def test_rows_equal_the_answers_of_the_python_door(home, classified):
    classifier = Classifier.load(home / "run" / "best")
    rows = rows_of(classified)
    assert [row["file"].rsplit("/")[-1] for row in rows] == ["a.png", "b.png", "broken.png", "c.png"]
    for row in rows:
        assert list(row) == [*KEYS, "box"]
        if row["status"] == "ok":
            answer = classifier(row["file"]).to_dict(localize=True)
            assert row == {"file": row["file"], "status": "ok", "error": None, **answer, "model": row["model"]}
            assert [one["label"] for one in row["classes"]] in (["screw", "nut"], ["nut", "screw"])
    broken = rows[2]
    assert "not an image" in broken["error"] and broken["classes"] == [] and broken["box"] is None


def test_top_keeps_the_most_probable_and_batches_and_threads_change_nothing(home, classified, tmp_path):
    assert classify(home, tmp_path / "top", "--top", "1", "--batch-size", "3", "--workers", "1") == 1
    for row, whole in zip(rows_of(tmp_path / "top"), rows_of(classified), strict=True):
        assert list(row) == KEYS
        assert row == {key: whole[key] for key in KEYS} | {"classes": whole["classes"][:1]}


def test_an_interrupted_run_resumes_with_its_settings_only(home, classified, tmp_path, capsys):
    assert classify(home, tmp_path, "--localize", "--batch-size", "2") == 1
    path = tmp_path / "classes.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert classify(home, tmp_path, "--batch-size", "2", "--resume") == 2
    assert "--localize was true and is now false" in capsys.readouterr().err
    assert classify(home, tmp_path, "--localize", "--batch-size", "2", "--resume") == 1
    assert path.read_bytes() == whole == (classified / "classes.jsonl").read_bytes()


def test_evaluation_has_figures_and_rows(home, tmp_path, capsys):
    data, out = str(home / "data" / "data.yaml"), tmp_path / "out"
    words = ["evaluate", "classifier", "--data", data, "--model", str(home / "run" / "best"), "--output", str(out)]
    assert main(words) == 0
    figures = json.loads((out / "evaluation.json").read_text())
    assert (figures["data"], figures["split"]) == (data, "val")
    assert [row["photos"] for row in figures["classes"]] == [2, 1] and figures["mAP"] in (0.5, 1.0)
    assert figures["classes"][0]["AP"] is None and figures["classes"][1]["AP"] == figures["mAP"]
    printed = capsys.readouterr().out
    assert f"mAP {figures['mAP']:.3f} over 1 class\nnot judged, since every photo that counts shows" in printed
    with (out / "classes.csv").open(newline="") as stream:
        assert [row["class"] for row in csv.DictReader(stream)] == ["screw", "nut"]
    assert len(rows_of(out)) == 2
    assert main(words) == 2
    assert f"{out / 'classes.csv'}: exists already" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0 and len(rows_of(out)) == 2


def test_ground_truth_of_other_classes_is_refused_and_leaves_nothing(home, tmp_path, capsys):
    data = coco(tmp_path / "set", names=("cup",))
    words = ["--model", str(home / "run" / "best"), "--output", str(tmp_path / "out")]
    assert main(["evaluate", "classifier", "--data", str(data), *words]) == 1
    assert "none of its classes is known to" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_detector_is_no_classifier(home, tmp_path, capsys):
    assert main(["classify", str(home), "--output", str(tmp_path / "out"), "--model", str(home / "tiny")]) == 2
    assert "is for detection, not for classification" in capsys.readouterr().err


def test_the_summary_of_a_classifier_adds_up_to_its_parameters(home, capsys):
    assert main(["models", "summary", str(home / "run" / "best")]) == 0
    lines = capsys.readouterr().out.splitlines()
    parameters = Classifier.load(home / "run" / "best").model.info["parameters"]
    assert lines[-1].split()[:2] == ["total", f"{parameters:,}"]
    assert any(line.startswith("context ") for line in lines)
