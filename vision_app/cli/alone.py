"""Inputs at which a run was killed, handled alone in another process: which of them kills that, too?

The process is one of this command line, and does all that the command does up to the point where `batch.run_batch`
would open the journal.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_app.batch.in_flight import InFlight
from vision_app.batch.sources import Input
from vision_app.cli.exit_codes import OK
from vision_app.cli.terminal import say
from vision_app.core.errors import VisionAppError
from vision_app.core.text import amount

if TYPE_CHECKING:
    from vision_app.batch.journal import Journal
    from vision_app.batch.run import Task

KILLED = "crashed the process even on its own, most likely by running out of memory"
_TRIES = 2  # of an input, as the first of a process, that end together with the run itself; a power cut is one, too


@dataclass(frozen=True)
class Job:
    """What the other process does.

    Attributes:
        places: Places of the inputs to handle, in this order.
        in_flight: Path of the file that takes their rows, see `InFlight`.
        permissions: Of this file.
    """

    places: tuple[int, ...]
    in_flight: Path
    permissions: int


COMMAND: ContextVar[tuple[Callable[[list[str]], int], list[str]]] = ContextVar("COMMAND")
"""The function of the command line that is running, and its words."""

JOB: ContextVar[Job | None] = ContextVar("JOB", default=None)
"""In the other process, what it does."""


def try_suspects(task: "Task[Any]", journal: "Journal") -> None:
    """Handle the suspects of a journal one after the other in another process, and remember their rows.

    One at which that process is killed gets a failed row if it was the first that the process began; otherwise it is
    the first of the next process. Everything is noted in `journal.in_flight`, for this process may be killed with the
    other: an input that was the first of a process `_TRIES` times when this happened gets a failed row, too.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; the suspects remain suspects.
        VisionAppError: The other process was killed before it began any; the suspects remain suspects.
    """
    from vision_app.core.child_process import ChildKilledError, ChildProcess

    if (command := COMMAND.get(None)) is None:  # the commands were called by other means
        return
    say(f"the last run was killed; retrying the {_images(journal)} it was working on, one at a time", err=True)
    in_flight, was_killed = journal.in_flight, True
    begun = in_flight.read()
    for place in journal.suspects:
        if (begun[place].alone or 0) >= _TRIES:
            _blame(task, journal, place)
    try:
        while was_killed and journal.suspects:
            before = in_flight.read()
            left = sorted(journal.suspects, key=lambda place: before[place].alone is None)
            was_killed = False
            with _ctrl_c_at_once(), ChildProcess() as child:
                try:
                    child.call(_handle, *command, Job(tuple(left), in_flight.path, in_flight.permissions))
                except ChildKilledError:
                    was_killed = True
                except Exception as error:  # not of an input: the run itself will come to it, and say it
                    say(f"{type(error).__name__}: {error}", err=True)
            begun = in_flight.read()
            journal.known |= {place: row for place in left if (row := begun[place].row)}
            if was_killed and begun == before:
                raise VisionAppError(
                    f"the process that was to retry {_images(journal)} was killed before it came to the first, most "
                    "likely by running out of memory; free some and run the same command with --resume again"
                )
            journal.suspects = [place for place in journal.suspects if place not in journal.known]
            if was_killed and left[0] in journal.suspects:
                _blame(task, journal, left[0])
    finally:
        for place in journal.suspects:
            in_flight.note(place, journal.inputs[place].file, alone=None)
    journal.suspects = []


def answer(job: Job, task: "Task[Any]", inputs: Sequence[Input]) -> int:
    """Handle the inputs of a job in this process, and note for each that it begins, and then its row."""
    from vision_app.batch.run import handle
    from vision_app.batch.sinks import writing
    from vision_app.core.child_process import give_way

    give_way()  # now that the model is loaded: a kill before that tells nothing of the inputs
    in_flight = InFlight(job.in_flight, job.permissions)
    before = in_flight.read()
    for number, place in enumerate(job.places):
        file = inputs[place].file
        with writing(job.in_flight):
            in_flight.note(place, file, alone=0 if number else (before[place].alone or 0) + 1)
        (row,) = handle(task, [inputs[place]])
        with writing(job.in_flight):
            in_flight.note(place, file, row=row)
    return OK


def _blame(task: "Task[Any]", journal: "Journal", place: int) -> None:
    """Let an input that kills every process have a failed row."""
    item = journal.inputs[place]
    row = {"file": item.file, "status": "failed", "error": KILLED} | task.row(item, None)
    journal.in_flight.note(place, item.file, row=row)
    journal.known[place] = row
    journal.suspects = [other for other in journal.suspects if other != place]


def _handle(main: Callable[[list[str]], int], words: list[str], job: Job) -> None:
    """Run the command line in this process for some inputs alone."""
    JOB.set(job)
    with Path(os.devnull).open("w", encoding="utf-8") as nothing:
        sys.stdout = sys.stderr = nothing
        main(words)


def _images(journal: "Journal") -> str:
    return amount(len(journal.suspects), "image")


@contextmanager
def _ctrl_c_at_once() -> Iterator[None]:
    """Let Ctrl-C interrupt in the block, also where a command defers it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
