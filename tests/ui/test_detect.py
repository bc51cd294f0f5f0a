"""The Detect page without a browser."""

import json
import re
import shutil
from dataclasses import replace

import pytest
from app_pages import labeled, run, upload, visit_app, words
from image_files import encode
from PIL import Image
from streamlit.testing.v1 import AppTest

from vision_app.core.text import escape
from vision_app.detection.compare import FAMILY
from vision_app.released.find import find
from vision_app.ui import models
from vision_app.ui.images import SAMPLES, SESSION_QUOTA, sample
from vision_app.ui.widgets.inputs import MAX_IMAGES

pytestmark = pytest.mark.slow


@pytest.fixture
def page() -> AppTest:
    return visit_app()


def test_the_uploader_says_why_an_upload_is_refused_and_how_long_images_are_kept(page):
    (uploader,) = page.file_uploader
    assert f"{SESSION_QUOTA} MB" in uploader.help and "busy with the images of other visitors" in uploader.help
    assert "up to 30 seconds longer" in uploader.help


def add(page: AppTest, files: dict[str, bytes]) -> AppTest:
    return run(upload(page, "Upload images", files))


def tables(page: AppTest) -> list[list[tuple]]:
    """The table of every image: label, score in percent, box."""
    return [list(table.value.itertuples(index=False, name=None)) for table in page.dataframe]


def expected(detections) -> list[tuple]:
    items = detections.to_dict()["detections"]
    return [
        (item["label"], pytest.approx(100 * item["score"], abs=0.01), ", ".join(f"{x:.0f}" for x in item["box"]))
        for item in items
    ]


def test_a_visitor_without_images_is_told_what_to_do(page):
    assert "Upload" in words(page)
    assert [button.label for button in page.button] == list(SAMPLES)
    assert not page.dataframe
    assert not page.error


def test_a_sample_shows_what_the_detector_finds_in_it(page, detector):
    page.button[0].click().run()
    found = detector(sample("Cat").data)
    assert "cat" in found.labels
    assert tables(page) == [expected(found)]
    assert ":primary-badge[1 cat]" in words(page)
    (times,) = (item.value for item in page.caption if "ms" in item.value)
    assert times.startswith("Decoding") and "network" in times and "NMS" in times


def test_samples_can_be_added_and_removed(page):
    page.button[0].click().run()
    page.pills(key="samples").set_value(["Cat", "Coffee"]).run()
    assert [item.value for item in page.subheader] == [escape("cat.jpg"), escape("coffee.jpg")]
    page.pills(key="samples").set_value([]).run()
    assert not page.subheader and len(page.button) == len(SAMPLES)


def test_uploads_replace_samples(page, coffee, detector):
    page.button[0].click().run()
    add(page, {"mine.jpg": coffee})
    assert tables(page) == [expected(detector(coffee))]
    assert not page.pills


def test_settings_do_not_run_the_network_again(page, cat, coffee, detector, forward_calls):
    def answers(**options) -> list[list[tuple]]:
        return [expected(detector(image, **options)) for image in (cat, coffee)]

    default, low, loose = answers(), answers(confidence=0.05), answers(confidence=0.05, iou=0.95)
    only_cups = answers(confidence=0.05, iou=0.95, classes=("cup",))
    only_best = answers(confidence=0.05, iou=0.95, max_detections=1)
    assert default != low != loose
    forward_calls.clear()

    add(page, {"cat.png": cat, "coffee.jpg": coffee})
    assert forward_calls == [1, 1]
    assert tables(page) == default
    labeled(page.slider, "Confidence").set_value(0.05).run()
    assert tables(page) == low
    labeled(page.slider, "Overlap (IoU)").set_value(0.95).run()
    assert tables(page) == loose
    page.multiselect[0].set_value(["cup"]).run()
    assert tables(page) == [table for table in only_cups if table]
    page.multiselect[0].set_value([]).run()
    page.number_input[0].set_value(1).run()
    assert tables(page) == only_best
    assert forward_calls == [1, 1]


def test_an_image_is_processed_once_whatever_its_name(page, cat, coffee, forward_calls):
    add(page, {"a.png": cat, "b.png": cat})
    assert forward_calls == [1]
    add(page, {"a.png": cat, "c.jpg": coffee})
    assert forward_calls == [1, 1]


