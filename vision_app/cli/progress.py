"""How far a run is: a bar on a terminal, a plain line every few seconds elsewhere. Both go to stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 5
FAILURES_SHOWN = 10

Report = Callable[[list[dict]], None]


def format_rate(count: int, seconds: float) -> str:
    """Return for example "41 images/s"; slow runs get a decimal."""
    rate = count / max(seconds, 1e-9)
    return f"{rate:,.0f} images/s" if rate >= 10 else f"{rate:.1f} images/s"


def printable(text: str) -> str:
    """Return the text with what would move the cursor or color the terminal written out, as in `\\x1b`."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@contextmanager
def show_progress(total: int, done: int) -> Iterator[Report]:
    """Show progress while the block runs.

    Args:
        total: Number of rows in the end.
        done: Number of rows before this run.

    Yields:
        A function to be called with the rows that were added.
    """
    show = _bar if sys.stderr.isatty() else _lines
    with show(total, done) as (advance, say):
        failures = 0

        def report(rows: list[dict]) -> None:
            nonlocal failures
            for row in rows:
                if row["status"] != "ok":
                    failures += 1
                    if failures <= FAILURES_SHOWN:
                        say(printable(f"failed: {row['file']}: {row['error']}"))
                    elif failures == FAILURES_SHOWN + 1:
                        say("more files failed; the rows say which")
            advance(len(rows))

        yield report


@contextmanager
def _bar(total: int, done: int) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    start, before = time.monotonic(), done
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=total, completed=done, rate="")

        def advance(count: int) -> None:
            nonlocal done
            done += count
            progress.update(bar, advance=count, rate=format_rate(done - before, time.monotonic() - start))

        def say(line: str) -> None:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield advance, say


@contextmanager
def _lines(total: int, done: int) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    start = last = time.monotonic()
    before = done

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done < total:
            last = now
            left = (now - start) / (done - before) * (total - done)
            say(f"{done:,}/{total:,} images, {format_rate(done - before, now - start)}, {_format_time(left)} left")

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    yield advance, say


def _format_time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
