"""One's own photos, from a data.yaml to a model that `vision-app detect` runs, all by commands."""

import csv
import json
import subprocess
import sys

import pytest
from drawn_sets import yolo

from vision_app import Detector
from vision_app.released.find import find

FEW = ["--epochs", 1, "--batch-size", 4, "--size", 64, "--precision", "fp32"]

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def run(environment, tmp_path_factory):
    """A whole run on eight drawn photos, one of them broken: the data, the run's folder and what the command said.

    The home of the process that trains is the folder "home" beside the run.
    """
    folder = tmp_path_factory.mktemp("own")
    data = yolo(folder / "parts", splits=[("train", 8), ("val", 2)])
    (folder / "parts" / "images" / "train" / "3.png").write_bytes(b"no image")
    (folder / "home").mkdir()
    environment = environment | {"HOME": str(folder / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "vision_app", "train", "yolo", "--data", data, "--output", folder / "run", *FEW]
    done = subprocess.run(map(str, command), env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return data, folder / "run", done.stdout


def test_a_run_with_custom_classes_reports_its_data_and_leaves_a_model(run):
    _, folder, said = run
    assert "parts train: 7 images, 14 boxes, 1 issue" in said and "parts val: 2 images, 4 boxes, 0 issues" in said
    assert "boxes by class: screw 7, nut 7" in said and "corrupt image: " in said
    ((of, kind, entry),) = list(csv.reader((folder / "scan.csv").open(newline="")))[1:]
    assert (of, kind) == ("parts train", "corrupt image") and "3.png" in entry
    assert f"best model: {folder / 'best'} parts val AP " in said

    assert (folder / "curves.png").stat().st_size > 0

    model = find(folder / "best")
    model.verify()
    assert model.classes == ("screw", "nut") and model.info["input"]["size"] == 64
    assert model.info["trained"]["photos"] == 7 and model.info["measured"]["parts val"].keys() == {"AP", "AP50"}
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert float(rows[-1]["validation_loss"]) > 0
    assert {name: float(rows[-1][f"parts val {name}"]) for name in ("AP", "AP50")} == model.info["measured"][
        "parts val"
    ]


def test_a_run_writes_nothing_into_ones_home(run):
    assert list((run[1].parent / "home").rglob("*")) == []


def test_the_model_detects_custom_classes_at_its_own_size(run_here, run, tmp_path):
    data, folder, _ = run
    words = ["detect", data.parent / "images" / "val", "--model", "run/best", "--confidence", 0]
    found = run_here(*words, "--output", tmp_path / "out", cwd=folder.parent)
    assert found.returncode == 0, found.stderr
    rows = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert [(row["status"], row["model"]) for row in rows] == [("ok", "run/best")] * 2
    detector = Detector.load(folder / "best")
    photo = data.parent / "images" / "val" / "0.png"
    expected = detector(photo, confidence=0.0)
    assert rows[0]["detections"] == expected.to_dict()["detections"] and set(expected.labels) <= {"screw", "nut"}
    assert detector.preprocess([detector.read(photo)]).pixels[0].shape == (64, 64, 3)  # 64 x 48, up to a multiple of 32
