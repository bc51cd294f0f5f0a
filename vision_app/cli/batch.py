"""What every verb over many files does around its task: list the inputs, show progress, sum up, stop cleanly."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vision_app.batch.run import cores
from vision_app.cli.exit_codes import INTERRUPTED
from vision_app.cli.progress import format_rate, show_progress

if TYPE_CHECKING:
    from vision_app.batch.run import Task
    from vision_app.batch.sinks import Journal
    from vision_app.batch.sources import Input


def gather(sources: list[str], output: Path, *, named: bool) -> "list[Input]":
    """List the images that the sources stand for, and say what was passed over.

    Args:
        sources: Paths and patterns.
        output: The folder that the command writes to.
        named: Whether the inputs need names.

    Raises:
        UsageError: A source does not exist, or there are no images at all.
    """
    from vision_app.batch.sources import list_inputs
    from vision_app.core.errors import UsageError
    from vision_app.core.images import SUFFIXES

    inputs, others, empty = list_inputs(sources, suffixes=SUFFIXES, output=output, named=named)
    passed_over = f"{others:,} other file{'s' * (others != 1)} skipped" if others else ""
    if not inputs:
        note = f" ({passed_over})" if others else ""
        raise UsageError(f"no images in {', '.join(sources)}{note}; hidden files and --output are not searched")
    if empty:
        print(f"no images in {', '.join(empty)}", file=sys.stderr)
    if others:
        print(passed_over, file=sys.stderr)
    return inputs


def pixel_limit(max_megapixels: float) -> int:
    """Return the value of --max-megapixels in pixels.

    Raises:
        UsageError: It is less than one pixel.
    """
    from vision_app.core.errors import UsageError

    if (limit := round(max_megapixels * 1e6)) < 1:
        raise UsageError(f"--max-megapixels {max_megapixels:g}: too small; the nearest valid value is 0.000001")
    return limit


def run_all(
    task: "Task",
    journal: "Journal",
    *,
    workers: int | None,
    watch: Callable[[Callable[[str], None]], None] | None = None,
) -> int:
    """Run a task over the inputs of a journal that have no row yet, with progress on stderr and a last line on stdout.

    Args:
        task: What to do with an input.
        journal: The inputs, and where their rows go.
        workers: Threads; one for each core by default.
        watch: Takes the function that shows how far an input is, see `progress.Report`.

    Returns:
        The exit code: 0, 1 when a row says "failed", 130 after Ctrl-C.

    Raises:
        OutputError: Something could not be written.
    """
    from vision_app.batch.run import run
    from vision_app.batch.sinks import OutputError

    def say_stopped():
        rows = f"{journal.written:,} of {len(journal.inputs):,} rows are in {journal.path}"
        print(f"stopped: {rows}; the same command with --resume goes on from there", file=sys.stderr)

    done_before, start = journal.rows, time.monotonic()
    try:
        with show_progress(len(journal.inputs), done_before) as report:
            if watch is not None:
                watch(report.step)
            run(task, journal, workers=workers or cores(), report=report)
    except KeyboardInterrupt:
        say_stopped()
        return INTERRUPTED
    except OutputError:
        say_stopped()
        raise
    print(_summary(journal, journal.rows - done_before, time.monotonic() - start))
    return 1 if journal.failed else 0


def _summary(journal: "Journal", done: int, seconds: float) -> str:
    ok = journal.rows - journal.failed
    rate = f", {format_rate(done, seconds)}" if done else ""
    where = f" (see {journal.path.name})" if journal.failed else ""
    return f"{journal.rows:,} image{'s' * (journal.rows != 1)}: {ok:,} ok, {journal.failed:,} failed{where}{rate}"
