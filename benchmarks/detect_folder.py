"""Images a second of `vision-app detect` on a folder, beside the network alone on the same photos.

    python benchmarks/detect_folder.py ../data/voc/images --limit 1000
    python benchmarks/detect_folder.py --large
    python benchmarks/detect_folder.py FOLDER --flags --workers 1

The command runs as a user would run it, with its defaults; its clock starts when the first rows are on disk: a hundred,
or a tenth of the photos if that is less. The network alone is one session with two threads, one photo a call, inputs
ready in memory. It is timed on half of the other photos before the command and on the other half after it, so that both
meet the same machine.

With --large, photos are enlarged to 12 megapixels first (those of FOLDER, or the page's samples), and the command is
compared with a plain loop over them: decode the whole photo with Pillow, find its objects with two threads, next photo.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from PIL import Image

from vision_app import Detector
from vision_app.core.images import SUFFIXES

SAMPLES = Path(__file__).parents[1] / "vision_app" / "ui" / "samples"
LARGE, DISTINCT = (4000, 3000), 8  # pixels; so many photos are enlarged, the other large ones are the same files again
LEAST = 20  # photos


def network_alone(detector: Detector, photos: list[Path]) -> float:
    """Seconds that the network alone takes for some photos, one at a time."""
    total = 0.0
    for photo in photos:
        inputs = detector.preprocess([detector.read(photo)])
        started = time.perf_counter()
        detector.forward(inputs)
        total += time.perf_counter() - started
    return total


def plain_loop(detector: Detector, photos: list[Path]) -> float:
    """Seconds that a loop takes that decodes photos whole and finds their objects, one at a time."""
    started = time.perf_counter()
    for photo in photos:
        with Image.open(photo) as image:
            detector(np.asarray(image.convert("RGB")))
    return time.perf_counter() - started


def enlarge(photos: list[Path], count: int, folder: Path) -> list[Path]:
    """Write photos of 12 megapixels and return `count` of them."""
    files = []
    for i, photo in enumerate(photos[:DISTINCT]):
        with Image.open(photo) as image:
            large = image.convert("RGB").resize(LARGE, Image.Resampling.BICUBIC)
        files.append(folder / f"{i}.jpg")
        large.save(files[-1], quality=90)
    links = [folder / f"photo {i:04}.jpg" for i in range(count)]
    for i, link in enumerate(links):
        link.hardlink_to(files[i % len(files)])
    return links


def command_rate(photos: list[Path], warm_up: int, model: str, flags: list[str]) -> float:
    """Images a second of the whole command after the first ones."""
    with tempfile.TemporaryDirectory() as output:
        rows = Path(output) / "detections.jsonl"
        command = [sys.executable, "-m", "vision_app", "detect", *map(str, photos), "--output", output]
        process = subprocess.Popen([*command, "--model", model, *flags], stderr=subprocess.DEVNULL)
        done = 0
        while done < warm_up and process.poll() is None:
            time.sleep(0.005)
            done = rows.read_bytes().count(b"\n") if rows.exists() else 0
        warm = time.perf_counter()
        if process.wait() or done < warm_up:
            sys.exit(f"the command failed with code {process.returncode}")
        return (len(photos) - done) / (time.perf_counter() - warm)


def compare(photos: list[Path], large: bool, model: str, flags: list[str]) -> None:
    """Time both and print their rates."""
    name, seconds = ("a plain loop", plain_loop) if large else ("the network alone", network_alone)
    warm_up = min(100, len(photos) // 10)
    detector = Detector.load(model, device="cpu", runtime="onnx", threads=2)
    seconds(detector, photos[:warm_up])
    rest = photos[warm_up:]
    half = len(rest) // 2
    before = seconds(detector, rest[:half])
    whole = command_rate(photos, warm_up, model, flags)
    after = seconds(detector, rest[half:])
    rate = len(rest) / (before + after)
    size = f" of {LARGE[0]} x {LARGE[1]} pixels" if large else ""
    print(f"{len(photos)} photos{size}, rates after the first {warm_up}")
    print(f"whole command:     {whole:7.1f} images/s")
    halves = f"first half {half / before:.1f}, second half {(len(rest) - half) / after:.1f}"
    print(f"{name + ':':<18} {rate:7.1f} images/s, {1000 / rate:.1f} ms an image ({halves})")
    print(f"whole command / {name}: {whole / rate:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="optional with --large")
    parser.add_argument("--limit", type=int, help=f"photos to take, at least {LEAST}; 1000, with --large 160")
    parser.add_argument("--model", default="yolo")
    parser.add_argument("--large", action="store_true", help="compare on photos of 12 megapixels")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="more flags for the command")
    arguments = parser.parse_args()
    folder = arguments.folder or (SAMPLES if arguments.large else parser.error("FOLDER is missing"))
    limit = arguments.limit or (160 if arguments.large else 1000)
    photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)[:limit]
    with tempfile.TemporaryDirectory() if arguments.large else nullcontext() as temporary:
        if arguments.large and photos:
            photos = enlarge(photos, limit, Path(temporary))
        if len(photos) < LEAST:
            parser.error(f"{folder}: {len(photos)} photos, at least {LEAST} are needed")
        compare(photos, arguments.large, arguments.model, arguments.flags)


if __name__ == "__main__":
    main()
