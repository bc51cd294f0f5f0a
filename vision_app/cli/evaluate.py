"""`vision-app evaluate`: how good a model is on pictures whose truth is known."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from vision_app.cli.options import Help, show_help

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vision_app.batch.run import Task
    from vision_app.classification.classifier import Classifier
    from vision_app.data.samples import DetectionSet
    from vision_app.detection.base import Detector
    from vision_app.faces.embedder import Embedder

app = typer.Typer(help="Measure models on data whose truth is known.", add_help_option=False)
DOUBTFUL = 0.05  # rows should hold scores down to this at least


@app.callback(invoke_without_command=True)
def root(context: typer.Context, help: Help = False) -> None:
    show_help(context, help)


@app.command()
def detector(
    data: Annotated[
        Path,
        Option(
            metavar="FILE.json|FILE.yaml|FOLDER", help="Boxes as COCO, YOLO or PASCAL VOC writes them.", exists=True
        ),
    ],
    output: Annotated[Path, Option(metavar="DIR", help="New folder for figures, tables and plots.", file_okay=False)],
    split: Annotated[
        str | None,
        Option(metavar="NAME", help="The part of the data to take.", show_default="val, or else test, or else all"),
    ] = None,
    model: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="A released model, a model folder or an ONNX file; several joined by + answer as one.",
            show_default="yolo",
        ),
    ] = None,
    tta: Annotated[
        bool,
        Option("--tta", help="Look at each photo six times, in 3 sizes and mirrored: slower, finds more with yolo."),
    ] = False,
    rows: Annotated[
        Path | None,
        Option(
            metavar="FILE.jsonl",
            help="Rows of an earlier `vision-app detect --confidence 0.01 --iou 0.6`, instead of --model.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    proposals: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Keeps the regions that rcnn and fast-rcnn search every photo for, also for the next evaluation.",
            show_default="they are not kept",
            file_okay=False,
        ),
    ] = None,
    device: Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where the network runs.")] = "auto",
    runtime: Annotated[str, Option(metavar="auto|onnx|torch", help="What runs the network.")] = "auto",
) -> int:
    """Measure a detector.

    DIR gets evaluation.json with all figures, each table as CSV and each plot as PNG: average precision in all and by
    class, precision and recall, F1 by confidence, confusions, kinds of errors, reliability of the confidences.

    Exit code: 0 measured, 1 the data or some of its photos cannot be used, 2 wrong usage.
    """
    from vision_app.batch.sinks import read_rows
    from vision_app.core.errors import UsageError
    from vision_app.detection.batch import DetectTask
    from vision_app.detection.evaluate import MEASURING
    from vision_app.detection.evaluate.evaluation import evaluate
    from vision_app.detection.evaluate.plots import write_plots
    from vision_app.detection.evaluate.report import summary, write_report
    from vision_app.detection.evaluate.table import Table, rows_in_order
    from vision_app.detection.load import load_detector

    if rows and model:
        raise UsageError(f"--model {model}: not together with --rows, which says what was found already")
    if rows and tta:
        raise UsageError("--tta: not together with --rows, which says what was found already")
    check_empty(output)
    found = None if rows else load_detector(model or "yolo", device=device, runtime=runtime, threads=1, tta=tta)
    if proposals:
        keep_proposals(found, proposals)
    truth, split = load_truth(data, split)
    with ExitStack() as failed:
        if found:
            check_classes(found, truth, data)
            rows, flags = output / "detections.jsonl", ("confidence", "iou", "max_detections")
            settings = {f"--{name.replace('_', '-')}": getattr(MEASURING, name) for name in flags}
            files = [str(sample.path) for sample in truth.samples]
            write_rows(DetectTask(found, MEASURING), found, files, rows, failed, settings)
        answers = list(read_rows(rows))
        table = Table.make(truth, rows_in_order(truth, answers))
        failed.pop_all()
    if not found and len(table.detections) and (lowest := table.detections.scores[-1]) > DOUBTFUL:
        print(f"{rows}: no score is below {lowest:.2f}; AP needs the doubtful boxes too", file=sys.stderr)
    evaluation = evaluate(table)
    about = {"data": str(data), "split": split, "model": answers[0].get("model")}
    print(f"{about['model']} on {data}" + (f", {split}" if split else ""))
    for line in summary(evaluation):
        print(line)
    output.mkdir(parents=True, exist_ok=True)
    write_report(evaluation, output, about)
    write_plots(evaluation, output)
    print(f"\nfigures, tables and plots are in {output}")
    return 0


def keep_proposals(found: "Detector | None", folder: Path) -> None:
    """Give a detector that searches photos for regions a folder to keep them in; raises UsageError for another one."""
    from vision_app.core.errors import UsageError
    from vision_app.detection.proposals import ProposalCache

    if not getattr(found, "searches", False):
        raise UsageError(
            f"--proposals {folder}: only --model rcnn or fast-rcnn, alone and without --tta, searches photos"
        )
    found.propose = ProposalCache(folder)


def check_empty(output: Path) -> None:
    """Refuse a folder that holds something; raises UsageError."""
    from vision_app.core.errors import UsageError

    if output.exists() and any(output.iterdir()):
        raise UsageError(f"--output {output}: is not empty; choose another folder")


def load_truth(path: Path, split: str | None) -> "tuple[DetectionSet, str | None]":
    """Read a set, by default its val, or else its test, or else all of it; say which, and what is odd about it.

    Returns:
        The set and the name of its split, None for all.

    Raises:
        DataError: It cannot be read, one of its images cannot be measured on, or there is nothing to find in them.
    """
    from vision_app.core.errors import DataError
    from vision_app.data.detection import open_dataset

    source = open_dataset(path)
    if split is None and (split := next((name for name in ("val", "test") if name in source.splits), None)):
        print(f"{path}: measured is its {split}; --split takes another part", file=sys.stderr)
    data = source.load(split=split)
    if faults := data.report.faults:
        raise DataError(f"{path}: {_shortened(faults)}; mend this or take it out; `vision-app check` lists all of it")
    if not any(data.boxes_per_class().values()):
        raise DataError(f"{path}: holds no object to find; an evaluation needs some boxes")
    for kind, count in data.report.kinds.items():
        print(f"{path}: {kind}: {count:,}", file=sys.stderr)
    return data, split


def _shortened(lines: "Sequence[str]", shown: int = 5) -> str:
    """The first lines in one, and how many more there are."""
    more = f"; and {len(lines) - shown:,} more" if len(lines) > shown else ""
    return "; ".join(lines[:shown]) + more


def check_classes(model: "Detector | Classifier", truth: "DetectionSet", path: Path) -> None:
    """Say which classes of the truth the model does not know.

    Raises:
        DataError: It knows none.
    """
    from vision_app.core.errors import DataError
    from vision_app.data.names import canonical

    strange = [name for name in truth.classes if not {name, canonical(name)} & set(model.classes)]
    if len(strange) == len(truth.classes):
        raise DataError(f"{path}: model '{model.name}' knows none of its classes ({', '.join(strange[:5])})")
    if strange:
        print(f"not known to model '{model.name}': {', '.join(strange)}", file=sys.stderr)


def write_rows(
    task: "Task",
    model: "Detector | Classifier | Embedder",
    files: "Sequence[str]",
    path: Path,
    failed: ExitStack,
    settings: dict | None = None,
    permissions: int = 0o666,
) -> None:
    """Write the rows of all photos, as the verb of the task does.

    Args:
        model: Of the task.
        files: The photos.
        path: The file to write.
        failed: Takes what removes it again, so that after an error the same command finds the folder empty.
        settings: On which the rows depend, beside the model, by flag.
        permissions: Of the file, see `Journal`.

    Raises:
        DataError: Some photos cannot be read.
    """
    from vision_app.batch.run import cores, run
    from vision_app.batch.sinks import Journal, read_rows
    from vision_app.batch.sources import Input
    from vision_app.cli.progress import show_progress
    from vision_app.core.errors import DataError

    inputs = [Input(file, "") for file in files]
    settings = {
        "--model": model.name,
        "--device": model.device.partition(":")[0],
        "--runtime": model.runtime,
        **(settings or {}),
    }
    size = 8 if model.device == "cpu" else 32
    with (
        Journal(
            path, settings=settings, inputs=inputs, batch_size=size, resume=False, permissions=permissions
        ) as journal,
        show_progress(len(inputs), 0) as report,
    ):
        failed.callback(lambda: [file.unlink() for file in path.parent.glob(f"{path.stem}.*")])
        run(task, journal, workers=cores(), report=report)
    if broken := [f"{row['file']}: {row['error']}" for row in read_rows(path) if row["status"] != "ok"]:
        raise DataError(f"{_shortened(broken)}; mend these or take them out")
