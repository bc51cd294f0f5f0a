"""Progress of a run: a bar on a terminal, a plain line every few seconds elsewhere. Both go to stderr."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from vision_app.cli.terminal import say
from vision_app.core.text import format_rate, printable

SECONDS_BETWEEN_LINES = 5
FAILURES_SHOWN = 10  # and so many notes


class Report:
    """Shows progress when called with the rows that were added.

    Args:
        advance: Takes the number of rows, and of those that are ok.
        say: Takes a line to print.
        step: Takes a text on the progress within a slow input; the next one replaces it.
    """

    def __init__(self, advance: Callable[[int, int], None], say: Callable[[str], None], step: Callable[[str], None]):
        self.step = step
        self._advance, self._say = advance, say
        self._said: Counter[str] = Counter()

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show that rows were added, with failures and notes."""
        for row in rows:
            if row["status"] != "ok":
                self._tell("failed", row["file"], row["error"], "more files failed; the rows say which")
            for note in row.get("notes", ()):
                self._tell("note", row["file"], note, "more files have notes; the rows say which")
        self._advance(len(rows), sum(row["status"] == "ok" for row in rows))

    def _tell(self, kind: str, file: str, text: str, more: str) -> None:
        """Print the first few lines of a kind, and then that there are more."""
        self._said[kind] += 1
        if self._said[kind] <= FAILURES_SHOWN:
            self._say(printable(f"{kind}: {file}: {text}"))
        elif self._said[kind] == FAILURES_SHOWN + 1:
            self._say(more)


def show_progress(total: int, done: int) -> AbstractContextManager[Report]:
    """Show progress while the block runs.

    Args:
        total: Number of rows in the end.
        done: Number of rows before this run.

    Returns:
        A context that gives the function to be called with the rows that were added.
    """
    return _bar(total, done) if sys.stderr.isatty() else _lines(total, done)


@contextmanager
def _bar(total: int, done: int) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    start, ok = time.monotonic(), 0
    rate, step = (TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("rate", "step"))
    columns = BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn(), step
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=total, completed=done, rate="", step="")

        def advance(count: int, good: int) -> None:
            nonlocal ok
            ok += good
            progress.update(bar, advance=count, rate=format_rate(ok, time.monotonic() - start))

        def show(line: str) -> None:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield Report(advance, show, lambda text: progress.update(bar, step=printable(text)))


@contextmanager
def _lines(total: int, done: int) -> Iterator[Report]:
    start = last = time.monotonic()
    before, ok = done, 0

    def advance(count: int, good: int) -> None:
        nonlocal done, last, ok
        done, ok = done + count, ok + good
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done < total:
            last = now
            left = (now - start) / (done - before) * (total - done)
            parts = f"{done:,}/{total:,} images", format_rate(ok, now - start), f"{_format_time(left)} left"
            say(", ".join(filter(None, parts)), err=True)

    def step(text: str) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= SECONDS_BETWEEN_LINES:
            last = now
            say(printable(text), err=True)

    yield Report(advance, partial(say, err=True), step)


def _format_time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
