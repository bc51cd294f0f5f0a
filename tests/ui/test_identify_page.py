"""The Identify page: the names that the gallery gives, and strangers without one."""

import json

import numpy as np
import pytest
from face_pages import ADA, BOB, EVE, labeled, picture, run, said, upload, visit
from painted_people import CALIBRATION

from vision_app import Gallery
from vision_app.ui import faces, identify
from vision_app.ui.uploads import MOST_PICTURES

GROUP = picture((BOB, 7), (EVE, 1), (ADA, 8))


@pytest.fixture
def known(painted, gallery_path):
    """A gallery that knows Ada and Bob."""
    with Gallery.open(gallery_path, recognizer=painted) as gallery:
        gallery.enroll("Ada", [picture((ADA, 1))])
        gallery.enroll("Bob", [picture((BOB, 1))])
    return gallery_path


def look_at(files: dict[str, bytes]):
    return run(upload(visit("identify"), "Pictures", files))


def audit(path) -> list[str]:
    return [json.loads(line)["action"] for line in (path.parent / "people.db.audit.jsonl").read_text().splitlines()]


def test_everybody_enrolled_gets_a_name_and_strangers_none(painted, known, monkeypatch):
    drawn, saved = [], []
    monkeypatch.setattr(identify, "draw", lambda *given: drawn.append(given[2]) or np.zeros((9, 9, 3), np.uint8))
    monkeypatch.setattr(identify, "save", lambda label, data, name, mime: saved.append((name, data)))
    page = look_at({"all.png": GROUP})
    with Gallery.open(known, readonly=True, recognizer=painted) as gallery:
        answer = gallery.identify(GROUP)
    assert [face.name for face in answer.faces] == ["Bob", None, "Ada"]
    table = page.dataframe[0].value
    assert list(table["Name"]) == ["Bob", "unknown", "Ada"]
    assert list(table["Similarity"]) == [f"{face.similarity:.3f}" for face in answer.faces]
    assert table["Nearest"][2].startswith(f"Ada {answer.faces[2].similarity:.3f}, Bob ")
    assert drawn == [answer.captions]
    assert any(
        f"{CALIBRATION.identify_threshold(2):.3f} on, at a false positive rate of 1 in 100, model first" in text.value
        for text in page.caption
    )
    assert [(name, json.loads(data)) for name, data in saved] == [
        ("all.png.json", {"file": "all.png", "status": "ok", "error": None, **answer.to_dict()})
    ]


def test_a_stricter_rate_raises_the_threshold_and_the_audit_log_counts_pictures_not_clicks(known):
    page = look_at({"all.png": GROUP})
    run(page)
    assert audit(known)[2:] == ["identify"]
    labeled(page.select_slider, "False positive rate").set_value(0.001)
    run(page)
    assert audit(known)[2:] == ["identify"] * 2
    assert any(f"similarity {CALIBRATION.identify_threshold(2, 0.001):.3f} on" in text.value for text in page.caption)


def test_a_name_is_given_once_unless_asked(known):
    page = look_at({"twice.png": picture((ADA, 8), (ADA, 1))})
    assert list(page.dataframe[0].value["Name"]) == ["unknown", "Ada"]
    labeled(page.checkbox, "Let several faces have one name").set_value(True)
    assert list(run(page).dataframe[0].value["Name"]) == ["Ada", "Ada"]


def test_who_is_forgotten_meanwhile_is_unknown(painted, known):
    page = look_at({"all.png": GROUP})
    with Gallery.open(known, recognizer=painted) as gallery:
        gallery.forget("Bob")
    table = run(page).dataframe[0].value
    assert list(table["Name"]) == ["unknown", "unknown", "Ada"] and "Bob" not in table.to_string()


def test_bad_files_pictures_without_faces_and_too_many_say_so(known, bad_files):
    page = look_at({"notes.jpg": bad_files["notes.jpg"][0], "none.png": picture(), "ada.png": picture((ADA, 8))})
    assert "not an image" in page.error[0].value and said(page)[-1] == "No face found."
    assert list(page.dataframe[0].value["Name"]) == ["Ada"]
    page = look_at({f"{i}.png": picture() for i in range(MOST_PICTURES + 1)})
    assert "first 20 of 21 pictures" in page.warning[0].value and len(page.subheader) == MOST_PICTURES


def test_without_people_the_page_says_where_they_come_from(painted, gallery_path):
    page = look_at({"ada.png": picture((ADA, 8))})
    assert "page People" in said(page)[0] and not page.dataframe and not gallery_path.exists()
    assert faces.one_in(0.001) == "1 in 1,000"
