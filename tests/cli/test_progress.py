"""Progress where there is no terminal: lines, now and then."""

import pytest

from vision_app.cli import progress


def row(status="ok"):
    return {"file": "a.jpg", "status": status, "error": "torn"}


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_few_seconds_with_this_runs_rate_and_the_time_left(clock, capsys):
    with progress.show_progress(total=10_000, done=4_000) as report:
        for _ in range(12):
            clock[0] += 1.0
            report([row()] * 40)
    assert capsys.readouterr().err.splitlines() == [
        "4,200/10,000 images, 40 images/s, 2:25 left",
        "4,400/10,000 images, 40 images/s, 2:20 left",
    ]


def test_images_that_failed_are_no_rate(clock, capsys):
    with progress.show_progress(total=1000, done=0) as report:
        for status in ("failed", "ok"):
            clock[0] += 6
            report([row(status)])
    lines = [line for line in capsys.readouterr().err.splitlines() if "/1,000" in line]
    assert lines == ["1/1,000 images, 1:39:54 left", "2/1,000 images, 12 s/image, 1:39:48 left"]


def test_the_last_rows_get_no_line(clock, capsys):
    with progress.show_progress(total=10, done=0) as report:
        clock[0] += 60
        report([row()] * 10)
    assert capsys.readouterr().err == ""


def test_the_first_failures_are_named(clock, capsys):
    with progress.show_progress(total=100, done=0) as report:
        report([row("failed")] * 8)
        report([row(), *[row("failed")] * 30])
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["failed: a.jpg: torn"] * 10 + ["more files failed; the rows say which"]


def test_notes_are_shown_beside_failures(clock, capsys):
    with progress.show_progress(total=100, done=0) as report:
        report(
            [row("failed"), row() | {"notes": ["the content is gray", "enlarged"]}, *[row() | {"notes": ["odd"]}] * 9]
        )
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == [
        "failed: a.jpg: torn",
        *(f"note: a.jpg: {n}" for n in ("the content is gray", "enlarged", "odd")),
    ]
    assert len(lines) == 12 and lines[-1] == "more files have notes; the rows say which"


def test_how_far_a_slow_input_is_gets_a_line_every_few_seconds(clock, capsys):
    with progress.show_progress(total=2, done=0) as report:
        for iteration in range(12):
            clock[0] += 1.0
            report.step(f"a\n.jpg: iteration {iteration}")
    assert capsys.readouterr().err.splitlines() == [f"a\\n.jpg: iteration {iteration}" for iteration in (4, 9)]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (3599, "59:59"), (36_061, "10:01:01")])
def test_times_are_told_in_minutes_and_hours(seconds, text):
    assert progress._format_time(seconds) == text


def test_names_cannot_steer_the_terminal():
    assert progress.printable("a\x1b[31m\nb é.jpg") == "a\\x1b[31m\\nb é.jpg"
