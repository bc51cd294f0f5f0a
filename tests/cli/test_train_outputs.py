"""Where `train` and `check` may write: refused in one line, before anything is read, and nothing is left of the try."""

from pathlib import Path

import pytest
from drawn_sets import yolo
from PIL import Image

from vision_app.cli import main

VERBS = {"train": ["train", "yolo"], "check": ["check"]}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The words for a set whose photos cannot be read, so that no test waits; in a folder to work in."""
    path = yolo(tmp_path / "set", splits=[("train", 1), ("val", 1)])
    for photo in path.parent.rglob("*.png"):
        photo.write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    return ["--data", str(path)]


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS)
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("file/new", "cannot be written ({}/file: Not a directory)"),
        ("/proc/new", "cannot be written (/proc: No such file or directory)"),
        ("link/new", "cannot be written ({}/link: No such file or directory)"),
        ("n" * 300, "cannot be written"),
        ("full", "is not empty (contains thesis.txt); choose a new folder"),
    ],
)
def test_a_folder_that_cannot_be_written_is_named(data, tmp_path, capsys, words, output, message):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main([*words, *data, "--output", output]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"vision-app: --output {output}: {message.format(tmp_path)}") and said.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_check_does_not_write_into_a_run(data, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "run" / "scan.csv").write_text("")
    assert main(["check", *data, "--output", "run"]) == 2
    assert capsys.readouterr().err == "vision-app: --output run: holds a run; choose another folder\n"


def test_a_check_replaces_an_earlier_one_only_with_overwrite(data, tmp_path, capsys):
    (tmp_path / "checked").mkdir()
    (tmp_path / "checked" / "scan.csv").write_text("mine")
    assert main(["check", *data, "--output", "checked"]) == 2
    said = capsys.readouterr().err
    assert said == "vision-app: checked/scan.csv: exists already; write elsewhere or replace it with --overwrite\n"
    assert main(["check", *data, "--output", "checked", "--overwrite"]) == 1
    assert "--output" not in capsys.readouterr().err  # but the data


def test_a_check_does_not_replace_a_photo_of_the_data_also_to_overwrite(data, tmp_path, capsys):
    for photo in Path(data[1]).parent.rglob("*.png"):
        Image.new("RGB", (64, 48), (90, 90, 90)).save(photo)
    (tmp_path / "checked").mkdir()
    (tmp_path / "checked" / "scan.csv").write_text("mine")
    (tmp_path / "checked" / "batch-1.png").symlink_to(photo)
    assert main(["check", *data, "--output", "checked", "--overwrite"]) == 2
    said = capsys.readouterr().err
    assert "checked/batch-1.png: is read by this command and would be replaced; write elsewhere" in said
    assert (tmp_path / "checked" / "scan.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("verb", "holds"), [("check", []), ("train", []), ("train", ["scan.csv", "learning_rates.csv"])]
)
def test_an_empty_folder_and_one_of_the_same_kind_are_accepted(data, tmp_path, capsys, verb, holds):
    (tmp_path / "run").mkdir()
    for name in holds:
        (tmp_path / "run" / name).write_text("")
    assert main([*VERBS[verb], *data, "--output", "run"]) == 1
    assert "--output" not in capsys.readouterr().err  # but the data


def test_a_plot_of_a_schedule_does_not_overwrite_a_file(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"mine")
    assert main(["train", "yolo", "--plot-schedule", str(tmp_path / "a.png")]) == 2
    assert "a.png: exists already and will not be overwritten; choose another name" in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == b"mine"