def test_visitors_do_not_share_results(cat, forward_calls):
    add(visit_app(), {"a.png": cat})
    add(visit_app(), {"a.png": cat})
    assert forward_calls == [1, 1]


def test_without_detections_the_page_suggests_a_lower_confidence(page, cat):
    add(page, {"cat.png": cat})
    labeled(page.slider, "Confidence").set_value(0.99).run()
    assert [item.value for item in page.info] == ["No objects found at a confidence of 99%. Try a lower confidence."]
    page.multiselect[0].set_value(["dog"]).run()
    assert [item.value for item in page.info] == [
        "No objects of the chosen classes found at a confidence of 99%. Try a lower confidence."
    ]


def test_a_bad_file_gets_one_sentence_and_the_others_their_boxes(page, cat, bad_files, detector):
    files = {name: content for name, (content, _) in bad_files.items()}
    add(page, {**files, "cat.png": cat})
    assert len(page.error) == len(bad_files)
    for (name, (_, reason)), error in zip(bad_files.items(), page.error, strict=True):
        assert error.value.startswith(escape(name)) and reason in error.value
        assert "\n" not in error.value and "Traceback" not in error.value
    found = detector(cat)
    assert tables(page) == [expected(found)]
    assert re.search(rf"\*\*1 image:\*\* .*{found.count()['cat']} cat.* \(4 files could not be read\)", words(page))


def test_too_many_images_are_cut_off_with_a_warning(page):
    tiny = encode(Image.new("RGB", (32, 32), "gray"), "PNG")
    add(page, {f"{i}.png": tiny for i in range(MAX_IMAGES + 3)})
    assert len(page.subheader) == MAX_IMAGES
    assert f"first {MAX_IMAGES} of {MAX_IMAGES + 3} images" in page.warning[0].value


def test_the_page_says_which_model_runs_and_what_its_card_says(page, detector, monkeypatch):
    measured = {"VOC val": {"AP": 0.4711, "AP50": 0.7163}, "my set": {"AP": 0.5}}
    info = {"measured": measured, "learned_from": ["some photos", "some boxes"], "license": "A-1.0"}
    info |= {"parameters": 1_234_567}
    monkeypatch.setattr(models, "find", lambda name: replace(find(name), info=find(name).info | info))
    run(page)

    (about,) = page.expander
    assert (about.label, page.selectbox[0].value) == ("About yolo", "yolo")
    facts = {
        "Classes": "80",
        "Default confidence": f"{detector.defaults['confidence']:.0%}",
        "Accuracy on VOC val": "AP 0.471, AP50 0.716",
        "Accuracy on my set": "AP 0.500",
        "Parameters": "1.23 million",
        "Trained on": "some photos; some boxes",
        "License": "A-1.0",
    }
    assert [item.value for item in about.caption] == [f"**{escape(k)}**  \n{escape(v)}" for k, v in facts.items()]


def test_damaged_models_are_left_out_with_a_warning(monkeypatch, tmp_path, detector):
    """Beside a good model: one whose model.json says nothing, two for other pages, one without its weights."""
    one_class = {"classes": ["face"], "architecture": detector.model.info["architecture"] | {"classes": 1}}
    others = {"style": {"task": "style"}, "faces": one_class}
    contents = {"a": "{}"} | {name: json.dumps(detector.model.info | other) for name, other in others.items()}
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(content)
    shutil.copytree(detector.model.folder, tmp_path / "zebra")
    (tmp_path / "zebra" / "model.onnx").write_bytes(b"not what was released")
    monkeypatch.setenv("VISION_APP_MODELS", str(tmp_path))
    page = visit_app()
    assert [item.value for item in page.warning] == [escape(f"{tmp_path}/a/model.json: has no usable 'task'")]
    assert page.selectbox[0].options == [*FAMILY, "zebra"] and not page.error
    page.selectbox[0].set_value("zebra").run()
    assert [item.value for item in page.error] == [
        escape(f"{tmp_path}/zebra/model.onnx: damaged or changed, its digest is not the one in model.json")
    ]
    page.selectbox[0].set_value("yolo").run()
    assert page.file_uploader and not page.error


def test_without_a_model_the_page_says_so(monkeypatch):
    monkeypatch.setattr(models, "available", list)
    page = visit_app()
    assert [error.value for error in page.error] == [
        escape("no detector is installed: the folder models/ contains none")
    ]
