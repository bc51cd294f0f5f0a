"""Attacks with photos: changed bytes, costly ways to store few pixels, and files at which the process is killed."""

import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from attacks import Trial
from vision_app.core.errors import ImageError
from vision_app.core.images import read_image

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")
POISON = """
import os, sys
def look(event, arguments):
    if event == "open" and "poison" in str(arguments[0]):
        os.kill(os.getpid(), 9)
sys.addaudithook(look)
"""  # kills a process for the name of a file that it opens, as the system does for its memory


def mutated_photos(folder: Path) -> Iterator[Trial]:
    """Read images with bytes changed at random places, or without their end."""
    rng = np.random.default_rng(0)
    for form in FORMATS:
        content = _encoded(form)
        for number in range(60):
            changed = bytearray(content)
            for place in rng.integers(0, len(changed), 4 ** (number % 4)):
                changed[place] = rng.integers(256)
            end = rng.integers(1, len(changed)) if number % 5 == 0 else len(changed)
            yield Trial(f"{form} {number}", _is_refused(bytes(changed[:end])) is not None)


def tiles_and_scans(folder: Path) -> Iterator[Trial]:
    """Read TIFFs whose tile is much larger than their image, and progressive JPEGs of many scans."""
    contents = {f"a tile of {side} x {side}": _tiled_tiff(side) for side in (4112, 10_000, 25_000, 60_000)}
    jpeg = _encoded("JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    contents |= {f"{count} scans": jpeg[:-2] + scan * count + jpeg[-2:] for count in (500, 3000, 10_000)}
    for name, content in contents.items():
        start = time.process_time()
        yield Trial(name, _is_refused(content) is True and time.process_time() - start < 10)


def runs_that_are_killed(folder: Path) -> Iterator[Trial]:
    """Kill a run at some time, or at one photo again and again, then continue it with --resume."""
    (folder / "in").mkdir()
    for number in range(12):
        (folder / f"in/{number:02}.png").write_bytes(_encoded("PNG"))
    (folder / "hook").mkdir()
    (folder / "hook/sitecustomize.py").write_text(POISON)
    poisonous = {"PYTHONPATH": f"{folder / 'hook'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}

    def run(output: str, *words: str, kill_after: float | None = None, **variables: str) -> int:
        command = [sys.executable, "-m", "vision_app", "detect", "in", "--output", output, "--workers", "2", *words]
        with subprocess.Popen(
            command, cwd=folder, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            if kill_after is not None:
                time.sleep(kill_after)
                process.kill()
            return process.wait(120)

    def rows(output: str) -> list[str]:
        return (folder / output / "detections.jsonl").read_text(encoding="utf-8").splitlines()

    run("whole")
    for seconds in (0.5, 1.0, 1.5, 2.0):
        run(f"{seconds}", kill_after=seconds)
        code = run(f"{seconds}", "--resume")
        yield Trial(f"killed after {seconds} s", code == 0 and rows(f"{seconds}") == rows("whole"))
    (folder / "in/05.png").rename(folder / "in/05-poison.png")
    killed = run("fatal", **poisonous)
    code = run("fatal", "--resume", **poisonous)
    whole, found = rows("whole"), rows("fatal")
    healthy = found[:5] + found[6:] == whole[:5] + whole[6:]
    yield Trial("poison", killed == -signal.SIGKILL and code == 1 and healthy)
    yield Trial("row of the poison", json.loads(found[5])["status"] == "failed")


def _is_refused(content: bytes) -> bool | None:
    """Return whether an image is refused, or None where reading it raises anything else."""
    try:
        read_image(content)
    except ImageError:
        return True
    except Exception:
        return None
    return False


def _encoded(form: str, **options: bool) -> bytes:
    with Image.open(str(files("vision_app.ui") / "samples" / "cat.jpg")) as image:
        small, stream = image.convert("RGB").resize((160, 120)), io.BytesIO()
    small.save(stream, form, **options)
    return stream.getvalue()


def _tiled_tiff(side: int) -> bytes:
    """Return a TIFF of 64 x 64 pixels in one tile."""
    entries = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 134, 325: 100}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(104)
