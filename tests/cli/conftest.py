"""The command as a process of its own, and a folder of photos for it."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from image_files import encode
from PIL import Image
from skimage import data

from vision_app.cli import main

COMMAND = [sys.executable, "-m", "vision_app"]


@pytest.fixture(scope="module", autouse=True)
def without_curves():
    """Train without drawing curves in this process, which takes a second an epoch: test_train_own_data has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vision_app.training.report.plot_curves", lambda rows, path: None)
        yield


@pytest.fixture(scope="session")
def environment():
    """The variables for a process that may start in any folder."""
    root = Path(__file__).resolve().parents[2]
    return os.environ | {"PYTHONPATH": str(root), "COLUMNS": "100"}


@pytest.fixture(scope="session")
def vision_app(environment):
    """Run `vision-app WORD...` and return its exit code and output."""

    def run(*words, cwd=None):
        command = [*COMMAND, *map(str, words)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture(scope="session")
def run_here():
    """Run `vision-app WORD...` in this process, which spares its start, and return its exit code and output."""

    def run(*words, cwd="."):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(cwd):
            code = main([*map(str, words)])
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def start(environment):
    """Start `vision-app WORD...` and return the process."""

    def run(*words, **options):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen([*COMMAND, *map(str, words)], env=environment, text=True, **pipes)

    return run


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of 24 small photos in two sub-folders."""
    folder = tmp_path_factory.mktemp("images") / "photos"
    scenes = [Image.fromarray(image()) for image in (data.astronaut, data.chelsea, data.coffee, data.rocket)]
    for number in range(24):
        scene = scenes[number % 4]
        place = folder / f"day {number % 2}" / f"{number:02}.{'png' if number % 6 == 5 else 'JPG'}"
        place.parent.mkdir(parents=True, exist_ok=True)
        scene = scene.resize((200 + 10 * number, 180)) if number > 3 else scene
        place.write_bytes(encode(scene, "PNG" if place.suffix == ".png" else "JPEG"))
    return folder
