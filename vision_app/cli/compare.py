"""`vision-app compare`: several detectors on the same images, side by side."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_app.batch.sources import Input
from vision_app.cli.batch import gather, say_stopped
from vision_app.cli.evaluate import check_classes, load_ground_truth
from vision_app.cli.exit_codes import INTERRUPTED
from vision_app.cli.options import BOXES, IMAGES, SHARED, Fields, Text, output_folder, positive_int, with_options
from vision_app.cli.progress import show_progress
from vision_app.cli.terminal import say
from vision_app.core.errors import UsageError, unknown
from vision_app.detection.compare import FAMILY
from vision_app.released.execution import Execution
from vision_app.released.find import available

if TYPE_CHECKING:
    from vision_app.batch.journal import Journal
    from vision_app.data.samples import DetectionSet
    from vision_app.detection.compare.measure import Worker
    from vision_app.detection.compare.table import DetectorSummary


@with_options(
    output=output_folder("Folder for report.html and all other results."),
    sources=Text(
        "SOURCE", "Images, folders (searched with all sub-folders) and quoted glob patterns.", argument=True,
        show_default="the images of --ground-truth",
    ),
    models=Text(
        "A,B,...",
        "Released models, ensembles such as yolo+faster-rcnn, and paths of models; the others are compared with the "
        "first.",
        show_default="all released of " + ",".join(FAMILY),
    ),
    ground_truth=Text(
        BOXES, "Boxes for average precision: a COCO file, a YOLO data.yaml or a PASCAL VOC folder.", exists=True
    ),
    images=IMAGES,
    split=Text("NAME", "Split of --ground-truth to use.", show_default="val, else test, else all"),
    tta=Text("", "Also run each model with test-time augmentation."),
    limit=Text("MODEL=N", "Run this model on the first N images only; may be repeated."),
    shown=Text("N", "Maximum number of images to draw and show in the report.", parser=positive_int),
    execution=Fields(
        {
            "threads": Text("N", "Threads per network.", parser=positive_int, show_default="one per core"),
            "device": SHARED["device"],
            "runtime": Text(
                "auto|onnx|torch", "Inference runtime; only torch gives the times of the network's stages."
            ),
        },
        defaults={"runtime": "torch"},
    ),
)  # fmt: skip
def compare(
    execution: Execution,
    output: Path,
    sources: list[str] | None = None,
    models: str | None = None,
    ground_truth: Path | None = None,
    images: list[Path] | None = None,
    split: str | None = None,
    confidence: float | None = None,
    tta: bool = False,
    limit: list[str] | None = None,
    shown: int = 200,
    resume: bool = False,
    overwrite: bool = False,
) -> int:
    """Compare detectors on the same images.

    Each model runs alone in a process of its own, one image at a time. DIR/report.html shows a table of speed, size
    and memory (with --ground-truth also average precision), plots, and every image with the boxes of each model, what
    they agree on and where the time went. All metrics are in comparison.json and comparison.csv, and comparison.jsonl
    gets one row for each model and image.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app import __version__
    from vision_app.batch.journal import Journal, read_rows
    from vision_app.batch.run import cores
    from vision_app.detection.base import DetectOptions
    from vision_app.detection.compare.files import RESULTS, write_comparison
    from vision_app.detection.compare.measure import DetectorSpec, Run, Worker
    from vision_app.detection.compare.table import format_table
    from vision_app.detection.evaluate.evaluation import MEASURING

    if not sources and ground_truth is None:
        raise UsageError("Missing argument 'SOURCE': images to compare on; or give --ground-truth to use its images")
    if (split or images) and ground_truth is None:
        raise UsageError(f"{f'--split {split}' if split else '--images'}: only together with --ground-truth")
    specs = [
        DetectorSpec(name, again, execution)
        for name in _names(models, tta)
        for again in ([False, True] if tta else [False])
    ]
    limits = _limits(limit or [], [each.model for each in specs])
    known = load_ground_truth(ground_truth, split, images)[0] if ground_truth else None
    options = DetectOptions(confidence=confidence)
    with ExitStack() as processes:
        workers = []
        for spec in specs:
            workers.append(processes.enter_context(Worker(spec, options, MEASURING if known else None)))
            if known and ground_truth:
                known = check_classes(f"model '{workers[-1].name}'", workers[-1].classes, known, ground_truth)
        files = sources or [str(sample.path) for sample in known.samples] if known else sources or []
        inputs = gather(files, output, named=True, made=".jpg")
        parts = [(worker, inputs[: limits.get(spec.model)]) for worker, spec in zip(workers, specs, strict=True)]
        settings = {
            "--models": [f"{worker.name} {worker.digest[:12]}" for worker in workers],
            "--confidence": confidence,
            "--truth": f"{ground_truth} {known.digest()}" if known else None,  # the key of runs to be resumed
            "--limit": limits,
            **{f"--{name}": value for name, value in vars(execution).items()},
        }
        planned = [item for _, part in parts for item in part]
        path = output / "comparison.jsonl"
        with Journal(
            path, settings=settings, inputs=planned, batch_size=1, resume=resume, overwrite=overwrite,
            others=[output / name for name in RESULTS], sources=[ground_truth] if ground_truth else [],
        ) as journal:  # fmt: skip
            try:
                _measure(parts, journal)
            except KeyboardInterrupt:
                say_stopped(journal)
                return INTERRUPTED
            lines, rows = _sum_up(parts, read_rows(path), known)
            say("drawing detections", err=True)
            with show_progress(min(shown, len(inputs)), 0) as report:
                one = [{"status": "ok"}]
                run = Run(__version__, cores(), ground_truth.resolve().name if ground_truth else None)
                write_comparison(output, lines, rows, inputs, settings, run, shown=shown, report=partial(report, one))
            say(format_table(lines))
            say(f"\nthe report is {output / 'report.html'}")
            return 1 if journal.failed else 0


