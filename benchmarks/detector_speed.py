"""Milliseconds an image of the released detector and of other small ones, part by part, on the same photos.

    python benchmarks/detector_speed.py ../data/voc/images --yolox yolox_nano.onnx \
        --picodet picodet-s-416.param --nanodet nanodet-plus-m_416.param

Photos are decoded once, for all, and that is timed apart. The detectors take turns: in every round each of them gets
the same photos, one a call, with the same number of threads. What is printed are medians and quartiles over the rounds,
of the times and of the ratios within a round. SSDlite320 comes from torchvision; the other files are given by path, the
last two run in ncnn (`pip install ncnn`).
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from contestants import NANODET, PICODET, Contestant, Distances, Ours, SSDlite, YOLOXNano

from vision_app.core.images import SUFFIXES, RGBImage

PARTS = ("preprocess", "network", "postprocess")
WARM_UP = 3  # photos that are not counted when a detector takes its turn


def contestants(arguments: argparse.Namespace) -> tuple[list[Contestant], list[str]]:
    """Return the detectors that can be run, ours first, and why others cannot."""
    found, skipped, threads = [Ours(arguments.model, arguments.threads)], [], arguments.threads
    if arguments.yolox:
        found.append(YOLOXNano(arguments.yolox, threads))
    else:
        skipped.append("YOLOX-Nano: --yolox is not given")
    if arguments.no_ssdlite:
        skipped.append("SSDlite320: --no-ssdlite")
    else:
        found.append(SSDlite(threads))
        skipped.append("SSDlite320's postprocessing: its weights are random, so its boxes mean nothing")
    for name, path, blobs in (
        ("PicoDet-S", arguments.picodet, PICODET),
        ("NanoDet-Plus-m", arguments.nanodet, NANODET),
    ):
        if not path:
            skipped.append(f"{name}: --{name.partition('-')[0].lower()} is not given")
            continue
        try:
            found.append(Distances(name, path, blobs, threads))
        except ImportError:
            skipped.append(f"{name}: ncnn is not installed (pip install ncnn)")
    return found, skipped


def read(ours: Ours, photos: list[Path]) -> tuple[list[RGBImage], float]:
    """Return the photos of a round as our detector decodes them, and the median of the milliseconds of one."""
    images, times = [], []
    for photo in photos:
        started = time.perf_counter()
        images.append(ours.detector.read(photo))
        times.append(time.perf_counter() - started)
    return images, 1000 * float(np.median(times))


def turn(contestant: Contestant, images: list[RGBImage]) -> list[float]:
    """Return a detector's medians over a round in milliseconds, for every one of PARTS; NaN for one it lacks."""
    times = []
    time.sleep(0.02)  # the threads of the one before may still be waiting for work
    with silence():
        for image in images[:WARM_UP] + images:
            moments = [time.perf_counter()]
            inputs = contestant.preprocess(image)
            moments.append(time.perf_counter())
            outputs = contestant.network(inputs)
            moments.append(time.perf_counter())
            if contestant.postprocess:
                contestant.postprocess(outputs, image)
            moments.append(time.perf_counter() if contestant.postprocess else np.nan)
            times.append(np.diff(moments))
    return (1000 * np.median(times[-len(images) :], axis=0)).tolist()


@contextmanager
def silence() -> Iterator[None]:
    """Lets nothing through to the terminal; ncnn writes a warning for every layer of some files at every call."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def spread(values: np.ndarray, digits: int = 2) -> str:
    """Median and quartiles, such as "4.20 (4.11-4.35)"; "-" where there are none."""
    if np.isnan(values).any():
        return "-"
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def print_table(running: list[Contestant], times: np.ndarray) -> None:
    """Print one line per detector.

    Args:
        running: The detectors.
        times: (rounds, detectors, parts) in milliseconds; ours is the first detector.
    """
    ours, whole = running[0].name, times.sum(axis=2)
    heads = ("", "runtime", *PARTS, "all three", f"{ours} / it: network", "all three")
    lines = [heads]
    for i, contestant in enumerate(running):
        ratios = [spread(times[:, 0, 1] / times[:, i, 1]), spread(whole[:, 0] / whole[:, i])] if i else ["", ""]
        parts = [spread(times[:, i, part]) for part in range(len(PARTS))]
        lines.append((contestant.name, contestant.runtime, *parts, spread(whole[:, i]), *ratios))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
    share = 100 * (1 - times[:, 0, 1] / whole[:, 0])
    print(f"{ours}: pre- and postprocessing are {spread(share, 1)} % of all three")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="yolo", help="ours, by name or path")
    parser.add_argument("--yolox", type=Path, metavar="FILE.onnx", help="YOLOX-Nano")
    parser.add_argument("--picodet", type=Path, metavar="FILE.param", help="PicoDet-S, its .bin beside it")
    parser.add_argument("--nanodet", type=Path, metavar="FILE.param", help="NanoDet-Plus-m, its .bin beside it")
    parser.add_argument("--no-ssdlite", action="store_true", help="leave torchvision's SSDlite320 out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--limit", type=int, default=200, help="photos to take, at least one a round")
    arguments = parser.parse_args()
    photos = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in SUFFIXES)[: arguments.limit]
    rounds = arguments.rounds
    if len(photos) < rounds:
        parser.error(
            f"{arguments.folder} holds {len(photos)} photos, at least one for each of {rounds} rounds is needed"
        )
    cv2.setNumThreads(arguments.threads)
    running, skipped = contestants(arguments)
    times, reading = [], []
    for i in range(rounds):
        images, milliseconds = read(running[0], photos[i::rounds])
        reading.append(milliseconds)
        times.append([turn(contestant, images) for contestant in running])
        print(f"round {i + 1} of {rounds}", end="\r" if i + 1 < rounds else "\n", file=sys.stderr)
    print(f"{len(photos)} photos, {arguments.threads} threads, {rounds} rounds")
    print("milliseconds an image, median (quartiles) of the rounds")
    print(f"reading, the same for all: {spread(np.array(reading))}")
    print_table(running, np.array(times))
    for reason in skipped:
        print(f"not measured: {reason}")


if __name__ == "__main__":
    main()
