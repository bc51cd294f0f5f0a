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
from vision_app.data.coco import load_coco
from vision_app.data.samples import DetectionSet
from vision_app.detection.evaluate.curves import Sweep
from vision_app.detection.evaluate.evaluation import MEASURING, measure_precision
from vision_app.detection.evaluate.table import Table, rows_in_order
from vision_app.released.write import describe

FLAGS = [
    f"--confidence={MEASURING.confidence}",
    f"--iou={MEASURING.iou}",
    f"--max-detections={MEASURING.max_detections}",
]


def detect(data: DetectionSet, model: str, output: Path) -> Path:
    """Run the command on the images of a set and return its rows' file."""
    images = [str(sample.path) for sample in data.samples]
    code = vision_app(["detect", *images, "--output", str(output), "--model", model, *FLAGS])
    if code:
        sys.exit(code)
    return output / "detections.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", nargs="+", type=Path, help="COCO-style files, photos in images/ beside them")
    parser.add_argument("--rows", type=Path, help="rows of an earlier `vision-app detect`, for a single truth")
    parser.add_argument("--model", default="yolo")
    parser.add_argument(
        "--record",
        action="store_true",
        help="write the figures, and the first truth's best confidence, into the model folder's model.json",
    )
    arguments = parser.parse_args()
    if arguments.rows and len(arguments.truth) > 1:
        parser.error("--rows goes with a single truth")
    if arguments.record and not Path(arguments.model).is_dir():
        parser.error("--record goes with a model folder")
    measured, confidence = {}, None
    for path in arguments.truth:
        data = load_coco(path)
        with tempfile.TemporaryDirectory() as output:
            rows = arguments.rows or detect(data, arguments.model, Path(output))
            found = rows_in_order(data, map(json.loads, rows.read_text(encoding="utf-8").splitlines()))
        table = Table.make(data, found)
        metrics, (best, f1) = measure_precision(table).metrics, Sweep.make(table).best()
        confidence = confidence or best
        figures = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        name = f"{path.parent.name} {path.stem}"
        measured[name] = {key: round(metrics[key], 4) for key in ("AP", "AP50")}
        print(f"{name} ({len(data)} images): {figures}  best F1 {f1:.3f} at confidence {best:.2f}")
    if arguments.record:
        folder = Path(arguments.model)
        defaults = json.loads((folder / "model.json").read_text(encoding="utf-8"))["defaults"]
        describe(folder, measured=measured, defaults=defaults | {"confidence": confidence})


if __name__ == "__main__":
    main()
