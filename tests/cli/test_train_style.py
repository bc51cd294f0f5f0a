"""`vision-app train style-encoder` and `style-fast`, from photos to models that other commands take."""

import csv

import pytest
from tiny_styles import write_photos, write_teachers, write_tiny_encoder, write_tiny_fast

from vision_app.cli import main
from vision_app.released.find import find
from vision_app.style.model.features import load_encoder
from vision_app.style.train.datasets import HELD_OUT
from vision_app.style.train.initial import initial_fast


def say(words):
    return main(list(map(str, words)))


@pytest.mark.training
def test_an_encoder_is_trained_from_its_teachers_and_the_run_continues(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos")
    teachers = write_teachers(tmp_path / "teachers")
    words = ["train", "style-encoder", "--data", photos, "--teacher", teachers, "--size", 64]
    words += ["--initial", teachers / "5", "--output", tmp_path / "run", "--batch-size", 2]
    assert say([*words, "--learning-rate", "1e-3"]) == 0
    assert "5 photos to train on, 1 to measure on" in capsys.readouterr().out
    best = find(tmp_path / "run" / "best")
    best.verify()
    assert best.info["trained"]["teacher"].startswith("teachers ") and best.info["measured"][HELD_OUT]["features"] <= 1
    assert load_encoder(tmp_path / "run" / "best").config.widths == (3, 4, 5, 6, 6)
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1"] and float(rows[0]["conv4_2"]) < 0.1  # it starts as its teacher
    assert say(["train", "style-encoder", "--output", tmp_path / "run", "--resume"]) == 0


@pytest.mark.training
def test_a_fast_network_is_trained_with_an_encoder(tmp_path, capsys, without_onnx):
    photos, encoder = write_photos(tmp_path / "photos"), write_tiny_encoder(tmp_path / "encoder")
    words = ["train", "style-fast", "--data", photos, "--encoder", encoder, "--initial"]
    words += [write_tiny_fast(tmp_path / "start"), "--output", tmp_path / "run", "--size", 64, "--style", 2]
    assert say(words) == 0
    best = find(tmp_path / "run" / "best")
    assert best.info["trained"]["style"] == 2 and best.info["trained"]["encoder"].startswith("encoder ")
    assert initial_fast(tmp_path / "run" / "best").config.widths == (4, 8, 16)
    assert (tmp_path / "run" / "best" / "samples.png").exists()
    assert say([*words, "--resume", "--style", 3]) == 2
    assert "--style 3.0: the run to resume was started with 2.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["style-encoder"], "Missing option '--data'"),
        (["style-encoder", "--data", "photos", "--output", "run"], "Missing option '--teacher'"),
        (["style-fast", "--data", "photos"], "Missing option '--output'"),
        (["style-fast", "--data", "photos", "--output", "run", "--content", "-1"], "--content -1.0: must lie between"),
        (["style-fast", "--data", "photos", "--output", "run", "--initial", "nothing"], "unknown model 'nothing'"),
        (["style-fast", "--data", "none", "--output", "run"], "none"),
    ],
)
def test_wrong_usage_names_the_option_and_writes_nothing(tmp_path, monkeypatch, capsys, words, reason):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    assert say(["train", *words]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
