"""`vision-app evaluate detector` and `classifier`: how good a model is on images with ground truth."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_app.batch.sources import Input
from vision_app.cli.batch import default_batch_size, runtime_settings
from vision_app.cli.commands import group_of_commands
from vision_app.cli.options import DETECTION_MODEL, IMAGES, ONE_THREAD, Text, with_options
from vision_app.cli.progress import show_progress
from vision_app.cli.terminal import say
from vision_app.core.errors import DataError, UsageError
from vision_app.core.files import PUBLIC, refuse_existing, refuse_sources
from vision_app.data.names import canonical, in_case_of
from vision_app.released.execution import Execution
from vision_app.released.names import CLASSIFIER, DETECTOR

if TYPE_CHECKING:
    from vision_app.batch.run import Task
    from vision_app.classification.classifier import Classifier
    from vision_app.data.samples import DetectionSet
    from vision_app.detection.base import Detector
    from vision_app.faces.embedder import Embedder

app = group_of_commands("Measure models on data with ground truth.")
DOUBTFUL = 0.05  # rows should hold scores down to this at least


@app.command()
@with_options(
    execution=ONE_THREAD,
    images=IMAGES,
    model=DETECTION_MODEL,
    rows=Text(
        "FILE.jsonl", "Rows of an earlier `vision-app detect --confidence 0.01 --iou 0.6`, instead of --model.",
        exists=True, dir_okay=False,
    ),
    proposals=Text(
        "DIR", "Cache of the region proposals of rcnn and fast-rcnn, also for the next evaluation.",
        show_default="no cache", file_okay=False,
    ),
)  # fmt: skip
def detector(
    execution: Execution,
    data: Path,
    output: Path,
    images: list[Path] | None = None,
    split: str | None = None,
    model: str | None = None,
    tta: bool = False,
    rows: Path | None = None,
    proposals: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Measure a detector.

    DIR gets evaluation.json with all metrics, each table as CSV and each plot as PNG: average precision overall and per
    class, precision and recall, F1 by confidence, confusion matrix, error types, calibration of the confidences.

    Exit code: 0 measured, 1 the data or some of its images cannot be used, 2 wrong usage.
    """
    from vision_app.batch.journal import read_rows
    from vision_app.detection.batch import DetectTask
    from vision_app.detection.evaluate.evaluation import MEASURING, evaluate, summary, write_report
    from vision_app.detection.evaluate.plots import write_plots
    from vision_app.detection.evaluate.table import Table, rows_in_order
    from vision_app.detection.load import load_detector
    from vision_app.detection.proposals import ProposalCache
    from vision_app.detection.region_detector import RegionDetector

    if rows and (model or tta):
        flag = f"--model {model}" if model else "--tta"
        raise UsageError(f"{flag}: not together with --rows, which holds the detections already")
    check_empty(output, overwrite, data)
    if rows:
        refuse_sources([output / "evaluation.json"], [rows])
    found = None if rows else load_detector(model or DETECTOR, tta=tta, **vars(execution))
    if proposals:
        if not isinstance(found, RegionDetector) or not found.searches:
            raise UsageError(f"--proposals {proposals}: only for --model rcnn or fast-rcnn, alone and without --tta")
        found.propose = ProposalCache(proposals)
    truth, split = load_ground_truth(data, split, images)
    if found:
        truth = check_classes(f"model '{found.name}'", found.classes, truth, data)
        flags = "confidence", "iou", "max_detections"
        settings = {f"--{name.replace('_', '-')}": getattr(MEASURING, name) for name in flags}
        files, path = [str(sample.path) for sample in truth.samples], output / "detections.jsonl"
        with written_rows(DetectTask(found, MEASURING), found, files, path, settings, overwrite=overwrite):
            answers = list(read_rows(path))
            table = Table.make(truth, rows_in_order(truth, answers))
    else:
        assert rows is not None
        answers = list(read_rows(rows))
        truth = check_labels(rows, answers, truth, data)
        table = Table.make(truth, rows_in_order(truth, answers))
        if len(table.detections) and (lowest := table.detections.scores[-1]) > DOUBTFUL:
            say(f"{rows}: no score is below {lowest:.2f}; AP needs the boxes with low scores too", err=True)
    evaluation = evaluate(table)
    about = {"data": str(data), "split": split, "model": answers[0].get("model")}
    say(f"{about['model']} on {data}" + (f", {split}" if split else ""), *summary(evaluation))
    output.mkdir(parents=True, exist_ok=True)
    write_report(evaluation, output, about)
    write_plots(evaluation, output)
    say(f"\nmetrics, tables and plots are in {output}")
    return 0


@app.command()
@with_options(execution=ONE_THREAD, images=IMAGES)
def classifier(
    execution: Execution,
    data: Path,
    output: Path,
    images: list[Path] | None = None,
    split: str | None = None,
    model: str = CLASSIFIER,
    overwrite: bool = False,
) -> int:
    """Measure a classifier.

    DIR gets evaluation.json and classes.csv: for each class, the average precision of the images ranked by its
    probability, and the mean over classes (mAP); and how often the box of the best object is right. An image in which
    all objects of a class are difficult does not count for that class. A class that no image shows, or that all images
    show that count, has no average precision.

    Exit code: 0 measured, 1 the data or some of its images cannot be used, 2 wrong usage.
    """
    from vision_app.batch.journal import read_rows
    from vision_app.classification.batch import ClassifyTask
    from vision_app.classification.classifier import Classifier
    from vision_app.classification.evaluate.evaluation import evaluate, summary, write_report

    check_empty(output, overwrite, data)
    found = Classifier.load(model, **vars(execution))
    truth, split = load_ground_truth(data, split, images)
    truth = check_classes(f"model '{found.name}'", found.classes, truth, data)
    files, path = [str(sample.path) for sample in truth.samples], output / "classes.jsonl"
    task = ClassifyTask(found, localize=True)
    with written_rows(task, found, files, path, {"--localize": True}, overwrite=overwrite):
        pass
    evaluation = evaluate(truth, list(read_rows(path)))
    say(f"{found.name} on {data}" + (f", {split}" if split else ""), *summary(evaluation))
    write_report(evaluation, output, {"data": str(data), "split": split, "model": found.name})
    say(f"\nmetrics and rows are in {output}")
    return 0


