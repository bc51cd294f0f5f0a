"""Help is quick and complete, and a slip gets one line that helps."""

import contextlib
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from typer.main import get_command

from vision_app import __version__
from vision_app.cli import main
from vision_app.cli.app import app
from vision_app.cli.options import Batch, FaceModels
from vision_app.core.limits import MAX_IMAGE_BYTES, MAX_PIXELS, ReadLimits
from vision_app.faces.detector import SMALLEST

pytestmark = pytest.mark.slow

HEAVY = {"numpy", "torch", "onnxruntime", "PIL", "cv2", "pydantic", "rich", "pandas", "streamlit"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--help", ["detect", "models", "--version"]),
        ("compare --help", ["SOURCE", "--models", "--ground-truth", "--tta", "--limit", "--resume", "auto|onnx|torch"]),
        ("detect --help", ["SOURCE", "--output", "--confidence", "--max-megapixels", "--resume", "auto|onnx|torch"]),
        ("classify --help", ["SOURCE", "--output", "--top", "--localize", "--resume", "auto|onnx|torch"]),
        ("export --help", ["MODEL", "FILE.onnx"]),
        ("check --help", ["--data", "--output", "--model", "--backbone", "--size"]),
        ("faces --help", ["calibrate", "detect", "embed", "verify"]),
        ("faces calibrate --help", ["--data", "--output", "--far", "--apply", "--split", "FILE.npz"]),
        ("faces detect --help", ["SOURCE", "--output", "--smallest", "--images", "--resume", "auto|onnx|torch"]),
        ("faces embed --help", ["SOURCE", "FILE.npz", "--model", "--detector", "--resume"]),
        ("faces verify --help", ["{A} [B]", "--person", "--far", "--largest", "--json"]),
        ("models --help", ["list", "info", "verify"]),
        ("models list --help", ["Usage: vision-app models list"]),
        ("models info --help", ["NAME"]),
        ("models verify --help", ["NAME"]),
        ("style --help", ["CONTENT", "FILE|sample:NAME", "fast|optimize|color", "--strength", "--mix", "--resume"]),
        ("train --help", ["yolo", "faster-rcnn"]),
        ("train yolo --help", ["--data", "--validation", "--output", "--resume", "auto|cpu|cuda|cuda:N"]),
        ("train faces --help", ["PEOPLE/|FILE.csv|FILE.npz", "--initial", "--teacher", "triplet|teacher|both"]),
        ("train classifier --help", ["--data", "--validation", "--output", "--initial", "pooling|head|last|all"]),
        ("evaluate faces --help", ["--data", "--output", "--images", "--split", "--model", "--detector"]),
        ("evaluate classifier --help", ["--data", "--split", "--model", "--output", "auto|onnx|torch"]),
        ("evaluate detector --help", ["--data", "--split", "--model", "--rows", "--output", "auto|onnx|torch"]),
        ("--version", [f"vision-app {__version__}"]),
    ],
)
def test_help_loads_nothing_heavy(words, expected, environment):
    program = (
        "import sys; from vision_app.cli import main; code = main(sys.argv[1:]);"
        "print('LOADED', *sys.modules); sys.exit(code)"
    )
    command = [sys.executable, "-c", program, *words.split()]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    text, loaded = result.stdout.split("LOADED")
    assert all(word in text for word in expected)
    assert not HEAVY & set(loaded.split())
    assert result.stderr == ""


