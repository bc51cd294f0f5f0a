"""Detectors measured in processes of their own."""

import multiprocessing

import pytest
from PIL import Image
from skimage import data
from tiny_detectors import write_tiny

from vision_app import DetectOptions, Detector, read_image
from vision_app.core.errors import UsageError, VisionAppError
from vision_app.detection.compare.measure import Contender, Cost, measure
from vision_app.model_summary import summarize_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(write_tiny(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.chelsea()).save(folder / "cat.png")
    Image.fromarray(data.coffee()).save(folder / "coffee.png")
    (folder / "notes.png").write_text("no picture")
    return [str(folder / name) for name in ("cat.png", "notes.png", "coffee.png")]


def test_rows_tell_what_was_found_and_where_the_time_went(tiny, photos):
    doubtful = DetectOptions(confidence=0.1, max_detections=20)
    rows = list(measure(Contender(tiny, threads=1), photos, DetectOptions(confidence=0.4), doubtful))
    detector = Detector.load(tiny, runtime="torch", device="cpu")
    assert [(row["file"], row["status"]) for row in rows] == list(zip(photos, ("ok", "failed", "ok"), strict=True))
    for row in rows[::2]:
        expected = detector(row["file"], confidence=0.4).to_dict()
        assert {key: row[key] for key in expected} == expected and expected["detections"]
        assert row["doubtful"] == detector(row["file"], doubtful).to_dict()["detections"]
        assert list(row["milliseconds"]) == ["preprocess", "backbone", "heads", "nms"]
        assert min(row["milliseconds"].values()) > 0
        assert row["memory"] is None or 50 < row["memory"] < 5000  # other systems do not tell
    assert "not an image" in rows[1]["error"] and rows[1]["detections"] == []


def test_another_runtime_needs_less_memory_and_cannot_be_divided(tiny, photos):
    (row,) = measure(Contender(tiny, runtime="onnx", threads=1), photos[:1])
    assert list(row["milliseconds"]) == ["preprocess", "network", "nms"] and "doubtful" not in row
    assert row["memory"] is None or row["memory"] < 300  # torch alone takes more


def test_a_process_that_is_ended_from_outside_gets_a_sentence(tiny, photos):
    rows = measure(Contender(tiny, runtime="onnx"), photos)
    next(rows)
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(VisionAppError, match="tiny was ended from outside, most likely for want of memory"):
        list(rows)


def test_errors_of_the_detector_are_those_of_the_caller(tiny):
    with pytest.raises(UsageError, match="--confidence 7: must lie between 0 and 1"):
        list(measure(Contender(tiny, runtime="onnx"), [], DetectOptions(confidence=7)))


def test_the_cost_is_that_of_the_summary(tiny):
    """The summary knows every layer by its formula; torch's counter knows none of them."""
    square = read_image(data.chelsea()[:300, :300])
    model = Detector.load(tiny).models[0]
    _, layers = summarize_model(model, 416)
    cost = Cost.of(Contender(tiny, runtime="onnx"), square)
    assert cost.multiply_adds == sum(layer.multiply_adds for layer in layers) > 0
    assert cost.parameters == sum(layer.parameters for layer in layers) == model.info["parameters"]
    assert Cost.of(Contender(tiny)) == Cost(cost.parameters)
