"""The peak memory of every command over many images, at 12, 48 and 100 megapixels, one worker and several.

    python benchmarks/peak_memory.py                     # photos of painted noise, JPEG and PNG
    python benchmarks/peak_memory.py --workers 4 --sizes 100 --verbs detect faces-embed

Each command handles two photos of a size and a kind. The memory is what the process and those that it starts have in
RAM together, in MB, read every few milliseconds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

SIZES = {12: (4000, 3000), 48: (8000, 6000), 100: (10000, 10000)}
KINDS = {"jpg": {"quality": 85}, "png": {"compress_level": 1}}
VERBS = {
    "detect": ["detect", "--output", "out"],
    "detect --images": ["detect", "--images", "--output", "out"],
    "classify": ["classify", "--output", "out"],
    "faces detect": ["faces", "detect", "--output", "out"],
    "faces detect --images": ["faces", "detect", "--images", "--output", "out"],
    "faces embed": ["faces", "embed", "--output", "out.npz"],
    "faces group": ["faces", "group", "--output", "out"],
    "faces identify": ["faces", "identify", "--gallery", "people.db", "--output", "out"],
    "faces enroll": ["faces", "enroll", "--gallery", "new.db", "--largest", "Ada"],
    "faces verify": ["faces", "verify", "--largest"],
    "style --method fast": ["style", "--style", "sample:mosaic", "--output", "out"],
    "style --method color": ["style", "--style", "sample:mosaic", "--method", "color", "--output", "out"],
}
COPIES = 2  # photos that a command handles; large ones take turns, so more of them need no more
INTERVAL = 0.005  # seconds between two readings


def write_photos(folder: Path, size: int, kind: str) -> list[str]:
    """Write photos of a size in megapixels, tiled with a portrait and noise; return their names in the folder."""
    width, height = SIZES[size]
    noise = np.random.default_rng(0).integers(0, 16, astronaut().shape, np.uint8)
    tile = np.minimum(astronaut(), 239) + noise
    pixels = np.tile(tile, (-(-height // len(tile)), -(-width // len(tile)), 1))[:height, :width]
    names = [f"{number}.{kind}" for number in range(COPIES)]
    Image.fromarray(pixels).save(folder / names[0], **KINDS[kind])
    for name in names[1:]:
        os.link(folder / names[0], folder / name)
    return names


def peak(words: list[str], folder: Path) -> tuple[float, int]:
    """Run a command in a folder; return the peak of its memory in MB, and its exit code."""
    command = [sys.executable, "-m", "vision_app", *words]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        most = max(most, sum(resident(each) for each in (process.pid, *children(process.pid))))
        time.sleep(INTERVAL)
    return most / 1e6, process.returncode


def children(process: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    found = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            own = [int(word) for word in file.read_text().split()]
        except OSError:  # the thread has ended
            continue
        found += own + [each for child in own for each in children(child)]
    return found


def resident(process: int) -> int:
    """Return the bytes of a process that are in RAM; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def measure(verb: str, size: int, kind: str, workers: int) -> str:
    """Return the peak of a command in MB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = write_photos(folder, size, kind)
        if "people.db" in VERBS[verb]:
            Image.fromarray(astronaut()).save(folder / "ada.png")
            peak(["faces", "enroll", "--gallery", "people.db", "Ada", "ada.png"], folder)
        has_workers = verb.split()[0] != "style" and verb not in ("faces enroll", "faces verify")
        words = ["--workers", str(workers)] if has_workers else []
        most, code = peak([*VERBS[verb], *photos[: 2 if verb == "faces verify" else None], *words], folder)
    return f"{most:,.0f}" + (f" (exit code {code})" if code else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--verbs", nargs="+", choices=VERBS, default=list(VERBS))
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    given = parser.parse_args()
    columns = list(product(given.sizes, given.kinds, given.workers))
    print("|", " | ".join(["command", *(f"{size} MP {kind}, {workers}" for size, kind, workers in columns)]), "|")
    print("|---|" + "---:|" * len(columns))
    for verb in given.verbs:
        print(f"| {verb} ", end="", flush=True)
        for column in columns:
            print("|", measure(verb, *column), end=" ", flush=True)
        print("|")


if __name__ == "__main__":
    main()
