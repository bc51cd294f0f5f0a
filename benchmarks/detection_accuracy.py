"""Average precision of `vision-app detect` on COCO-style data.

    python benchmarks/detection_accuracy.py ../data/voc/val.json ../data/coco/dev.json
    python benchmarks/detection_accuracy.py ../data/voc/val.json --rows OUT/detections.jsonl

Without --rows, the command runs on the photos of each file first. AP needs the doubtful boxes too: the confidence is
0.01 there and the overlap 0.6, where the command's own defaults suit people who look at pictures.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from vision_app.cli import main as vision_app
from vision_app.detection.evaluate import average_precision

FLAGS = ["--confidence", "0.01", "--iou", "0.6", "--max-detections", "100"]


def detect(truth_path: Path, truth: dict, model: str, output: Path) -> Path:
    """Runs the command on the photos that a truth lists and returns its rows' file."""
    folder = truth_path.parent / "images"
    photos = [str(folder / image["file_name"]) for image in truth["images"]]
    code = vision_app(["detect", *photos, "--output", str(output), "--model", model, *FLAGS])
    if code:
        sys.exit(code)
    return output / "detections.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", nargs="+", type=Path, help="COCO-style files, photos in images/ beside them")
    parser.add_argument("--rows", type=Path, help="rows of an earlier `vision-app detect`, for a single truth")
    parser.add_argument("--model", default="yolo")
    arguments = parser.parse_args()
    if arguments.rows and len(arguments.truth) > 1:
        parser.error("--rows goes with a single truth")
    for path in arguments.truth:
        truth = json.loads(path.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as output:
            rows = arguments.rows or detect(path, truth, arguments.model, Path(output))
            with rows.open(encoding="utf-8") as lines:
                metrics = average_precision(truth, map(json.loads, lines))
        figures = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        print(f"{path.parent.name} {path.stem} ({len(truth['images'])} images): {figures}")


if __name__ == "__main__":
    main()