def check_empty(output: Path, overwrite: bool, data: Path) -> None:
    """Refuse a folder with anything in it, unless that may be replaced, and always one that holds the data itself.

    Raises:
        UsageError: The folder cannot be used.
    """
    refuse_existing(sorted(output.iterdir()) if output.is_dir() else [], overwrite)
    if output.resolve() in (data.resolve(), data.resolve().parent):
        raise UsageError(f"--output {output}: holds the data {data}, which would be mixed with results; choose another")


def load_ground_truth(
    path: Path, split: str | None, images: list[Path] | None = None
) -> "tuple[DetectionSet, str | None]":
    """Read a set, by default its val split, else test, else all of it; say which, and what is unusual about it.

    Args:
        path: The set.
        split: Its split.
        images: Folders that have the images, if they are not where the format has them.

    Returns:
        The set and the name of its split, None for all.

    Raises:
        DataError: It cannot be read, one of its images cannot be measured on, or it has no boxes.
    """
    from vision_app.data.detection import open_dataset

    source = open_dataset(path, images or ())
    if split is None and (split := next((name for name in ("val", "test") if name in source.splits), None)):
        say(f"{path}: using the split '{split}'; --split selects another one", err=True)
    data = source.load(split=split)
    if faults := data.report.faults:
        raise DataError(f"{path}: {_shortened(faults)}; fix or remove these; `vision-app check` lists all issues")
    if not data.has_boxes:
        raise DataError(f"{path}: has no boxes; an evaluation needs some")
    for line in data.report.counts:
        say(f"{path}: {line}", err=True)
    return data, split


def _shortened(lines: Sequence[str], shown: int = 5) -> str:
    """Return the first lines in one, and how many more there are."""
    more = f"; and {len(lines) - shown:,} more" if len(lines) > shown else ""
    return "; ".join(lines[:shown]) + more


def check_classes(source: str, classes: Sequence[str], truth: "DetectionSet", path: Path) -> "DetectionSet":
    """Return the ground truth with names as the model writes them, where only upper and lower case differ.

    Says which names these are, and which the model does not know.

    Args:
        source: What knows the classes, for messages.
        classes: Those that it knows.
        truth: The ground truth.
        path: The set.

    Raises:
        DataError: It knows none.
    """
    found = _in_case_of(source, classes, truth, path)
    if unknown := [name for name in found.classes if not {name, canonical(name)} & set(classes)]:
        say(f"not known to {source}: {', '.join(unknown)}", err=True)
    return found


def check_labels(rows: Path, answers: Sequence[dict[str, Any]], truth: "DetectionSet", path: Path) -> "DetectionSet":
    """Return the ground truth with names as rows of detections write them; see `check_classes`.

    Raises:
        DataError: The rows have detections, and none of a class of the ground truth.
    """
    labels = sorted({one["label"] for row in answers for one in row.get("detections") or ()})
    return _in_case_of(str(rows), labels, truth, path) if labels else truth


def _in_case_of(source: str, classes: Sequence[str], truth: "DetectionSet", path: Path) -> "DetectionSet":
    names = in_case_of(truth.classes, classes)
    if not {each for name in names for each in (name, canonical(name))} & set(classes):
        raise DataError(f"{path}: none of its classes is known to {source} ({', '.join(names[:5])})")
    if changed := [f"'{old}' as '{new}'" for old, new in zip(truth.classes, names, strict=True) if old != new]:
        say(f"{path}: takes {', '.join(changed)}, which {source} knows", err=True)
    return replace(truth, classes=names)


@contextmanager
def written_rows(
    task: "Task[Any]",
    model: "Detector | Classifier | Embedder",
    files: Sequence[str],
    path: Path,
    settings: dict[str, Any],
    permissions: int = PUBLIC,
    overwrite: bool = False,
) -> Iterator[None]:
    """Write the rows of all images as the command of the task does, and remove them if the block fails.

    So, after an error, the same command finds the folder empty.

    Args:
        task: What to do with an image.
        model: The model of the task.
        files: The images.
        path: The file to write.
        settings: What the rows depend on besides the model, by flag.
        permissions: Of the file, see `Journal`.
        overwrite: Whether it may replace one that is there.

    Raises:
        DataError: Some images cannot be read.
    """
    from vision_app.batch.journal import Journal, read_rows
    from vision_app.batch.run import cores, run

    inputs = [Input(file, "") for file in files]
    settings = {"--model": model.name, **runtime_settings(model), **settings}
    size = default_batch_size(model)
    journal = Journal(
        path, settings=settings, inputs=inputs, batch_size=size, resume=False, overwrite=overwrite,
        permissions=permissions,
    )  # fmt: skip
    try:
        with journal, show_progress(len(inputs), 0) as report:
            run(task, journal, workers=cores(), report=report)
        if broken := [f"{row['file']}: {row['error']}" for row in read_rows(path) if row["status"] != "ok"]:
            raise DataError(f"{_shortened(broken)}; fix or remove these")
        yield
    except BaseException:
        for file in path.parent.glob(f"{path.stem}.*"):
            file.unlink()
        raise
