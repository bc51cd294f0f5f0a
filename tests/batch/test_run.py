"""The runner on tasks that know nothing of images."""

import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_app.batch.journal import Journal
from vision_app.batch.run import run
from vision_app.batch.sinks import OutputError
from vision_app.batch.sources import Input
from vision_app.core.errors import ImageError

pytestmark = pytest.mark.slow


class Letters:
    """Reads a name, predicts its upper case, and notes what it was asked for."""

    def __init__(self, unreadable=(), unpredictable=(), unsavable=(), pause=lambda file: 0.0):
        self.unreadable, self.unpredictable, self.unsavable = unreadable, unpredictable, unsavable
        self.pause = pause
        self.batches, self.saved = [], []
        self.held = self.most_held = 0
        self.lock = threading.Lock()

    def read(self, item):
        file = item.file
        time.sleep(self.pause(file))
        if file in self.unreadable:
            raise ImageError(file, "torn")
        with self.lock:
            self.held += 1
            self.most_held = max(self.most_held, self.held)
        return file

    def predict(self, items, images):
        assert [item.file for item in items] == images
        self.batches.append(tuple(images))
        if bad := [image for image in images if image in self.unpredictable]:
            raise RuntimeError(f"no idea about {bad[0]}")
        return [image.upper() for image in images]

    def save(self, item, image, result):
        with self.lock:
            self.held -= 1
        if item.file in self.unsavable:
            raise self.unsavable[item.file]
        self.saved.append((item.name, image, result))

    def row(self, item, result):
        return {"answer": result}


def ok(file):
    return {"file": file, "status": "ok", "error": None, "answer": file.upper()}


def failed(file, error):
    return {"file": file, "status": "failed", "error": error, "answer": None}


def run_over(task, files, path, *, batch_size=2, workers=2, resume=False, report=lambda rows: None):
    inputs = [file if isinstance(file, Input) else Input(file, f"{file}-name") for file in files]
    with Journal(path, settings={}, inputs=inputs, batch_size=batch_size, resume=resume) as journal:
        run(task, journal, workers=workers, report=report)
    return [json.loads(line) for line in path.read_text().splitlines()]


@given(
    count=st.integers(0, 30),
    bad=st.sets(st.integers(0, 29)),
    batch_size=st.integers(1, 9),
    workers=st.integers(1, 4),
)
def test_rows_come_in_input_order_whatever_the_batches_and_workers(tmp_path_factory, count, bad, batch_size, workers):
    files = [f"f{number}" for number in range(count)]
    unreadable = {f"f{number}" for number in bad}
    pause = lambda file: 0.002 if file.endswith(("0", "3")) else 0  # noqa: E731
    path = tmp_path_factory.mktemp("run") / "rows.jsonl"
    reported = []
    task = Letters(unreadable, pause=pause)
    rows = run_over(task, files, path, batch_size=batch_size, workers=workers, report=reported.extend)
    assert rows == reported == [failed(file, "torn") if file in unreadable else ok(file) for file in files]
    assert sorted(task.saved) == sorted(
        (f"{file}-name", file, file.upper()) for file in files if file not in unreadable
    )
    batches = [files[start : start + batch_size] for start in range(0, count, batch_size)]
    expected = [tuple(file for file in batch if file not in unreadable) for batch in batches]
    assert sorted(task.batches) == sorted(batch for batch in expected if batch)  # failed reads keep their place


def test_an_image_that_fails_its_batch_fails_only_itself(tmp_path):
    task = Letters(unpredictable={"c"}, unsavable={"e": ValueError("too wide"), "f": ImageError("x.jpg", "odd")})
    rows = run_over(task, "abcdefg", tmp_path / "rows.jsonl", batch_size=4)
    assert rows == [
        ok("a"), ok("b"), failed("c", "RuntimeError: no idea about c"), ok("d"),
        failed("e", "ValueError: too wide"), failed("f", "odd"), ok("g"),
    ]  # fmt: skip


