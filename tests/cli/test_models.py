"""`vision-app models` on the released models and on damaged ones."""

import json
import shutil

import pytest

from vision_app.cli import main
from vision_app.released.find import available, find

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the released detector in a models folder that comes first."""
    shutil.copytree(find("yolo").folder, tmp_path / "yolo")
    monkeypatch.setenv("VISION_APP_MODELS", str(tmp_path))
    return tmp_path / "yolo"


def test_list_has_a_line_a_model(capsys):
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == available()
    assert all("detection" in line for line in lines if line.startswith("yolo "))


def test_info_shows_what_the_model_file_says(copy, capsys):
    model = json.loads((copy / "model.json").read_text(encoding="utf-8"))
    model |= {"license": "A license", "measured": {"Some set": {"AP50": 0.654}}}
    (copy / "model.json").write_text(json.dumps(model), encoding="utf-8")
    assert main(["models", "info", "yolo"]) == 0
    text = capsys.readouterr().out
    expected = [
        str(copy),
        "license:       A license",
        "AP50 0.654",
        f"confidence {model['defaults']['confidence']}",
        "80: person, ",
    ]
    assert all(words in text for words in expected)


def test_verify_names_a_changed_and_a_missing_file(copy, capsys):
    assert main(["models", "verify"]) == 0
    assert "yolo: 2 files ok" in capsys.readouterr().out
    with (copy / "model.onnx").open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"damage")
    assert main(["models", "verify", "yolo"]) == 1
    assert "model.onnx: damaged or changed" in capsys.readouterr().out
    (copy / "model.onnx").unlink()
    assert main(["models", "verify"]) == 1
    assert "model.onnx: No such file" in capsys.readouterr().out


def test_a_damaged_model_is_never_used(copy, capsys, tmp_path):
    (copy / "model.onnx").write_bytes(b"damage")
    (tmp_path / "a.jpg").touch()
    assert main(["detect", str(tmp_path / "a.jpg"), "--output", str(tmp_path / "out")]) == 2
    assert "model.onnx: damaged or changed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_opened_takes_no_other_down(copy, capsys):
    (copy.parent / "broken").mkdir()
    (copy.parent / "broken" / "model.json").write_text("{")
    assert main(["models", "list"]) == 1
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == [name for name in available() if name != "broken"]
    assert printed.err.startswith(f"broken: {copy.parent / 'broken' / 'model.json'}: cannot be read")
    assert main(["models", "verify"]) == 1
    text = capsys.readouterr().out
    assert "yolo: 2 files ok" in text and "broken: " in text
    assert main(["models", "verify", "broken", "yolo", "yolq"]) == 1
    text = capsys.readouterr().out
    assert "yolo: 2 files ok" in text and "unknown model 'yolq'" in text


def test_what_a_model_file_does_not_say_is_left_out(copy, capsys):
    model = json.loads((copy / "model.json").read_text(encoding="utf-8"))
    for key in ("parameters", "license", "learned_from", "measured", "version"):
        model.pop(key, None)
    for file in model["files"].values():
        del file["bytes"]
    (copy / "model.json").write_text(json.dumps(model), encoding="utf-8")
    assert main(["models", "list"]) == 0
    assert "80 classes       ? MB" in capsys.readouterr().out
    assert main(["models", "info", "yolo"]) == 0
    text = capsys.readouterr().out
    assert "? MB" in text and "parameters" not in text and "license" not in text
    assert main(["models", "verify"]) == 0


def test_summary_of_a_name_and_of_a_folder_have_the_same_layers_and_all_parameters(copy, capsys):
    model = json.loads((copy / "model.json").read_text(encoding="utf-8"))
    assert main(["models", "summary", "yolo"]) == 0
    by_name = capsys.readouterr().out.splitlines()
    assert by_name[0] == f"yolo: input 3 x {model['input']['size']} x {model['input']['size']}"
    assert by_name[-1].split()[:2] == ["total", f"{model['parameters']:,}"]
    assert main(["models", "summary", str(copy)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == by_name[1:]


def test_summary_at_another_size_has_the_same_parameters_and_fewer_operations(capsys):
    totals = {}
    for size in (64, 128):
        assert main(["models", "summary", "yolo", "--size", str(size)]) == 0
        totals[size] = [int(number.replace(",", "")) for number in capsys.readouterr().out.split()[-2:]]
    assert totals[64][0] == totals[128][0]
    assert 3.5 < totals[128][1] / totals[64][1] < 4.5


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({}, ["--size", "100"], "--size 100: must be a multiple of 32; the nearest valid value is 96"),
        ({"task": "style"}, [], "model 'yolo' is for style, not for detection"),
        ({"architecture": {"type": "yolo"}}, [], "has no usable 'architecture'"),
    ],
)
def test_what_cannot_be_summarized_is_refused(change, words, message, copy, capsys):
    model = json.loads((copy / "model.json").read_text(encoding="utf-8"))
    (copy / "model.json").write_text(json.dumps(model | change), encoding="utf-8")
    assert main(["models", "summary", "yolo", *words]) == 2
    assert message in capsys.readouterr().err
