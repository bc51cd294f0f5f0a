"""Stylizing step by step: a thread does the work while the page shows its progress."""

import threading
from collections.abc import Callable, Hashable
from time import monotonic

import numpy as np
import streamlit as st

from vision_app import Stylized
from vision_app.style.results import Progress, Report

REFRESH = 1.0  # seconds from one preview to the next
POLL = 0.1  # seconds after which a waiting job checks whether it was stopped
JOB_LOCK = threading.Lock()  # held by the one job that runs: each takes all cores, and gigabytes of memory


class StyleJob(threading.Thread):
    """A thread that stylizes one image as soon as it is its turn.

    Args:
        key: Equal for equal content, styles and settings.
        stylize: Called in the thread with a function to call after every step.

    Attributes:
        waiting: Whether the job of another visitor runs first.
        progress: Of the newest step, or None.
        preview: The image at that step or a little earlier, (H, W, 3) uint8 RGB, or None.
        result: The final image, or None; it stays None for a job that was stopped while waiting.
        error: The exception that ended the job, or None.
    """

    def __init__(self, key: Hashable, stylize: Callable[[Report], Stylized]):
        super().__init__(name="style job", daemon=True)
        self.key = key
        self.waiting = False
        self.progress: Progress | None = None
        self.preview: np.ndarray | None = None
        self.result: Stylized | None = None
        self.error: Exception | None = None
        self._stylize = stylize
        self._preview_time = 0.0
        self._stop_event = threading.Event()
        self.start()

    @property
    def stopping(self) -> bool:
        """Whether the job was asked to stop."""
        return self._stop_event.is_set()

    def stop(self) -> None:
        """Ask the job to stop after its current step with the image so far. Return at once."""
        self._stop_event.set()

    def run(self) -> None:
        """Wait for the turn, then stylize; the thread calls this."""
        while not JOB_LOCK.acquire(timeout=POLL):
            self.waiting = True
            if self.stopping:
                return
        self.waiting = False
        try:
            self.result = self._stylize(self._report)
        except Exception as error:  # nothing above a thread would catch it; the page shows it
            self.error = error
        finally:
            JOB_LOCK.release()

    def _report(self, progress: Progress) -> bool:
        """Store the progress; return whether this step is to be the last one."""
        if monotonic() >= self._preview_time + REFRESH:
            self.preview, self._preview_time = progress.preview(), monotonic()
        self.progress = progress
        return self.stopping


class JobSlot:
    """Holds the one job that a visitor can have at a time.

    Attributes:
        job: The job, or None.
    """

    job: StyleJob | None = None

    def start(self, key: Hashable, stylize: Callable[[Report], Stylized]) -> None:
        """Start a job, see `StyleJob`, in place of another one."""
        self.clear()
        self.job = StyleJob(key, stylize)

    def clear(self, unless: Hashable = None) -> None:
        """Stop and drop the job, unless it has this key."""
        if self.job is not None and (unless is None or self.job.key != unless):
            self.job.stop()
            self.job = None


@st.cache_resource(scope="session", on_release=JobSlot.clear, show_spinner=False)
def job_slot() -> JobSlot:
    """Return the visitor's own slot, which is cleared when the page is closed or the connection is lost."""
    return JobSlot()
