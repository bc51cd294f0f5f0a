"""The Compare page as a visitor's session sees it, without a browser: the released detector beside a tiny one."""

import base64
import io
import re
from collections import OrderedDict
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from vision_app import DetectOptions, Detector, read_image
from vision_app.core.errors import ImageError, ModelError
from vision_app.detection.compare.agreement import agree
from vision_app.detection.compare.report import counts_text
from vision_app.detection.grid_detector import GridDetector
from vision_app.ui import compare
from vision_app.ui.inference_cache import find, look
from vision_app.ui.pictures import Picture
from vision_app.ui.text import plain

SCRIPT = "from vision_app.ui import compare; compare.page()"


@pytest.fixture
def page(tiny_model, monkeypatch) -> AppTest:
    monkeypatch.setenv("VISION_APP_MODELS", str(tiny_model.parent))
    monkeypatch.setattr("vision_app.ui.models.available", lambda: ["tiny", "yolo"])
    page = AppTest.from_string(SCRIPT, default_timeout=120).run()
    assert not page.exception
    return page


@pytest.fixture(scope="module")
def detectors(tiny_model):
    return [Detector.load(name, runtime="torch") for name in ("yolo", tiny_model)]


def upload(page: AppTest, files: dict[str, bytes]) -> AppTest:
    page.file_uploader[0].set_value([(name, content, "image/any") for name, content in files.items()]).run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    return "\n".join(item.value for item in page.markdown)


def agreement(detectors, image, **options) -> str:
    first, second = detectors
    return plain(counts_text(agree(first(image, **options), second(image)).counts, "yolo"))


def test_pictures_are_shown_as_each_model_sees_them(page, detectors, cat, coffee):
    assert page.multiselect[0].value == ["yolo", "tiny"]  # the family first
    upload(page, {"a *b*.png": cat, "c.jpg": coffee})
    assert [item.value for item in page.subheader] == [plain("a *b*.png"), "c\\.jpg"]
    for image in (cat, coffee):
        for name, detector in zip(("yolo", "tiny"), detectors, strict=True):
            found = ", ".join(f"{n} {label}" for label, n in detector(image).count().items())
            assert f"**{name}:** {plain(found)}" in words(page)
        assert agreement(detectors, image) in words(page)
    times = [item.value for item in page.caption]
    assert len(times) == 4
    assert all(re.search(r"ms\\: preprocess .* backbone .* heads .* nms", text) for text in times)
    (table,) = page.dataframe
    assert list(table.value["model"]) == ["yolo", "tiny"] and list(table.value["pictures"]) == ["2", "2"]
    assert list(table.value["confidence"]) == [f"{each.defaults['confidence']:g}" for each in detectors]


def test_a_slider_runs_no_network_again(page, detectors, cat, monkeypatch):
    upload(page, {"cat.png": cat})
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
    monkeypatch.setattr("vision_app.ui.models.available", lambda: ["yolo"])
    with pytest.raises(ModelError, match="no two models to compare"):  # the frame shows it, as on every page
        compare.settings()


def test_bad_files_and_too_many_pictures_get_a_sentence(page, cat, bad_files):
    upload(page, {"notes.jpg": bad_files["notes.jpg"][0], "cat.png": cat})
    assert "not an image" in page.error[0].value and len(page.subheader) == 1
    table = page.dataframe[0].value
    assert [list(table[head]) for head in ("pictures", "failed")] == [["1", "1"], ["1", "1"]]
    upload(page, {f"{i}.png": cat for i in range(compare.MOST_PICTURES + 1)})
    assert "first 10 of 11 pictures" in page.warning[0].value and len(page.subheader) == 10


class Images(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.sources = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]


def test_the_report_holds_all_in_one_file(detectors, cat, bad_files):
    good, bad = Picture("<cat> & dog.png", cat), Picture("notes.jpg", bad_files["notes.jpg"][0])
    seen, contenders = [], [(detector, DetectOptions(0.3)) for detector in detectors]
    for detector, options in contenders:
        view = look(good, detector, OrderedDict())
        found, nms_ms = find(view, detector, options)
        seen.append((view, found, view.stages | {"nms": nms_ms}))
    text = compare.report([(good, seen), (bad, ImageError(bad.name, "not an image"))], contenders)
    assert "&lt;cat&gt; &amp; dog.png" in text and "<cat>" not in text and "http" not in text and "not an image" in text
    assert "without a warm-up" in text and "after a warm-up" not in text
    sources = Images(text).sources
    assert len(sources) == 3 and all(source.startswith("data:image/") for source in sources)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(sources[1].partition(",")[2]))))
    assert shown.shape == read_image(cat).pixels.shape
