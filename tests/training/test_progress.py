"""Lines of progress come soon, often enough, and say how long is left."""

from types import SimpleNamespace

from vision_app.training import progress
from vision_app.training.progress import Progress


def lines(monkeypatch, seconds, total=100, every=25):
    """What is said after each step that takes so many seconds, by the step."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    watched, said = Progress(total, every), {}
    for step in range(1, total + 1):
        clock.now += seconds
        if left := watched.left(step):
            said[step] = left
    return said


def test_quick_steps_are_told_every_so_often(monkeypatch):
    told = {1: "at most 10 s left", 25: "at most 8 s left", 50: "at most 5 s left", 75: "at most 2 s left"}
    assert lines(monkeypatch, 0.1) == {**told, 100: "at most 0 s left"}


def test_slow_steps_are_told_one_by_one(monkeypatch):
    said = lines(monkeypatch, 12.0)
    assert list(said) == list(range(1, 101))
    assert (said[1], said[90], said[95]) == ("at most 20 min left", "at most 2 min left", "at most 60 s left")


def test_the_first_line_comes_after_one_step_and_no_ten_seconds_pass_in_silence(monkeypatch):
    assert list(lines(monkeypatch, 4.0, total=12)) == [1, 4, 7, 10, 12]
