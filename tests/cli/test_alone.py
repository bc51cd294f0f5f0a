"""A file that kills the process: what `--resume` makes of it."""

import json
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# The operating system kills a process for its memory; here it is for the name of the file that it opens.
KILLER = """
import os, sys
def look(event, arguments):
    once = os.environ.get("ONCE")
    if event == "open" and "poison" in str(arguments[0]) and (once is None or os.path.exists(once)):
        if once:
            os.remove(once)
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
    assert failed["error"].startswith("kills the process even when it is handled alone")
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
    assert result.returncode == 0 and "the last run was killed; trying the" in result.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not [file.name for file in tmp_path.iterdir() if file.suffix in (".inflight", ".part")]
    assert not (tmp_path / "out.alone.jsonl").exists()
