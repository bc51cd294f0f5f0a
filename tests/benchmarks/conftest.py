"""The benchmarks as commands, run without the start of a process."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch, capsys):
    """Run `python benchmarks/NAME WORD...` in this process and return its exit code and output."""

    def run(name, *words):
        path, code = ROOT / "benchmarks" / name, 0
        with monkeypatch.context() as context:
            context.setattr(sys, "argv", [str(path), *map(str, words)])
            try:
                runpy.run_path(str(path), run_name="__main__")
            except SystemExit as ended:
                code = ended.code
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return run
