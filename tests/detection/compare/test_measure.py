"""Detectors measured in processes of their own."""

import multiprocessing
import os

import pytest
from PIL import Image
from skimage import data
from tiny_detectors import write_tiny

from vision_app import DetectOptions, Detector
from vision_app.core.errors import UsageError, VisionAppError
from vision_app.detection.compare import measure
from vision_app.detection.compare.measure import Conditions, Cost, DetectorSpec, Worker
from vision_app.released.execution import Execution
from vision_app.summary.summarize import summarize_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(write_tiny(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.chelsea()).save(folder / "cat.png")
    Image.fromarray(data.coffee()).save(folder / "coffee.png")
    (folder / "notes.png").write_text("no image")
    return [str(folder / name) for name in ("cat.png", "notes.png", "coffee.png")]


ONNX = Execution(runtime="onnx", threads=1)


def test_rows_say_what_was_found_and_where_the_time_went(tiny, photos):
    doubtful = DetectOptions(confidence=0.1, max_detections=20)
    spec = DetectorSpec(tiny, execution=Execution(runtime="torch", threads=1))
    with Worker(spec, DetectOptions(confidence=0.4), doubtful) as worker:
        rows = list(worker.rows(photos))
    detector = Detector.load(tiny, runtime="torch", device="cpu")
    assert (worker.digest, worker.classes) == (detector.digest, detector.classes)
    assert worker.conditions == Conditions(0.4, "cpu", "torch", 1)
    assert [(row["file"], row["status"]) for row in rows] == list(zip(photos, ("ok", "failed", "ok"), strict=True))
    for row in rows[::2]:
        expected = detector(row["file"], confidence=0.4).to_dict()
        assert {key: row[key] for key in expected} == expected and expected["detections"]
        assert row["doubtful"] == detector(row["file"], doubtful).to_dict()["detections"]
        assert list(row["milliseconds"]) == ["preprocess", "backbone", "heads", "nms"]
        assert min(row["milliseconds"].values()) > 0
        assert row["memory"] is None or 50 < row["memory"] < 5000  # other systems do not tell
    assert "not an image" in rows[1]["error"] and rows[1]["detections"] == []


def test_onnx_runtime_needs_less_memory_and_cannot_be_divided_and_a_killed_process_is_replaced(tiny, photos):
    with Worker(DetectorSpec(tiny, execution=ONNX)) as worker:
        (row,) = worker.rows(photos[:1])
        assert list(row["milliseconds"]) == ["preprocess", "network", "nms"] and "doubtful" not in row
        assert row["memory"] is None or row["memory"] < 300  # torch alone takes more
        before = multiprocessing.active_children()
        for child in before:
            child.kill()
        (again,) = worker.rows(photos[:1])  # not blamed: it was not being handled
        assert (again["status"], again["detections"]) == ("ok", row["detections"])
        assert not {child.pid for child in before} & {child.pid for child in multiprocessing.active_children()}


def end(*_):
    """Stands in for `measure._start`."""
    os._exit(9)


def end_at_the_second(function, *arguments):
    """Stands in for `measure._apply` in the process of a worker, which it ends at a photo."""
    if "notes" in str(arguments):
        os._exit(9)
    return function(measure._runners[0], *arguments)


def test_a_photo_that_ends_the_process_gets_a_failed_row_and_the_others_theirs(tiny, photos, monkeypatch):
    monkeypatch.setattr(measure, "_apply", end_at_the_second)
    with Worker(DetectorSpec(tiny, execution=ONNX)) as worker:
        rows = list(worker.rows(photos))
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert rows[1] == {
        "file": photos[1], "status": "failed", "error": measure.CRASHED, "width": None, "height": None,
        "model": worker.name, "detections": [],
    }  # fmt: skip


def test_a_process_that_is_killed_while_it_loads_the_detector_is_an_error(tiny, monkeypatch):
    monkeypatch.setattr(measure, "_start", end)
    with pytest.raises(VisionAppError, match="tiny was killed, probably out of memory"):
        Worker(DetectorSpec(tiny, execution=ONNX))


def test_errors_of_the_detector_are_raised_here(tiny):
    with pytest.raises(UsageError, match="confidence 7: must lie between 0 and 1"):
        Worker(DetectorSpec(tiny, execution=ONNX), DetectOptions(confidence=7))


def test_the_cost_is_that_of_the_summary(tiny, tmp_path):
    """The summary knows every layer by its formula; torch's counter knows none of them."""
    Image.fromarray(data.chelsea()[:300, :300]).save(tmp_path / "square.png")
    model = Detector.load(tiny).models[0]
    _, layers = summarize_model(model, 416)
    with Worker(DetectorSpec(tiny, execution=ONNX)) as worker:
        cost = worker.cost(str(tmp_path / "square.png"))
        assert worker.cost() == Cost(cost.parameters)
    assert cost.multiply_adds == sum(layer.multiply_adds for layer in layers) > 0
    assert cost.parameters == sum(layer.parameters for layer in layers) == model.info["parameters"]
