"""Inputs at which a run was killed, handled alone in another process: which of them kills that, too?

The process is one of this command line, and does all that the command does up to the point where `batch.run_batch`
would open the journal.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_app.batch.sources import Input
from vision_app.cli.exit_codes import OK
from vision_app.cli.terminal import say
from vision_app.core.files import OWNER_ONLY
from vision_app.core.text import amount

if TYPE_CHECKING:
    from vision_app.batch.journal import Journal
    from vision_app.batch.run import Task

KILLED = "kills the process even when it is handled alone, most often for the memory that it takes"

called: tuple[Callable[[list[str]], int], list[str]] | None = None  # the function of the command line, and its words
wanted: list[int] = []  # in the other process: places of the inputs to handle
_answers = ""  # and the file that takes their rows


def try_suspects(task: "Task[Any]", journal: "Journal") -> None:
    """Handle the suspects of a journal one after the other in another process, and remember their rows.

    One that is the first of such a process and kills it gets a failed row; one that kills it after others is tried
    again as the first.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; the suspects remain suspects.
    """
    from vision_app.core.child_process import ChildKilledError, ChildProcess

    assert called is not None
    left, file = list(journal.suspects), journal.path.with_suffix(".alone.jsonl")
    say(f"the last run was killed; trying the {amount(len(left), 'image')} alone that it was handling", err=True)
    try:
        while left:
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY))
            was_killed = False
            with _ctrl_c_at_once(), ChildProcess() as child:
                try:
                    child.call(_handle, *called, left, os.fspath(file))
                except ChildKilledError:
                    was_killed = True
                except Exception as error:  # not of an input: the run itself will come to it, and say it
                    say(f"{type(error).__name__}: {error}", err=True)
            rows = dict(_read(file))
            journal.known |= rows
            left = [place for place in left if place not in rows]
            if not was_killed:
                break
            if left and not rows:
                item = journal.inputs[place := left.pop(0)]
                row = {"file": item.file, "status": "failed", "error": KILLED}
                journal.known[place] = row | task.row(item, None)
    finally:
        file.unlink(missing_ok=True)
    journal.suspects = []


def answer(task: "Task[Any]", inputs: Sequence[Input]) -> int:
    """Handle the wanted inputs in this process, and write their rows to the file of answers."""
    from vision_app.batch.run import handle

    with Path(_answers).open("a", encoding="utf-8") as stream:
        for place in wanted:
            (row,) = handle(task, [inputs[place]])
            stream.write(json.dumps({"place": place, "row": row}) + "\n")
            stream.flush()
    return OK


def _handle(main: Callable[[list[str]], int], words: list[str], places: list[int], answers: str) -> None:
    """Run the command line in this process for some inputs alone."""
    global _answers
    wanted[:], _answers = places, answers
    with Path(os.devnull).open("w", encoding="utf-8") as nothing:
        sys.stdout = sys.stderr = nothing
        with suppress(OSError):  # where memory ends, this process is to go, not its parent
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        main(words)


def _read(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows that another process wrote, by their places."""
    for line in file.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            entry = json.loads(line)
            yield entry["place"], entry["row"]


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
