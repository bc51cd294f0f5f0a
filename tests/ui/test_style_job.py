"""A job reports its progress and ends when it is stopped."""

import threading
import time

import numpy as np
import pytest
from streamlit.runtime.caching import clear_session_resource_cache
from streamlit.testing.v1 import AppTest

from vision_app.style.results import Progress, Stylized
from vision_app.ui import style_job
from vision_app.ui.style_job import JobSlot, StyleJob

SECONDS = 20  # at most, until a thread reacts


class FakeStylizer:
    """Takes a step for each release of `go_on`, up to `steps`."""

    def __init__(self, steps: int = 1000):
        self.steps, self.go_on, self.previews = steps, threading.Semaphore(0), []

    def stylize(self, report) -> Stylized:
        for step in range(1, self.steps + 1):
            assert self.go_on.acquire(timeout=SECONDS)
            if report(Progress(step, self.steps, (2, 2), 1.0, 0.5, 0.5, lambda step=step: self.preview(step))):
                break
        return Stylized(self.pixels(step), "a", ("b",), "optimize", None, iterations=step)

    def preview(self, step: int) -> np.ndarray:
        self.previews.append(step)
        return self.pixels(step)

    def pixels(self, step: int) -> np.ndarray:
        return np.full((2, 2, 3), step, np.uint8)


def finished(job: StyleJob) -> StyleJob:
    job.join(SECONDS)
    assert not job.is_alive()
    return job


def wait_until(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_job_runs_to_its_end(monkeypatch):
    monkeypatch.setattr(style_job, "REFRESH", 0)
    stylizer = FakeStylizer(steps=3)
    job = StyleJob("key", stylizer.stylize)
    assert job.is_alive() and job.result is None and job.progress is None
    stylizer.go_on.release(3)
    finished(job)
    assert job.result.iterations == job.progress.iteration == job.preview[0, 0, 0] == 3
    assert job.error is None and not job.stopping


def test_previews_are_made_no_more_often_than_they_are_shown(monkeypatch):
    now = iter([10, 10, 10.1, 10.4, 10.6, 10.6, 10.9])
    monkeypatch.setattr(style_job, "REFRESH", 0.5)
    monkeypatch.setattr(style_job, "monotonic", lambda: next(now))
    stylizer = FakeStylizer(steps=5)
    stylizer.go_on.release(5)
    finished(StyleJob("key", stylizer.stylize))
    assert stylizer.previews == [1, 4]


def test_a_stopped_job_gives_the_image_so_far():
    stylizer = FakeStylizer()
    job = StyleJob("key", stylizer.stylize)
    stylizer.go_on.release(2)
    job.stop()
    assert job.stopping
    assert finished(job).result.iterations == 1


def test_jobs_take_turns_and_a_waiting_one_can_be_stopped():
    stylizers = FakeStylizer(steps=2), FakeStylizer(), FakeStylizer(steps=1)
    first = StyleJob("first", stylizers[0].stylize)
    stopped, last = (StyleJob("next", stylizer.stylize) for stylizer in stylizers[1:])
    for job in (stopped, last):
        wait_until(lambda job=job: job.waiting)
    stylizers[2].go_on.release()
    stopped.stop()
    assert finished(stopped).result is None and stopped.error is None
    assert last.is_alive() and last.waiting and not first.waiting
    stylizers[0].go_on.release(2)
    assert finished(first).result.iterations == 2
    assert finished(last).result.iterations == 1 and not last.waiting


def test_an_error_in_the_thread_is_kept():
    def fail(report):
        raise ValueError("no memory")

    for _ in range(2):  # it is the next one's turn
        job = finished(StyleJob("key", fail))
        assert str(job.error) == "no memory" and job.result is None


@pytest.mark.parametrize("drop", [JobSlot.clear, lambda slot: slot.clear(unless="other")])
def test_a_dropped_job_is_stopped(drop):
    slot, stylizer = JobSlot(), FakeStylizer()
    slot.start("key", stylizer.stylize)
    job = slot.job
    slot.clear(unless="key")
    assert slot.job is job and not job.stopping
    drop(slot)
    assert slot.job is None
    stylizer.go_on.release()
    assert finished(job).result.iterations == 1


def test_a_new_job_reslots_the_one_before():
    slot, stylizers = JobSlot(), (FakeStylizer(), FakeStylizer())
    slot.start("first", stylizers[0].stylize)
    first = slot.job
    slot.start("second", stylizers[1].stylize)
    assert slot.job.key == "second" and first.stopping and not slot.job.stopping
    slot.clear()
    for stylizer in stylizers:
        stylizer.go_on.release()
    finished(first)


def test_every_session_has_its_own_slot_that_is_cleared_with_the_connection():
    page = AppTest.from_string(
        "import streamlit as st; from vision_app.ui.style_job import job_slot; st.session_state.it = job_slot()"
    )
    slot, stylizer = page.run().session_state["it"], FakeStylizer()
    slot.start("key", stylizer.stylize)
    job = slot.job
    assert page.run().session_state["it"] is slot and not job.stopping
    clear_session_resource_cache("test session id")  # as the server does
    assert job.stopping and slot.job is None
    assert page.run().session_state["it"] is not slot
    stylizer.go_on.release()
    finished(job)
