"""The Identify page: the names that the gallery gives, and strangers without one."""

import json

import numpy as np
import pytest
from app_pages import ADA, BOB, EVE, labeled, photo_of, run, said, upload, visit
from painted_people import BLURRED, CALIBRATION

from vision_app import Gallery
from vision_app.ui import identify
from vision_app.ui.widgets import outputs
from vision_app.ui.widgets.faces import one_in
from vision_app.ui.widgets.inputs import MAX_IMAGES

pytestmark = pytest.mark.slow

GROUP = photo_of((BOB, 7), (EVE, 1), (ADA, 8))


def identify_all(files: dict[str, bytes]):
    return run(upload(visit("identify"), "Images", files))


def audit(path) -> list[str]:
    return [json.loads(line)["action"] for line in (path.parent / "people.db.audit.jsonl").read_text().splitlines()]


def test_enrolled_people_get_a_name_and_strangers_none(painted, known, monkeypatch):
    drawn, saved = [], []
    monkeypatch.setattr(identify, "draw", lambda *given: drawn.append(given[2]) or np.zeros((9, 9, 3), np.uint8))
    monkeypatch.setattr(outputs, "save", lambda label, data, name, mime: saved.append((name, data)))
    page = identify_all({"all.png": GROUP})
    with Gallery.open(known, readonly=True, recognizer=painted) as gallery:
        answer = gallery.identify(GROUP)
    assert [face.name for face in answer.faces] == ["Bob", None, "Ada"]
    table = page.dataframe[0].value
    assert list(table["Name"]) == ["Bob", "unknown", "Ada"]
    assert list(table["Similarity"]) == [f"{face.similarity:.3f}" for face in answer.faces]
    assert table["Closest people"][2].startswith(f"Ada {answer.faces[2].similarity:.3f}, Bob ")
    assert drawn == [answer.captions]
    assert any(
        f"similarity of {CALIBRATION.identify_threshold(2):.3f} (false positive rate 1 in 100, model id first)"
        in text.value
        for text in page.caption
    )
    assert [(name, json.loads(data)) for name, data in saved] == [
        ("all.png.json", {"file": "all.png", "status": "ok", "error": None, **answer.to_dict()})
    ]


def test_a_face_that_is_hard_to_recognize_is_uncertain_with_its_closest_people(known):
    page = identify_all({"all.png": photo_of((ADA, BLURRED), (BOB, 7))})
    table = page.dataframe[0].value
    assert list(table["Name"]) == ["uncertain (blurred)", "Bob"]
    assert table["Closest people"][0].startswith("Ada 0.")


def test_a_stricter_rate_raises_the_threshold_and_the_audit_log_counts_images_not_clicks(known):
    page = identify_all({"all.png": GROUP})
    run(page)
    assert audit(known)[2:] == ["identify"]
    labeled(page.select_slider, "False positive rate").set_value(0.001)
    run(page)
    assert audit(known)[2:] == ["identify"] * 2
    assert any(f"similarity of {CALIBRATION.identify_threshold(2, 0.001):.3f} " in text.value for text in page.caption)


def test_a_name_is_given_once_unless_allowed_for_several_faces(known):
    page = identify_all({"twice.png": photo_of((ADA, 8), (ADA, 1))})
    assert list(page.dataframe[0].value["Name"]) == ["unknown", "Ada"]
    labeled(page.checkbox, "Allow one name for several faces").set_value(True)
    assert list(run(page).dataframe[0].value["Name"]) == ["Ada", "Ada"]


def test_a_person_forgotten_meanwhile_is_unknown(painted, known):
    page = identify_all({"all.png": GROUP})
    with Gallery.open(known, recognizer=painted) as gallery:
        gallery.forget("Bob")
    table = run(page).dataframe[0].value
    assert list(table["Name"]) == ["unknown", "unknown", "Ada"] and "Bob" not in table.to_string()


def test_bad_files_images_without_faces_and_too_many_images_get_a_sentence(known, bad_files):
    page = identify_all({"notes.jpg": bad_files["notes.jpg"][0], "none.png": photo_of(), "ada.png": photo_of((ADA, 8))})
    assert "not an image" in page.error[0].value and said(page)[-1] == "No face found."
    assert list(page.dataframe[0].value["Name"]) == ["Ada"]
    page = identify_all({f"{i}.png": photo_of() for i in range(MAX_IMAGES + 1)})
    assert "first 20 of 21 images" in page.warning[0].value and len(page.subheader) == MAX_IMAGES


def test_without_people_the_page_says_where_they_come_from(painted, gallery_path):
    page = identify_all({"ada.png": photo_of((ADA, 8))})
    assert "People page" in said(page)[0] and not page.dataframe and not gallery_path.exists()
    assert one_in(0.001) == "1 in 1,000"
