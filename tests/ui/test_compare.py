"""The Compare page without a browser: the released detector beside a tiny one."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from app_pages import run, upload, visit, words
from PIL import Image
from streamlit.testing.v1 import AppTest

from vision_app import DetectOptions, Detector, read_image
from vision_app.core.errors import ImageError, ModelError
from vision_app.core.text import amounts, escape
from vision_app.detection.compare.report import counts_text
from vision_app.detection.compare.table import agree
from vision_app.detection.grid_detector import GridDetector
from vision_app.ui import compare, models
from vision_app.ui.compare import Answer
from vision_app.ui.images import ImageFile, detect, infer, screen_image

pytestmark = pytest.mark.slow


@pytest.fixture
def page(tiny_model, monkeypatch) -> AppTest:
    monkeypatch.setenv("VISION_APP_MODELS", str(tiny_model.parent))
    monkeypatch.setattr(models, "available", lambda: ["tiny", "yolo"])
    return visit("compare")


@pytest.fixture(scope="module")
def detectors(tiny_model):
    return [Detector.load(name, runtime="torch") for name in ("yolo", tiny_model)]


def add(page: AppTest, files: dict[str, bytes]) -> AppTest:
    return run(upload(page, "Upload images", files))


def agreement(detectors, image, **options) -> str:
    first, second = detectors
    return escape(counts_text(agree(first(image, **options), second(image)), "yolo", "tiny"))


def test_images_are_shown_with_the_boxes_of_each_model(page, detectors, cat, coffee):
    assert page.multiselect[0].value == ["yolo", "tiny"]  # the family first
    add(page, {"a *b*.png": cat, "c.jpg": coffee})
    assert [item.value for item in page.subheader] == [escape("a *b*.png"), "c\\.jpg"]
    for image in (cat, coffee):
        for name, detector in zip(("yolo", "tiny"), detectors, strict=True):
            found = amounts(detector(image).count())
            assert f"**{name}:** {escape(found)}" in words(page)
        assert agreement(detectors, image) in words(page)
    times = [item.value for item in page.caption]
    assert len(times) == 4
    assert all(re.search(r"ms\\: preprocess .* backbone .* heads .* nms", text) for text in times)
    (table,) = page.dataframe
    assert list(table.value["model"]) == ["yolo", "tiny"] and list(table.value["images"]) == ["2", "2"]
    assert list(table.value["confidence"]) == [f"{each.defaults['confidence']:g}" for each in detectors]


def test_a_slider_does_not_run_a_network_again(page, detectors, cat, monkeypatch):
    add(page, {"cat.png": cat})
    assert [item.label for item in page.slider] == ["Confidence of yolo", "Confidence of tiny"]
    assert [item.value for item in page.slider] == [each.defaults["confidence"] for each in detectors]
    with monkeypatch.context() as change:
        change.setattr(GridDetector, "forward", lambda *_: pytest.fail("a network ran"))
        page.slider[0].set_value(0.05).run()
    assert not page.exception
    assert agreement(detectors, cat, confidence=0.05) in words(page)
    assert agreement(detectors, cat) not in words(page)
    assert page.dataframe[0].value["confidence"][0] == "0.05"


def test_one_model_is_too_few(page, cat, monkeypatch):
    page.multiselect[0].set_value(["yolo"]).run()
    assert [item.value for item in page.info] == ["Choose at least two models to compare."]
    monkeypatch.setattr(models, "available", lambda: ["yolo"])
    with pytest.raises(ModelError, match="needs two detectors"):  # the frame shows it, as on every page
        compare.settings()


def test_bad_files_and_too_many_images_get_a_sentence(page, cat, bad_files):
    add(page, {"notes.jpg": bad_files["notes.jpg"][0], "cat.png": cat})
    assert "not an image" in page.error[0].value and len(page.subheader) == 1
    table = page.dataframe[0].value
    assert [list(table[head]) for head in ("images", "failed")] == [["1", "1"], ["1", "1"]]
    add(page, {f"{i}.png": cat for i in range(compare.MAX_IMAGES + 1)})
    assert "first 10 of 11 images" in page.warning[0].value and len(page.subheader) == 10


class Images(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.sources = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]


def test_the_report_is_one_file(detectors, cat, bad_files):
    good, bad = ImageFile("<cat> & dog.png", cat), ImageFile("notes.jpg", bad_files["notes.jpg"][0])
    found, contenders = [], [(detector, DetectOptions(0.3)) for detector in detectors]
    for detector, options in contenders:
        inference = infer(good, detector)
        detections, nms_ms = detect(inference, detector, options)
        found.append(Answer(screen_image(good), detections, inference.stages | {"nms": nms_ms}))
    answers = [(good, found), (bad, ImageError(bad.name, "not an image"))]
    text = compare.report(answers, compare.compared(answers, contenders))
    assert "&lt;cat&gt; &amp; dog.png" in text and "<cat>" not in text and "http" not in text and "not an image" in text
    assert "without a warm-up" in text and "after a warm-up" not in text
    sources = Images(text).sources
    assert len(sources) == 3 and all(source.startswith("data:image/") for source in sources)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(sources[1].partition(",")[2]))))
    assert shown.shape == read_image(cat).pixels.shape
