"""Memory that threads share: large images take turns, so that several are not in memory at once."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

FREE = 25_000_000  # pixels up to which an image waits for no other
BUDGET = 64_000_000  # pixels that the larger ones may have together; one that has more by itself comes alone

_changed = threading.Condition()
_taken = 0
_thread = threading.local()


@contextmanager
def sharing_memory() -> Iterator[None]:
    """Let the large images that this thread reads in the block share `BUDGET` with those of other threads.

    Of several that it reads one after the other, the largest counts.
    """
    _thread.pixels = 0
    try:
        yield
    finally:
        if _thread.pixels:
            trim_heap()
        _adjust(-_thread.pixels)
        del _thread.pixels


def reserve(pixels: int) -> None:
    """Wait until an image of so many pixels may be decoded; in a block of `sharing_memory`, otherwise never.

    A thread that has to wait gives up what it has, so that no two wait for each other.
    """
    mine, wanted = getattr(_thread, "pixels", None), min(pixels, BUDGET)
    if mine is None or wanted <= max(mine, FREE):
        return
    _adjust(-mine)
    _thread.pixels = 0
    _adjust(wanted)
    _thread.pixels = wanted


def trim_heap() -> None:
    """Let the C library give freed memory back to the system: it keeps some of it, for every thread."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def _adjust(pixels: int) -> None:
    """Add to what is taken of the budget, as soon as there is room; less than 0 gives back."""
    global _taken
    with _changed:
        _changed.wait_for(lambda: pixels <= 0 or _taken + pixels <= BUDGET)
        _taken += pixels
        _changed.notify_all()