def test_what_saving_says_becomes_a_note_of_the_row(tmp_path):
    task = Letters()
    task.save = lambda item, image, result: "no copy" if image == "b" else None
    rows = run_over(task, "abc", tmp_path / "rows.jsonl")
    assert rows == [ok("a"), ok("b") | {"notes": ["no copy"]}, ok("c")]


def test_a_predictor_that_answers_too_little_fails_its_images_and_not_the_run(tmp_path):
    task = Letters()
    task.predict = lambda items, images: []
    rows = run_over(task, "abc", tmp_path / "rows.jsonl")
    assert [row["status"] for row in rows] == ["failed"] * 3


def test_an_input_with_a_problem_is_never_read(tmp_path):
    task = Letters()
    rows = run_over(task, ["a", Input("secret", "secret", "cannot be listed")], tmp_path / "rows.jsonl")
    assert rows == [ok("a"), failed("secret", "cannot be listed")]
    assert task.batches == [("a",)]


def test_no_more_than_a_batch_a_worker_is_in_memory(tmp_path):
    slow_first = Letters(pause=lambda file: 0.05 if file == "f0" else 0)
    run_over(slow_first, [f"f{number}" for number in range(400)], tmp_path / "rows.jsonl", batch_size=5, workers=3)
    assert slow_first.most_held <= 15


def test_as_many_batches_run_at_once_as_there_are_workers(tmp_path):
    """Four batches meet at a barrier, which takes four threads."""
    barrier = threading.Barrier(4, timeout=20)
    task = Letters()
    task.save = lambda *_: barrier.wait() and None
    rows = run_over(task, "abcd", tmp_path / "rows.jsonl", batch_size=1, workers=4)
    assert rows == [ok(file) for file in "abcd"]


def test_output_that_cannot_be_written_stops_the_run_and_keeps_the_rows(tmp_path):
    full = OutputError("images/d.jpg", OSError(28, "No space left on device"))
    path = tmp_path / "rows.jsonl"
    with pytest.raises(OutputError, match=r"cannot write images/d\.jpg: No space left on device"):
        run_over(Letters(unsavable={"d": full}), "abcdefgh", path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [ok("a"), ok("b")]
    assert run_over(Letters(), "abcdefgh", path, resume=True) == [ok(file) for file in "abcdefgh"]


def test_an_interrupt_stops_between_batches(tmp_path):
    def interrupt(rows):
        if rows[-1]["file"] == "d":
            raise KeyboardInterrupt

    path = tmp_path / "rows.jsonl"
    files = [f"{letter}{number}" for number in range(20) for letter in "abcd"]
    task = Letters()
    with pytest.raises(KeyboardInterrupt):
        run_over(task, ["a", "b", "c", "d", *files], path, report=interrupt)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [ok(file) for file in "abcd"]
    assert len(task.batches) < 20  # the batches still waiting were called off


@given(cut=st.integers(0, 2000), batch_size=st.integers(1, 5), workers=st.integers(1, 3))
def test_resume_after_any_cut_gives_the_same_bytes(tmp_path_factory, cut, batch_size, workers):
    files = ["ä", "b", "c\udcff", "d\n", *[f"f{number}" for number in range(9)]]
    folder = tmp_path_factory.mktemp("resume")
    path = folder / "rows.jsonl"
    run_over(Letters({"b", "f3"}), files, path, batch_size=batch_size)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    task = Letters({"b", "f3"})
    run_over(task, files, path, batch_size=batch_size, workers=workers, resume=True)
    assert path.read_bytes() == whole
    kept = len(whole[:cut].splitlines()) if cut >= len(whole) else whole[:cut].count(b"\n")
    kept = len(files) if kept == len(files) else kept // batch_size * batch_size
    again = {file for batch in task.batches for file in batch}
    assert again == {file for file in files[kept:] if file not in ("b", "f3")}
