"""What every command over many files does around its task: list the inputs, show progress, sum up, stop cleanly."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from vision_app.batch.sources import Input, list_inputs
from vision_app.cli import alone
from vision_app.cli.exit_codes import FAILED, INTERRUPTED, OK
from vision_app.cli.progress import show_progress
from vision_app.cli.terminal import say
from vision_app.core.errors import UsageError
from vision_app.core.text import amount, format_rate

if TYPE_CHECKING:
    from vision_app.batch.journal import Journal
    from vision_app.batch.run import Task
    from vision_app.cli.options import Batch


def gather(sources: list[str], output: Path, *, named: bool, made: str = "") -> list[Input]:
    """List the images that the sources stand for, and say what was passed over.

    Args:
        sources: Paths and patterns.
        output: The folder that the command writes to.
        named: Whether the inputs need names.
        made: Suffix of the files that are made from the inputs.

    Raises:
        UsageError: A source does not exist, or there are no images at all.
    """
    from vision_app.core.images import SUFFIXES

    inputs, others, empty, copies = list_inputs(sources, suffixes=SUFFIXES, output=output, named=named, made=made)
    parts = [f"{amount(others, 'other file')} skipped"] * (others > 0)
    passed_over = ", ".join(parts + [f"{amount(copies, 'image')} of earlier runs skipped"] * (copies > 0))
    if not inputs:
        note = f" ({passed_over})" if passed_over else ""
        raise UsageError(f"no images in {', '.join(sources)}{note}; hidden files and --output are not searched")
    if empty:
        say(f"no images in {', '.join(empty)}", err=True)
    if passed_over:
        say(passed_over, err=True)
    return inputs


class HasRuntime(Protocol):
    """A loaded model that knows where it runs."""

    @property
    def device(self) -> str:
        """Return "cpu", "cuda" or "cuda:N"."""

    @property
    def runtime(self) -> str | None:
        """Return "onnx" or "torch", or None where there is no network."""


@runtime_checkable
class Watchable(Protocol):
    """A task whose inputs take long, each."""

    def watch(self, step: Callable[[str], None]) -> None:
        """Take the function that shows the progress within an input, see `progress.Report`."""


def runtime_settings(model: HasRuntime) -> dict[str, str | None]:
    """Return the settings of a journal that say where a model runs."""
    return {"--device": model.device.partition(":")[0], "--runtime": model.runtime}


def default_batch_size(model: HasRuntime) -> int:
    """Return the number of images per batch where the user gave none."""
    return 8 if model.device == "cpu" else 32


def run_batch(
    make_task: "Callable[[], Task[Any]]",
    path: Path,
    *,
    inputs: Sequence[Input],
    settings: dict[str, Any],
    options: "Batch",
    batch_size: int = 1,
    permissions: int = 0o666,
    product: Path | None = None,
    images: Iterable[Path] = (),
    sources: Iterable[str | Path] = (),
    finish: Callable[[Iterator[dict[str, Any]]], object] | None = None,
) -> int:
    """Open the journal of a command, run its task over the inputs that have no row yet, and sum up.

    Args:
        make_task: Returns the task; called once no other run can write to the same folder.
        path: The journal.
        inputs: All inputs.
        settings: What the rows depend on, by flag.
        options: How it runs.
        batch_size: Inputs per batch.
        permissions: Of the journal.
        product: What `finish` writes; deleted while the journal lacks rows.
        images: What the task writes.
        sources: What the task reads besides the inputs.
        finish: Takes all rows when every input has one.

    Returns:
        The exit code: 0, 1 when a row says "failed", 130 after Ctrl-C.

    Raises:
        UsageError: See `Journal`.
        OutputError: Something could not be written.
        VisionAppError: See `alone.try_suspects`.
    """
    from vision_app.batch.journal import Journal, read_rows
    from vision_app.batch.sinks import remove

    if job := alone.JOB.get():
        return alone.answer(job, make_task(), inputs)
    with Journal(
        path,
        settings=settings,
        inputs=inputs,
        batch_size=batch_size,
        resume=options.resume,
        overwrite=options.overwrite,
        others=chain([product] if product else [], images),
        sources=sources,
        permissions=permissions,
    ) as journal:
        if product is not None and journal.rows < len(inputs):
            remove(product)
        code = _run(make_task(), journal, options.workers)
        if finish is not None and journal.rows == len(inputs):
            finish(read_rows(path))
        return code


def say_stopped(journal: "Journal") -> None:
    """Say how far an interrupted run came and how to continue it."""
    rows = f"{journal.written:,} of {len(journal.inputs):,} rows are in {journal.path}"
    say(f"stopped: {rows}; run the same command with --resume to continue", err=True)


def _run(task: "Task[Any]", journal: "Journal", workers: int | None) -> int:
    """Run a task with progress on stderr and a last line on stdout; see `run_batch`."""
    from vision_app.batch.run import cores, run
    from vision_app.batch.sinks import OutputError

    ok_before, start = journal.rows - journal.failed, time.monotonic()
    try:
        if journal.suspects:
            alone.try_suspects(task, journal)
        with show_progress(len(journal.inputs), journal.rows) as report:
            if isinstance(task, Watchable):
                task.watch(report.step)
            run(task, journal, workers=workers or cores(), report=report)
    except KeyboardInterrupt:
        say_stopped(journal)
        return INTERRUPTED
    except OutputError:
        say_stopped(journal)
        raise
    ok = journal.rows - journal.failed
    rate = format_rate(ok - ok_before, time.monotonic() - start)
    where = f" (see {journal.path.name})" if journal.failed else ""
    counts = f"{amount(journal.rows, 'image')}: {ok:,} ok, {journal.failed:,} failed{where}"
    say(", ".join(filter(None, (counts, rate))))
    return FAILED if journal.failed else OK
