"""`vision-app detect` killed and interrupted at any moment resumes as if nothing had happened."""

import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest
from PIL import Image

from vision_app.released.find import find

pytestmark = pytest.mark.slow

FLAGS = ["--batch-size", "2", "--workers", "2", "--confidence", "0.05", "--csv", "--images"]


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(photos, run_here, tmp_path_factory):
    """What a run that nothing stopped leaves, by file."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run_here("detect", photos, "--output", out, *FLAGS).returncode == 0
    return content(out)


def wait_for_rows(process, journal: Path, rows: int):
    """Wait until the journal holds that many rows or the process has ended."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= rows:
            return
        time.sleep(0.002)


def test_kill_at_several_moments_and_resume(photos, start, run_here, whole, tmp_path):
    """One run killed again and again, each time a little later, and torn by hand where no kill tears it."""
    dice = random.Random(1)
    journal = tmp_path / "detections.jsonl"
    for rows in (0, 5, 16):
        process = start("detect", photos, "--output", tmp_path, *FLAGS, "--resume")
        wait_for_rows(process, journal, rows)
        time.sleep(dice.uniform(0, 0.05))
        process.kill()
        process.communicate()
        if rows:
            written = journal.read_bytes()
            assert whole["detections.jsonl"].startswith(written)
            journal.write_bytes(written[: len(written) - dice.randrange(80)])
    last = run_here("detect", photos, "--output", tmp_path, *FLAGS, "--resume")
    assert last.returncode == 0, last.stderr
    assert last.stdout.startswith("24 images: 24 ok, 0 failed")
    assert content(tmp_path) == whole


GATED = """
import sys, time
from itertools import count
from pathlib import Path
from vision_app.batch import run
from vision_app.cli import main

gate, number, read = Path(sys.argv[1]), count(), run._read

def gated(task, item):
    while next(number) >= 12 and not gate.exists():
        time.sleep(0.01)
    return read(task, item)

run._read = gated
sys.exit(main(sys.argv[2:]))
"""


def test_interrupt_says_how_to_resume(photos, environment, run_here, whole, tmp_path):
    """The images behind a gate, which opens after the interrupt, cannot be done before, however busy the machine is."""
    out_folder, gate = tmp_path / "out", tmp_path / "gate"
    journal = out_folder / "detections.jsonl"
    words = map(str, (gate, "detect", photos, "--output", out_folder, *FLAGS))
    process = subprocess.Popen(
        [sys.executable, "-c", GATED, *words], env=environment, text=True, stdout=PIPE, stderr=PIPE
    )
    wait_for_rows(process, journal, 2)
    process.send_signal(signal.SIGINT)
    gate.touch()
    out, err = process.communicate(timeout=120)
    rows = journal.read_bytes().count(b"\n")
    assert process.returncode == 130
    assert 2 <= rows < 24 and rows % 2 == 0
    assert f"{rows} of 24 rows are in {journal}; run the same command with --resume" in err
    assert "Traceback" not in err and out == ""
    assert run_here("detect", photos, "--output", out_folder, *FLAGS, "--resume").returncode == 0
    assert content(out_folder) == whole


@pytest.mark.parametrize("change", [["--confidence", "0.06"], ["--classes", "cat"], ["--iou", "0.6"]])
def test_resume_with_other_settings_is_refused(photos, run_here, tmp_path, whole, change):
    for name in ("detections.jsonl", "detections.settings.json"):
        (tmp_path / name).write_bytes(whole[name])
    result = run_here("detect", photos, "--output", tmp_path, *FLAGS, "--resume", *change)
    assert result.returncode == 2
    assert f"{change[0]} was " in result.stderr and "give the same settings" in result.stderr
    assert (tmp_path / "detections.jsonl").read_bytes() == whole["detections.jsonl"]


def test_resume_on_another_kind_of_device_is_refused(photos, run_here, tmp_path, whole):
    for name in ("detections.jsonl", "detections.settings.json"):
        (tmp_path / name).write_bytes(whole[name].replace(b'"--device": "cpu"', b'"--device": "cuda"'))
    result = run_here("detect", photos, "--output", tmp_path, *FLAGS, "--resume")
    assert result.returncode == 2 and '--device was "cuda" and is now "cpu"' in result.stderr


@pytest.mark.parametrize("key", ["classes", "architecture", "input"])
def test_resume_with_a_changed_model_is_refused(photos, run_here, tmp_path, key):
    """The weights stay, but what model.json says of them changes."""
    shutil.copytree(find("yolo").folder, tmp_path / "model")
    command = ["detect", photos / "day 0", "--model", tmp_path / "model", "--output", tmp_path / "out", "--resume"]
    assert run_here(*command).returncode == 0
    info = json.loads((tmp_path / "model/model.json").read_text())
    change = {
        "classes": info["classes"][::-1],
        "architecture": info["architecture"] | {"anchors": info["architecture"]["anchors"][::-1]},
        "input": info["input"] | {"pad": 0},
    }
    (tmp_path / "model/model.json").write_text(json.dumps(info | {key: change[key]}))
    result = run_here(*command)
    assert result.returncode == 2 and "--model was " in result.stderr


