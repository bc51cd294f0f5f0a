"""A thread that paints: what it tells of itself, and that it ends when it is asked to."""

import threading
import time

import numpy as np
import pytest
from streamlit.runtime.caching import clear_session_resource_cache
from streamlit.testing.v1 import AppTest

from vision_app.style.results import Progress, Stylized
from vision_app.ui import style_job as easel
from vision_app.ui.style_job import Easel, Painting

SECONDS = 20  # at most, until a thread does what it is told


class Painter:
    """Takes a step whenever it is let go on, and as many as there are."""

    def __init__(self, steps: int = 1000):
        self.steps, self.go_on, self.previews = steps, threading.Semaphore(0), []

    def paint(self, report) -> Stylized:
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


def finished(painting: Painting) -> Painting:
    painting.join(SECONDS)
    assert not painting.running
    return painting


def wait_until(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_picture_is_painted_to_its_end(monkeypatch):
    monkeypatch.setattr(easel, "REFRESH", 0)
    painter = Painter(steps=3)
    painting = Painting("key", painter.paint)
    assert painting.running and painting.result is None and painting.progress is None
    painter.go_on.release(3)
    finished(painting)
    assert painting.result.iterations == painting.progress.iteration == painting.preview[0, 0, 0] == 3
    assert painting.error is None and not painting.stopping


def test_previews_are_made_no_more_often_than_they_are_looked_at(monkeypatch):
    now = iter([10, 10, 10.1, 10.4, 10.6, 10.6, 10.9])
    monkeypatch.setattr(easel, "REFRESH", 0.5)
    monkeypatch.setattr(easel, "monotonic", lambda: next(now))
    painter = Painter(steps=5)
    painter.go_on.release(5)
    finished(Painting("key", painter.paint))
    assert painter.previews == [1, 4]


def test_a_stopped_picture_is_what_there_is():
    painter = Painter()
    painting = Painting("key", painter.paint)
    painter.go_on.release(2)
    painting.stop()
    assert painting.stopping
    assert finished(painting).result.iterations == 1


def test_pictures_take_turns_and_one_that_waits_can_be_stopped():
    painters = Painter(steps=2), Painter(), Painter(steps=1)
    first = Painting("first", painters[0].paint)
    stopped, last = (Painting("next", painter.paint) for painter in painters[1:])
    for painting in (stopped, last):
        wait_until(lambda painting=painting: painting.waiting)
    painters[2].go_on.release()
    stopped.stop()
    assert finished(stopped).result is None and stopped.error is None
    assert last.running and last.waiting and not first.waiting
    painters[0].go_on.release(2)
    assert finished(first).result.iterations == 2
    assert finished(last).result.iterations == 1 and not last.waiting


def test_what_goes_wrong_in_the_thread_is_kept():
    def fail(report):
        raise ValueError("no paint")

    for _ in range(2):  # it is the next one's turn
        painting = finished(Painting("key", fail))
        assert str(painting.error) == "no paint" and painting.result is None


@pytest.mark.parametrize("give_up", [Easel.clear, lambda place: place.clear(unless="other")])
def test_a_picture_that_is_given_up_is_painted_no_further(give_up):
    place, painter = Easel(), Painter()
    place.start("key", painter.paint)
    painting = place.painting
    place.clear(unless="key")
    assert place.painting is painting and not painting.stopping
    give_up(place)
    assert place.painting is None
    painter.go_on.release()
    assert finished(painting).result.iterations == 1


def test_a_new_picture_takes_the_place_of_the_one_before():
    place, painters = Easel(), (Painter(), Painter())
    place.start("first", painters[0].paint)
    first = place.painting
    place.start("second", painters[1].paint)
    assert place.painting.key == "second" and first.stopping and not place.painting.stopping
    place.clear()
    for painter in painters:
        painter.go_on.release()
    finished(first)


def test_every_session_has_an_easel_of_its_own_that_is_cleared_with_the_connection():
    page = AppTest.from_string(
        "import streamlit as st; from vision_app.ui.style_job import easel; st.session_state.it = easel()"
    )
    place, painter = page.run().session_state["it"], Painter()
    place.start("key", painter.paint)
    painting = place.painting
    assert page.run().session_state["it"] is place and not painting.stopping
    clear_session_resource_cache("test session id")  # as the server does
    assert painting.stopping and place.painting is None
    assert page.run().session_state["it"] is not place
    painter.go_on.release()
    finished(painting)
