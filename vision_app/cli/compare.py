"""`vision-app compare`: several detectors on the same images, side by side."""

import sys
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from vision_app.cli.exit_codes import INTERRUPTED
from vision_app.cli.options import number, positive_int
from vision_app.detection.compare import FAMILY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vision_app.batch.sinks import Journal
    from vision_app.batch.sources import Input
    from vision_app.data.samples import DetectionSet
    from vision_app.detection.compare.measure import Worker
    from vision_app.detection.compare.table import Line


def compare(
    output: Annotated[Path, Option(metavar="DIR", help="Folder for report.html and all other results.")],
    sources: Annotated[
        list[str] | None,
        Argument(
            metavar="SOURCE",
            help="Images, folders (with all their sub-folders) and quoted glob patterns.",
            show_default="the photos of --truth",
        ),
    ] = None,
    models: Annotated[
        str | None,
        Option(
            metavar="A,B,...",
            help="Released models, ensembles such as yolo+faster-rcnn, and paths of models; the others are compared "
            "with the first.",
            show_default="those released of " + ",".join(FAMILY),
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        Option(
            metavar="FILE.json|FILE.yaml|FOLDER",
            help="Boxes as COCO, YOLO or PASCAL VOC writes them, for average precision.",
            exists=True,
        ),
    ] = None,
    split: Annotated[
        str | None,
        Option(metavar="NAME", help="The part of --truth to take.", show_default="val, or else test, or else all"),
    ] = None,
    confidence: Annotated[
        float | None,
        Option(metavar="0..1", parser=number, help="Lowest score of an object.", show_default="each model's own"),
    ] = None,
    tta: Annotated[
        bool, Option("--tta", help="Run each model a second time, on flipped and scaled copies too.")
    ] = False,
    limit: Annotated[
        list[str] | None,
        Option(metavar="MODEL=N", help="Run this model on the first N images only; may be given several times."),
    ] = None,
    shown: Annotated[
        int, Option(metavar="N", parser=positive_int, help="Most images to draw and show in the report.")
    ] = 200,
    threads: Annotated[
        int | None, Option(metavar="N", parser=positive_int, help="Threads of a network.", show_default="one a core")
    ] = None,
    device: Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where the networks run.")] = "auto",
    runtime: Annotated[
        str, Option(metavar="auto|onnx|torch", help="What runs the networks; only torch tells their stages apart.")
    ] = "torch",
    resume: Annotated[bool, Option("--resume", help="Continue a run that was broken off.")] = False,
) -> int:
    """Compare detectors on the same images.

    Each model runs alone in a process of its own, one image at a time. DIR/report.html shows a table of speed, size
    and memory (with --truth also of average precision), plots, and every image with the boxes of each model, what they
    agree on and where the time went. The figures are in comparison.json and comparison.csv, and comparison.jsonl gets
    one row for each model and image.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app import __version__
    from vision_app.batch.run import cores
    from vision_app.batch.sinks import Journal, read_rows
    from vision_app.cli.batch import gather
    from vision_app.cli.evaluate import check_classes, load_truth
    from vision_app.cli.progress import show_progress
    from vision_app.core.errors import UsageError
    from vision_app.detection.base import DetectOptions
    from vision_app.detection.compare.files import write_comparison
    from vision_app.detection.compare.measure import DetectorSpec, Run, Worker
    from vision_app.detection.compare.table import format_table
    from vision_app.detection.evaluate import MEASURING
    from vision_app.released.runtime import Execution

    if not sources and truth is None:
        raise UsageError(
            "Missing argument 'SOURCE': images to compare on; or give --truth, whose photos are then taken"
        )
    if split and truth is None:
        raise UsageError(f"--split {split}: only together with --truth, of which it is a part")
    execution = Execution(device, runtime, threads)
    specs = [
        DetectorSpec(name, again, execution)
        for name in _names(models, tta)
        for again in ([False, True] if tta else [False])
    ]
    limits = _limits(limit or [], [each.model for each in specs])
    known, _ = load_truth(truth, split) if truth else (None, None)
    options = DetectOptions(confidence=confidence)
    with ExitStack() as processes:
        workers = []
        for spec in specs:
            workers.append(processes.enter_context(Worker(spec, options, MEASURING if truth else None)))
            if known is not None:
                check_classes(workers[-1], known, truth)
        inputs = gather(sources or [str(sample.path) for sample in known.samples], output, named=True)
        parts = [(worker, inputs[: limits.get(spec.model)]) for worker, spec in zip(workers, specs, strict=True)]
        settings = {
            "--models": [f"{worker.name} {worker.digest[:12]}" for worker in workers],
            "--confidence": confidence,
            "--truth": None if known is None else f"{truth} {known.digest()}",
            "--limit": limits,
            "--device": device,
            "--runtime": runtime,
            "--threads": threads,
        }
        planned = [item for _, part in parts for item in part]
        path = output / "comparison.jsonl"
        with Journal(path, settings=settings, inputs=planned, batch_size=1, resume=resume) as journal:
            try:
                _measure(parts, journal)
            except KeyboardInterrupt:
                rows = f"{journal.written:,} of {len(planned):,} rows are in {path}"
                print(f"stopped: {rows}; the same command with --resume goes on from there", file=sys.stderr)
                return INTERRUPTED
            lines, rows = _sum_up(parts, read_rows(path), known)
            print("drawing what was found", file=sys.stderr)
            with show_progress(min(shown, len(inputs)), 0) as report:
                one = [{"status": "ok"}]
                run = Run(__version__, cores(), truth and truth.resolve().name)
                write_comparison(output, lines, rows, inputs, settings, run, shown=shown, report=partial(report, one))
            print(format_table(lines))
            print(f"\nthe report is {output / 'report.html'}")
            return 1 if journal.failed else 0


def _names(models: str | None, tta: bool) -> list[str]:
    """The models to compare.

    Raises:
        UsageError: There are fewer than two things to compare, or one is named twice.
    """
    from vision_app.core.errors import UsageError
    from vision_app.released.find import available

    if models is None:
        names = [name for name in FAMILY if name in available()]
    else:
        names = [name.strip() for name in models.split(",") if name.strip()]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"--models {models}: names {twice} twice")
    if len(names) < (1 if tta else 2):
        found = "--models" if models is None else f"--models {models}"
        raise UsageError(f"{found}: at least two are needed, here are {len(names)}; `vision-app models list` names all")
    return names


def _limits(texts: list[str], names: list[str]) -> dict[str, int]:
    """The number of images of each model that --limit names.

    Raises:
        UsageError: One is not MODEL=N.
    """
    from vision_app.core.errors import UsageError, unknown

    limits = {}
    for text in texts:
        name, _, count = text.rpartition("=")
        if not count.isdecimal() or not int(count):
            raise UsageError(f"--limit {text}: must be MODEL=N with a whole number from 1, such as rcnn=200")
        if name not in names:
            raise UsageError(f"--limit {text}: {unknown('model', name, names)}")
        limits[name] = int(count)
    return limits


def _measure(parts: "list[tuple[Worker, Sequence[Input]]]", journal: "Journal") -> None:
    """Write the rows that are not there yet, one detector after the other."""
    from vision_app.cli.progress import show_progress

    before = 0
    for place, (worker, part) in enumerate(parts, start=1):
        done = min(max(journal.rows - before, 0), len(part))
        before += len(part)
        if done == len(part):
            continue
        print(f"{worker.name}, {place} of {len(parts)}", file=sys.stderr)
        with show_progress(len(part), done) as report:
            for row in worker.rows(item.file for item in part[done:]):
                journal.write([row])
                report([row])


def _sum_up(
    parts: "list[tuple[Worker, Sequence[Input]]]", every: "Iterator[dict]", known: "DetectionSet | None"
) -> "tuple[list[Line], dict[str, list[dict]]]":
    """Sum up each detector; the first is the one that others are compared with. Return the lines and the rows."""
    from vision_app.detection.compare.table import make_line

    lines, rows, first = [], {}, None
    for worker, part in parts:
        own = rows[worker.name] = list(islice(every, len(part)))
        print(f"{worker.name}: summing up, counting multiply-adds", file=sys.stderr)
        readable = next((row["file"] for row in own if row["status"] == "ok"), None)
        lines.append(make_line(own, worker.cost(readable), known, first, worker.conditions))
        first = first or own
        for row in own:
            row.pop("doubtful", None)  # there are many, and nothing else needs them
    return lines, rows
