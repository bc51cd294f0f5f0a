"""How many of a set's objects the proposals of selective search find, and what they cost.

    python benchmarks/proposal_recall.py ../data/voc/val.json
    python benchmarks/proposal_recall.py ../data/voc/val.json --limit 100 --most 500 --workers 1

An object is found where one of its photo's first proposals overlaps its box with the named IoU. Difficult objects and
crowds are left out. Photos are taken at their size, decoding is not timed; milliseconds are those of one core, which
other work on the machine hardly changes.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from vision_app.core.boxes import iou_matrix
from vision_app.core.child_process import end_with_parent
from vision_app.core.errors import VisionAppError
from vision_app.core.images import read_image
from vision_app.data.detection import load_detection
from vision_app.data.samples import AnnotatedImage
from vision_app.detection.proposals import selective_search

IOUS = (0.5, 0.7)


def measure(sample: AnnotatedImage, most: Sequence[int]) -> tuple[np.ndarray, list[int], float]:
    """Search one photo.

    Returns:
        (len(most), M) the best overlap of each object with the first proposals, how many of them there are, and the
        milliseconds that the search took.
    """
    cv2.setNumThreads(1)
    pixels = read_image(sample.path).pixels
    started = time.process_time()
    boxes = selective_search(pixels, most=max(most))
    milliseconds = 1000 * (time.process_time() - started)
    overlaps = iou_matrix(boxes, sample.boxes.not_ignored.xyxy)  # (N, M)
    best = np.stack([overlaps[:count].max(axis=0) for count in most])
    return best, [min(count, len(boxes)) for count in most], milliseconds


def print_table(most: Sequence[int], best: np.ndarray, numbers: np.ndarray, milliseconds: float) -> None:
    """Print a line for each number of proposals.

    Args:
        most: the numbers asked for.
        best: (len(most), objects) overlaps.
        numbers: (photos, len(most)) proposals that there were.
        milliseconds: mean of all photos.
    """
    print("| proposals, at most | on average | " + " | ".join(f"recall at IoU {iou}" for iou in IOUS) + " |")
    print("|--:|--:|" + "--:|" * len(IOUS))
    for count, overlaps, number in zip(most, best, numbers.mean(axis=0), strict=True):
        recalls = " | ".join(f"{(overlaps >= iou).mean():.3f}" for iou in IOUS)
        print(f"| {count:,} | {number:,.0f} | {recalls} |")
    print(f"\n{len(numbers)} photos, {best.shape[1]} objects, {milliseconds:.0f} ms a photo on one core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a COCO, YOLO or VOC set, as for `vision-app evaluate`")
    parser.add_argument("--limit", type=int, help="photos to take, the first ones; by default all")
    parser.add_argument("--most", type=int, nargs="+", default=[100, 500, 1000, 2000], help="proposals a photo")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    try:
        samples = load_detection(arguments.data).samples[: arguments.limit]
    except VisionAppError as error:
        parser.error(str(error))
    most, rows = sorted(arguments.most), []
    if most[0] < 1 or arguments.workers < 1 or not any(len(sample.boxes.not_ignored) for sample in samples):
        parser.error("--most and --workers are at least 1, and some photo must have an object")
    with ProcessPoolExecutor(arguments.workers, initializer=end_with_parent) as processes:
        for row in processes.map(measure, samples, [most] * len(samples)):
            rows.append(row)
            last = len(rows) == len(samples)
            print(f"{len(rows)} of {len(samples)} photos", end="\n" if last else "\r", file=sys.stderr)
    best, numbers, milliseconds = zip(*rows, strict=True)
    print_table(most, np.concatenate(best, axis=1), np.array(numbers), float(np.mean(milliseconds)))


if __name__ == "__main__":
    main()
