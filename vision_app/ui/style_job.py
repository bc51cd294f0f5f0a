"""A picture in the making: a thread paints it while the page shows how far it is."""

import threading
from collections.abc import Callable, Hashable
from time import monotonic

import numpy as np
import streamlit as st

from vision_app import Stylized
from vision_app.style.results import Progress, Report

REFRESH = 1.0  # seconds from one preview to the next
GLANCE = 0.1  # seconds from one look to the next whether it is a waiting picture's turn
TURN = threading.Lock()  # one picture of all visitors at a time: each takes all cores, and gigabytes of memory


class Painting:
    """One picture that a thread of its own paints, as soon as it is its turn.

    Args:
        key: Of content, styles and settings; the same ones have the same key.
        paint: Called in the thread with what it is to call after every step.

    Attributes:
        waiting: Whether another visitor's picture is painted before.
        progress: The newest step's, or None.
        preview: The picture at that step or a little earlier, (H, W, 3) uint8 RGB, or None.
        result: The painted picture, once it is there; None as well where it was stopped before its turn.
        error: What went wrong, or None.
    """

    def __init__(self, key: Hashable, paint: Callable[[Report], Stylized]):
        self.key = key
        self.waiting = False
        self.progress: Progress | None = None
        self.preview: np.ndarray | None = None
        self.result: Stylized | None = None
        self.error: Exception | None = None
        self._previewed = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(paint,), name="painting", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread is at work."""
        return self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the thread to end after the step that it is at, with what there is. Returns at once."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait for the end, at most so long."""
        self._thread.join(seconds)

    def _run(self, paint: Callable[[Report], Stylized]) -> None:
        while not TURN.acquire(timeout=GLANCE):
            self.waiting = True
            if self.stopping:
                return
        self.waiting = False
        try:
            self.result = paint(self._report)
        except Exception as error:  # a thread has nobody above it; the page says what it was
            self.error = error
        finally:
            TURN.release()

    def _report(self, progress: Progress) -> bool:
        """Take note of a step; return whether it is to be the last one."""
        if monotonic() >= self._previewed + REFRESH:
            self.preview, self._previewed = progress.preview(), monotonic()
        self.progress = progress
        return self.stopping


class Easel:
    """The place of the one picture that a visitor has in the making, if any.

    Attributes:
        painting: The picture, or None.
    """

    painting: Painting | None = None

    def start(self, key: Hashable, paint: Callable[[Report], Stylized]) -> None:
        """Begin a picture, see `Painting`, in the place of another one."""
        self.clear()
        self.painting = Painting(key, paint)

    def clear(self, unless: Hashable = None) -> None:
        """Give up the picture, and stop its thread, unless it has this key."""
        if self.painting is not None and (unless is None or self.painting.key != unless):
            self.painting.stop()
            self.painting = None


@st.cache_resource(scope="session", on_release=Easel.clear, show_spinner=False)
def easel() -> Easel:
    """Return the visitor's own easel, which is cleared when the page is closed or the connection is lost."""
    return Easel()