def _names(models: str | None, tta: bool) -> list[str]:
    """Return the models to compare.

    Raises:
        UsageError: There are fewer than two models, or one is named twice.
    """
    if models is None:
        names = [name for name in FAMILY if name in available()]
    else:
        names = [name.strip() for name in models.split(",") if name.strip()]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"--models {models}: names {twice} twice")
    if len(names) < (1 if tta else 2):
        found = "--models" if models is None else f"--models {models}"
        raise UsageError(f"{found}: at least two are needed, not {len(names)}; `vision-app models list` shows all")
    return names


def _limits(texts: list[str], names: list[str]) -> dict[str, int]:
    """Return the number of images of each model in --limit.

    Raises:
        UsageError: One is not MODEL=N.
    """
    limits = {}
    for text in texts:
        name, _, count = text.rpartition("=")
        if not count.isdecimal() or not int(count):
            raise UsageError(f"--limit {text}: must be MODEL=N with a whole number from 1, such as rcnn=200")
        if name not in names:
            raise UsageError(f"--limit {text}: {unknown('model', name, names)}")
        limits[name] = int(count)
    return limits


def _measure(parts: "Sequence[tuple[Worker, Sequence[Input]]]", journal: "Journal") -> None:
    """Write the missing rows, one detector after the other."""
    before = 0
    for place, (worker, part) in enumerate(parts, start=1):
        done = min(max(journal.rows - before, 0), len(part))
        before += len(part)
        if done == len(part):
            continue
        say(f"{worker.name}, {place} of {len(parts)}", err=True)
        with show_progress(len(part), done) as report:
            for row in worker.rows(item.file for item in part[done:]):
                journal.write([row])
                report([row])


def _sum_up(
    parts: "Sequence[tuple[Worker, Sequence[Input]]]", every: "Iterator[dict[str, Any]]", known: "DetectionSet | None"
) -> "tuple[list[DetectorSummary], dict[str, list[dict[str, Any]]]]":
    """Return the table's line of each detector, compared with the first one, and its rows."""
    from vision_app.detection.compare.table import make_line

    lines, rows, first = [], {}, None
    for worker, part in parts:
        own = rows[worker.name] = list(islice(every, len(part)))
        say(f"{worker.name}: summing up, counting multiply-adds", err=True)
        readable = next((row["file"] for row in own if row["status"] == "ok"), None)
        lines.append(make_line(own, worker.cost(readable), known, first, worker.conditions))
        first = first or own
        for row in own:
            row.pop("doubtful", None)  # there are many, and nothing else needs them
    return lines, rows
