"""`--model A+B` and `--tta` as users give them, with tiny models."""

import json

import numpy as np
import pytest
from drawn_sets import coco
from PIL import Image
from skimage import data
from tiny_members import write_members

from vision_app import Detector
from vision_app.cli import main

pytestmark = pytest.mark.slow

JOINED = ["--model", "one+two", "--tta"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_members(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def home(models, monkeypatch, tmp_path):
    monkeypatch.setenv("VISION_APP_MODELS", str(models))
    monkeypatch.chdir(tmp_path)


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_detect_gives_the_answers_of_the_python_door_and_resumes_with_the_same_models_only(tmp_path, capsys):
    for i, photo in enumerate((data.coffee(), data.chelsea())):
        Image.fromarray(np.ascontiguousarray(photo[::4, ::4])).save(tmp_path / f"{i}.png")
    command = ["detect", "0.png", "1.png", "--confidence", "0.1", "--output", "out"]
    assert main([*command, *JOINED]) == 0
    detector = Detector.load("one+two", tta=True)
    rows = rows_of(tmp_path / "out" / "detections.jsonl")
    assert [row["detections"] for row in rows] == [
        detector(row["file"], confidence=0.1).to_dict()["detections"] for row in rows
    ]
    assert {row["model"] for row in rows} == {"one+two (tta)"} and rows[0]["detections"]
    capsys.readouterr()
    assert main([*command, *JOINED, "--resume"]) == 0
    assert main([*command, "--model", "one+two", "--resume"]) == 2
    assert "--tta" in capsys.readouterr().err
    assert main([*command, "--model", "two+one", "--tta", "--resume"]) == 2
    assert "--model" in capsys.readouterr().err


def test_evaluate_measures_joined_models_under_their_name(tmp_path, capsys):
    path = coco(tmp_path / "set", photos=2, names=("cat",))
    assert main(["evaluate", "detector", "--data", str(path), "--output", "out", *JOINED]) == 0
    assert capsys.readouterr().out.startswith(f"one+two (tta) on {path}\n")
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["model"] == "one+two (tta)"
    rows = str(tmp_path / "out" / "detections.jsonl")
    assert main(["evaluate", "detector", "--data", str(path), "--output", "new", "--rows", rows, "--tta"]) == 2
    assert "--tta: not together with --rows" in capsys.readouterr().err


def test_models_that_cannot_be_joined_are_a_wrong_option(tmp_path, capsys):
    Image.fromarray(data.coffee()).save(tmp_path / "a.png")
    assert main(["detect", "a.png", "--output", "out", "--model", "one+one"]) == 2
    assert capsys.readouterr().err == "vision-app: --model one+one: one is the same model twice; name it once\n"
    assert not (tmp_path / "out").exists()