def test_two_runs_on_one_output_leave_the_rows_of_one(photos, start, run_here, whole, tmp_path):
    first = start("detect", photos, "--output", tmp_path, *FLAGS)
    wait_for_rows(first, tmp_path / "detections.jsonl", 2)
    first.send_signal(signal.SIGSTOP)
    second = run_here("detect", photos, "--output", tmp_path, *FLAGS, "--resume")
    first.send_signal(signal.SIGCONT)
    first.communicate()
    assert second.returncode == 2 and "another run is writing here" in second.stderr
    assert first.returncode == 0
    assert content(tmp_path) == whole


def test_a_table_of_fewer_rows_does_not_stay(photos, start, run_here, whole, tmp_path):
    """A run over one folder, then over both, which is interrupted: the first one's table is out of date."""
    flags = ["--output", tmp_path, *FLAGS, "--resume"]
    assert run_here("detect", photos / "day 0", *flags).returncode == 0
    assert (tmp_path / "detections.csv").exists()
    process = start("detect", photos / "day 0", photos / "day 1", *flags)
    wait_for_rows(process, tmp_path / "detections.jsonl", 14)
    process.kill()
    process.communicate()
    assert not (tmp_path / "detections.csv").exists()
    assert run_here("detect", photos / "day 0", photos / "day 1", *flags).returncode == 0
    assert (tmp_path / "detections.csv").read_bytes() == whole["detections.csv"]


def test_a_terminal_gets_a_bar_with_rate_and_time_left(photos, start, tmp_path):
    controller, terminal = pty.openpty()
    process = start("detect", photos, "--output", tmp_path, "--batch-size", "1", stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(controller, 4096):
            shown += chunk
    except OSError:  # Linux reports the closed end of a terminal as an input/output error
        pass
    out, _ = process.communicate()
    os.close(controller)
    text = shown.decode()
    assert "24/24" in text and "images/s" in text and "0:00:00" in text
    assert out.startswith("24 images: 24 ok, 0 failed")


IN_THE_WAY = [  # a command that writes, and a file of the user where it would write
    ("detect photo.png --output out", "out/detections.csv"),  # it would be the table of other rows
    ("detect photo.png --output out --csv", "out/detections.csv"),
    ("detect photo.png --output out --images", "out/images/photo.png.jpg"),
    ("detect photo.png --output out", "out/detections.jsonl"),
    ("classify photo.png --output out", "out/classes.jsonl"),
    ("style photo.png --style sample:waves --output out", "out/photo.png__waves.png"),
    ("faces detect photo.png --output out --images", "out/images/photo.png.jpg"),
    ("faces embed photo.png --output out/faces.npz", "out/faces.npz"),
    ("faces group photo.png --output out", "out/groups.json"),
    ("evaluate detector --data set.json --output out", "out/thesis.txt"),
    ("export yolo --output out/yolo.onnx", "out/yolo.onnx"),
]


@pytest.mark.parametrize(("words", "file"), IN_THE_WAY)
def test_files_of_no_run_are_named_and_replaced_only_with_overwrite(run_here, tmp_path, words, file):
    Image.new("RGB", (64, 48), (200, 40, 10)).save(tmp_path / "photo.png")
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20]}
    labels = {"images": [{"id": 1, "file_name": "photo.png", "width": 64, "height": 48}], "annotations": [box]}
    (tmp_path / "set.json").write_text(json.dumps({**labels, "categories": [{"id": 1, "name": "dog"}]}))
    mine = tmp_path / file
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    refused = run_here(*words.split(), cwd=tmp_path)
    assert refused.returncode == 2
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("vision-app:")]
    assert line.startswith(f"vision-app: {file}: exists already; ") and "--overwrite" in line
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"
    done = run_here(*words.split(), "--overwrite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if file in ("out/thesis.txt", "out/detections.csv"):  # not what this command writes, or the table of --csv alone
        assert len(list((tmp_path / "out").iterdir())) > 1
    else:
        assert mine.read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("detect photo.png out/images/photo.png.jpg --images", "out/images/photo.png.jpg"),
        ("faces detect photo.png out/images/photo.png.jpg --images", "out/images/photo.png.jpg"),
        ("style photo.png out/photo.png__waves.png --style sample:waves", "out/photo.png__waves.png"),
    ],
)
def test_a_source_is_not_replaced_also_to_overwrite(run_here, tmp_path, words, file):
    Image.new("RGB", (64, 48), (200, 40, 10)).save(tmp_path / "photo.png")
    (tmp_path / file).parent.mkdir(parents=True)
    Image.new("RGB", (64, 48), (20, 40, 10)).save(tmp_path / file)
    before = (tmp_path / file).read_bytes()
    refused = run_here(*words.split(), "--output", "out", "--overwrite", cwd=tmp_path)
    assert refused.returncode == 2
    assert f"{file}: is read by this command and would be replaced; write elsewhere" in refused.stderr
    assert (tmp_path / file).read_bytes() == before
