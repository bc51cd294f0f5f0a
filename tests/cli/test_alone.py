"""A file that kills the process: what `--resume` makes of it."""

import json
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# The operating system kills a process for its memory; here it is for the name of the file that it opens. LOADING: the
# other process loads a model. GROUP: the run itself is killed with it, as in a container.
KILLER = """
import os, sys
def look(event, arguments):
    if event != "open":
        return
    once, name, is_child = os.environ.get("ONCE"), str(arguments[0]), "--multiprocessing-fork" in sys.orig_argv
    if "LOADING" in os.environ and is_child and name.endswith(".onnx"):
        os.kill(os.getpid(), 9)
    if "poison" in name and (once is None or os.path.exists(once)):
        if once:
            os.remove(once)
        if "GROUP" in os.environ and is_child:
            os.kill(os.getppid(), 9)
        os.kill(os.getpid(), 9)
sys.addaudithook(look)
"""
FLAGS = ["--batch-size", 2, "--workers", 2]


@pytest.fixture
def poisoned(photos, environment, tmp_path):
    """Run `vision-app` over a folder with a poisonous photo; return the process."""
    (tmp_path / "in").mkdir()
    for number, file in enumerate(sorted(photos.rglob("*.JPG"))[:9]):
        (tmp_path / f"in/{number}{'-poison' if number == 4 else ''}.jpg").write_bytes(file.read_bytes())
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(KILLER)
    path = f"{tmp_path / 'hook'}:{environment['PYTHONPATH']}"

    def run(*words, **more):
        command = [sys.executable, "-m", "vision_app", *map(str, words)]
        variables = environment | {"PYTHONPATH": path} | more
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)

    return run


def test_a_file_that_kills_the_process_alone_gets_a_failed_row_and_the_others_theirs(poisoned, run_here, tmp_path):
    words = ["detect", "in", *FLAGS, "--images", "--output"]
    assert run_here(*words, "whole", cwd=tmp_path).returncode == 0
    expected = (tmp_path / "whole/detections.jsonl").read_text().splitlines()
    assert poisoned(*words, "out").returncode == -signal.SIGKILL
    begun = [json.loads(line)["file"] for line in (tmp_path / "out/detections.inflight").read_text().splitlines()]
    assert "in/4-poison.jpg" in begun
    result = poisoned(*words, "out", "--resume")
    assert result.returncode == 1, result.stderr
    rows = (tmp_path / "out/detections.jsonl").read_text().splitlines()
    assert rows[:4] + rows[5:] == expected[:4] + expected[5:]
    failed = json.loads(rows[4])
    assert (failed["file"], failed["status"], failed["detections"]) == ("in/4-poison.jpg", "failed", [])
    assert failed["error"].startswith("crashed the process even on its own")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"detections.jsonl", "detections.settings.json", "images"}
    assert len(list((tmp_path / "out/images").iterdir())) == 8


def test_a_run_that_was_killed_for_another_reason_loses_nothing(poisoned, run_here, tmp_path):
    words = ["faces", "embed", "in", "--workers", 2, "--output"]
    assert run_here(*words, "whole.npz", cwd=tmp_path).returncode == 0
    (tmp_path / "once").touch()
    once = {"ONCE": str(tmp_path / "once")}
    assert poisoned(*words, "out.npz", **once).returncode == -signal.SIGKILL
    assert (tmp_path / "out.inflight").stat().st_mode & 0o777 == 0o600
    result = poisoned(*words, "out.npz", "--resume", **once)
    assert result.returncode == 0 and "the last run was killed; retrying the" in result.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not [file.name for file in tmp_path.iterdir() if file.suffix in (".inflight", ".part")]
    assert not [file.name for file in tmp_path.iterdir() if "alone" in file.name]


def test_no_file_is_blamed_where_the_process_is_killed_while_it_loads_the_model(poisoned, tmp_path):
    words = ["detect", "in", *FLAGS, "--output", "out"]
    assert poisoned(*words).returncode == -signal.SIGKILL
    journal, suspects = tmp_path / "out/detections.jsonl", tmp_path / "out/detections.inflight"
    before, begun = journal.read_bytes(), suspects.read_text().splitlines()
    result = poisoned(*words, "--resume", LOADING="1")
    assert result.returncode == 1
    assert "was killed before it came to the first" in result.stderr and "--resume again" in result.stderr
    assert before.startswith(journal.read_bytes()), "no row was added"
    wanted = {json.loads(line)["file"] for line in begun} - {row["file"] for row in rows_of(journal)}
    assert {json.loads(line)["file"] for line in suspects.read_text().splitlines()} == wanted
    result = poisoned(*words, "--resume")
    assert [row["file"] for row in rows_of(journal) if row["status"] == "failed"] == ["in/4-poison.jpg"]
    assert len(rows_of(journal)) == 9 and not suspects.exists()


def test_a_file_that_ends_the_run_together_with_its_process_is_found_in_the_end(poisoned, tmp_path):
    (tmp_path / "in/3.jpg").rename(tmp_path / "in/3-poison.jpg")
    words = ["detect", "in", *FLAGS, "--output", "out"]
    assert poisoned(*words).returncode == -signal.SIGKILL
    codes = []
    while not codes or codes[-1] == -signal.SIGKILL:
        codes.append(poisoned(*words, "--resume", GROUP="1").returncode)
        assert len(codes) < 9, "for ever"
    assert codes[-1] == 1
    rows = rows_of(tmp_path / "out/detections.jsonl")
    assert len(rows) == 9
    failed = [row["file"] for row in rows if row["status"] == "failed"]
    assert failed == ["in/3-poison.jpg", "in/4-poison.jpg"]


def rows_of(journal):
    return [json.loads(line) for line in journal.read_text().splitlines()]
