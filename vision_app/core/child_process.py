"""Processes that this one starts: none of them outlives it, however it ends."""

import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self, TypeVar

from vision_app.core.flags import command_line, is_command

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1  # of prctl(2)


class ChildKilledError(Exception):
    """A child process ended before it answered: something killed it, most often for the memory that it took."""


class ChildError(Exception):
    """What a child process gave or raised cannot be pickled; tells what it is, in words."""


class ChildProcess:
    """A process that calls functions for this one, one at a time; a context manager, which ends the process.

    It ends with this process, too, also when this one is killed. It leaves Ctrl-C to this process.

    >>> with ChildProcess() as child:
    ...     child.call(math.sqrt, 2.0)
    """

    def __init__(self) -> None:
        context = get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_answer, args=(end, is_command()), daemon=True)
        self._process.start()
        end.close()  # so that the pipe tells when the child has ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Return what a function gives in the process; raise what it raises.

        Args:
            function: Found by its name in its module, as everything that is pickled.
            *arguments: Are pickled.

        Raises:
            ChildKilledError: The process was killed, now or before.
            ChildError: What the function gave or raised cannot be pickled.
        """
        try:
            self._pipe.send((function, arguments))
            content = self._pipe.recv_bytes()
        except (EOFError, OSError) as closed:
            raise ChildKilledError from closed
        answer, error = pickle.loads(content)
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]  # what the function gave


def end_with_parent(*_: object) -> None:
    """Let this child process end when the process that started it does; the first thing that a child calls.

    Linux sends a signal when the thread that started it ends. Elsewhere, a thread waits for the pipe of
    `multiprocessing` to be closed. It takes and ignores arguments, so that it can be the `worker_init_fn` of a
    `DataLoader`.
    """
    parent = parent_process()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent is not None and not parent.is_alive():  # it ended before the signal was asked for
            os._exit(1)
    elif parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def give_way() -> None:
    """Let this process be the first that Linux kills where memory ends: its parent is to go on."""
    with suppress(OSError):  # other systems
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _answer(pipe: "Connection[Any, Any]", of_command: bool) -> None:
    """Call what comes through a pipe, and send back what it gave and what it raised."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this process
    end_with_parent()
    with command_line() if of_command else nullcontext():  # errors name options as those of the parent do
        while True:
            function, arguments = pipe.recv()
            answer = error = None
            try:
                answer = function(*arguments)
            except Exception as raised:
                raised.add_note(traceback.format_exc())
                error = raised
            pipe.send_bytes(_pickled(answer, error))


def _pickled(answer: object, error: Exception | None) -> bytes:
    """Return both as bytes; where they cannot be read back, what they are in words."""
    try:
        content = pickle.dumps((answer, error))
        if error is not None:  # one whose `args` are not those of its constructor fails only when it is read
            pickle.loads(content)
        return content
    except Exception as reason:
        if error is None:
            told = ChildError(f"cannot send the answer, {type(answer).__name__}: {reason}")
        else:
            told = ChildError(f"{type(error).__name__}: {error}")
            for note in getattr(error, "__notes__", ()):
                told.add_note(note)
        return pickle.dumps((None, told))
