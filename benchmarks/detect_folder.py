"""Images a second of `vision-app detect` on a folder, beside the network alone on the same photos.

    python benchmarks/detect_folder.py ../data/voc/images --limit 1000

The command runs as a user would run it, with its defaults; its clock starts when the hundredth row is on disk. The
network alone is one session with two threads, one photo a call, inputs ready in memory. It is timed on half of the
photos before the command and on the other half after it, so that both meet the same machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vision_app import Detector
from vision_app.images import SUFFIXES

WARM_UP = 100


def network_seconds(detector: Detector, photos: list[Path]) -> float:
    """Seconds that the network alone takes for some photos, one at a time."""
    total = 0.0
    for photo in photos:
        inputs = detector.preprocess([detector.read(photo)])
        started = time.perf_counter()
        detector.forward(inputs)
        total += time.perf_counter() - started
    return total


def command_rate(photos: list[Path], model: str, flags: list[str]) -> float:
    """Images a second of the whole command after the first hundred."""
    with tempfile.TemporaryDirectory() as output:
        rows = Path(output) / "detections.jsonl"
        command = [sys.executable, "-m", "vision_app", "detect", *map(str, photos), "--output", output]
        process = subprocess.Popen([*command, "--model", model, *flags], stderr=subprocess.DEVNULL)
        done = 0
        while done < WARM_UP and process.poll() is None:
            time.sleep(0.005)
            done = rows.read_bytes().count(b"\n") if rows.exists() else 0
        warm = time.perf_counter()
        if process.wait() or done < WARM_UP:
            sys.exit(f"the command failed with code {process.returncode}")
        return (len(photos) - done) / (time.perf_counter() - warm)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=1000, help="photos to take, more than 200")
    parser.add_argument("--model", default="yolo")
    parser.add_argument("flags", nargs="*", help="more flags for the command, after --")
    arguments = parser.parse_args()
    photos = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in SUFFIXES)[: arguments.limit]
    if len(photos) <= 2 * WARM_UP:
        parser.error(f"{arguments.folder} holds {len(photos)} photos, more than {2 * WARM_UP} are needed")
    detector = Detector.load(arguments.model, runtime="onnx", threads=2)
    network_seconds(detector, photos[:WARM_UP])
    rest = photos[WARM_UP:]
    half = len(rest) // 2
    before = network_seconds(detector, rest[:half])
    whole = command_rate(photos, arguments.model, arguments.flags)
    after = network_seconds(detector, rest[half:])
    alone = len(rest) / (before + after)
    print(f"{len(photos)} photos, rates after the first {WARM_UP}")
    print(f"whole command:     {whole:7.1f} images/s")
    halves = f"first half {half / before:.1f}, second half {(len(rest) - half) / after:.1f}"
    print(f"the network alone: {alone:7.1f} images/s, {1000 / alone:.1f} ms an image ({halves})")
    print(f"whole command / network alone: {whole / alone:.2f}")


if __name__ == "__main__":
    main()