@pytest.mark.parametrize("words", [[], ["evaluate"], ["faces"], ["models"], ["train"]])
def test_a_group_without_a_verb_shows_its_help_and_fails(words, capsys):
    assert main(words) == 2
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("detct", "No such command 'detct'. Did you mean 'detect'?"),
        ("detect a.jpg", "Missing option '--output'"),
        ("detect --output o", "Missing argument 'SOURCE'"),
        ("detect a.jpg --outptu o", "No such option: --outptu (Possible options: --iou, --output, --tta)"),
        ("detect a.jpg --output o --batch-size 2.5", "--batch-size 2.5: must be a whole number"),
        ("detect a.jpg --output o --workers 0", "--workers 0: must be at least 1; the nearest valid value is 1"),
        (
            "detect a.jpg --output o --max-detections -1",
            "--max-detections -1: must be at least 1; the nearest valid",
        ),
        ("detect a.jpg --output o --confidence high", "--confidence high: must be a number"),
        ("detect a.jpg --output o --confidence nan", "--confidence nan: must be a number"),
        ("detect a.jpg --output o --confidence 1.5", "--confidence 1.5: must lie between 0 and 1; the nearest valid"),
        ("detect a.jpg --output o --iou -0.1", "--iou -0.1: must lie between 0 and 1; the nearest valid value is 0"),
        (
            "detect a.jpg --output o --max-megapixels 0",
            "--max-megapixels 0: must be at least 0.000001; the nearest valid value is 0.000001",
        ),
        (
            "detect a.jpg --output o --max-megabytes 0",
            "--max-megabytes 0: must be at least 0.000001; the nearest valid value is 0.000001",
        ),
        ("detect a.jpg --output o --classes person,dgo", "--classes: unknown class 'dgo'; did you mean 'dog'?"),
        ("detect a.jpg --output o --classes ,", "--classes"),
        ("detect a.jpg --output o --model yolq", "unknown model 'yolq'; did you mean 'yolo'?"),
        ("detect a.jpg --output o --device gpu", "--device gpu: must be auto, cpu, cuda or cuda:N"),
        (
            "detect a.jpg --output o --runtime onx",
            "--runtime onx: must be one of auto, onnx, torch; did you mean onnx?",
        ),
        ("detect nothing-here --output o", "source 'nothing-here': no such file or folder"),
        ("detect *.jpg --output o", "no images in *.jpg"),
        ("models info yolq", "unknown model 'yolq'; did you mean 'yolo'?"),
    ],
)
def test_wrong_usage_gets_one_line_and_writes_nothing(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("vision-app: ") and printed.err.count("\n") == 1
    assert message in printed.err
    assert list(tmp_path.iterdir()) == []


def test_completion_of_the_shell_is_offered(environment):
    """The shell asks by an environment variable; nothing is installed here."""
    asked = {"_VISION_APP_COMPLETE": "complete_bash", "COMP_WORDS": "vision-app det", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "vision_app"]
    result = subprocess.run(command, env=environment | asked, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["detect"]


def test_defaults_are_those_of_the_package():
    assert Batch().limits == ReadLimits() == ReadLimits(MAX_PIXELS, MAX_IMAGE_BYTES)
    assert FaceModels.smallest == SMALLEST


def test_a_program_may_call_the_command_and_keeps_its_streams_and_warnings(monkeypatch):
    before = warnings.filters[:]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        assert main(["--version"]) == 0
        assert main(["detect"]) == 2
    assert out.getvalue() == f"vision-app {__version__}\n" and "Missing argument 'SOURCE'" in err.getvalue()
    monkeypatch.setattr(sys, "stdout", None)  # as in a windowed program
    assert main(["models", "verify", "--help"]) == 0
    assert warnings.filters == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
@pytest.mark.parametrize("words", ["models list", "--help", "models info yolo"])
def test_a_full_disk_behind_the_output_is_told_in_one_line(words, environment):
    command = [sys.executable, "-m", "vision_app", *words.split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment, text=True)
    assert (done.returncode, done.stderr) == (1, "vision-app: the standard output: No space left on device\n")


def test_an_error_of_the_system_that_nothing_expected_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vision_app.cli.models.available", lambda: list((tmp_path / "none").iterdir()))
    assert main(["models", "list"]) == 1
    assert capsys.readouterr().err == f"vision-app: {tmp_path / 'none'}: No such file or directory\n"


def test_interrupt_while_modules_are_loaded_ends_without_a_traceback(environment):
    program = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from vision_app.cli import main\n"
        "sys.exit(main())\n"
    )
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_an_alias_counts_only_where_its_option_exists(run_here):
    result = run_here("detect", "a.jpg", "--output", "out", "--imgsz", "640")
    assert result.returncode == 2 and "No such option: --imgsz" in result.stderr
    result = run_here("detect", "a.jpg", "--output", "out", "--half")
    assert result.returncode == 2 and "No such option: --half" in result.stderr


def test_a_value_that_looks_like_an_alias_stays_what_it_is(run_here, tmp_path):
    result = run_here("faces", "enroll", "Ada", "no.jpg", "--consent", "--half", "--gallery", tmp_path / "people.db")
    assert "--precision" not in result.stderr and "No such option" not in result.stderr
    assert result.returncode == 1 or "no.jpg" in result.stderr


def every_command(group=None, words=()):
    """The words of each command, groups included."""
    group = group or get_command(app)
    yield words
    for name, each in getattr(group, "commands", {}).items():
        yield from every_command(each, (*words, name))


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_help_has_whole_sentences_and_no_names_of_python(words, capsys):
    assert main([*words, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "..." not in text.partition("Commands:")[2]
    assert not re.findall(r"<\w+|\[default: \(", text)


def test_help_shows_defaults_that_are_words(capsys):
    assert main(["detect", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "form an ensemble. [default: yolo]" in text and "Worker threads, one core each. [default: one per core]" in text
    )
    assert "[default: the model's own, see `models info`]" in text
