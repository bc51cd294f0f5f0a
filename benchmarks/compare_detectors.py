"""YOLO and the R-CNN family in one table: milliseconds by stage, size, memory and average precision.

    python benchmarks/compare_detectors.py ../data/voc/val.json

Every detector runs alone in a process of its own, one photo at a time, on torch, where stages can be told apart. The
lines of "(tta)" and "+" show what each further second buys: looking again at mirrored and scaled copies, and joining
two detectors. R-CNN takes seconds a photo and is measured on the first 200; the table says on how many photos each line
stands.
"""

import argparse
from pathlib import Path

from vision_app.cli.progress import show_progress
from vision_app.data.detection import load_detection
from vision_app.detection.compare.measure import DetectorSpec, Worker
from vision_app.detection.compare.table import format_table, make_line
from vision_app.detection.evaluate.evaluation import MEASURING
from vision_app.released.execution import Execution

DETECTORS = (
    ("yolo", False), ("yolo", True), ("faster-rcnn", False), ("yolo+faster-rcnn", False), ("fast-rcnn", False),
    ("rcnn", False),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="boxes as COCO, YOLO or PASCAL VOC writes them")
    parser.add_argument("--limit", type=int, help="photos to measure on; all by default")
    parser.add_argument("--rcnn-limit", type=int, default=200, help="photos to measure R-CNN on")
    parser.add_argument("--models", help="A,B,...: only these")
    parser.add_argument("--threads", type=int, help="threads of a network; all cores by default")
    arguments = parser.parse_args()
    names = list(dict.fromkeys(name for name, _ in DETECTORS))
    wanted = arguments.models.split(",") if arguments.models else names
    if strange := [name for name in wanted if name not in names]:
        parser.error(f"--models: {', '.join(strange)}: must be of {', '.join(names)}")
    truth = load_detection(arguments.data)
    files, lines = [str(sample.path) for sample in truth.samples][: arguments.limit], []
    execution = Execution(runtime="torch", threads=arguments.threads)
    for spec in (DetectorSpec(name, tta, execution) for name, tta in DETECTORS if name in wanted):
        chosen = files[: arguments.rcnn_limit] if spec.model == "rcnn" else files
        rows = []
        print(spec.name, flush=True)
        with Worker(spec, doubtful=MEASURING) as worker, show_progress(len(chosen), 0) as report:
            for row in worker.rows(chosen):
                rows.append(row)
                report([row])
            readable = next((row["file"] for row in rows if row["status"] == "ok"), None)
            lines.append(make_line(rows, worker.cost(readable), truth))
    print(format_table(lines))


if __name__ == "__main__":
    main()
