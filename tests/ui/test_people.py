"""The People page: who is enrolled, and that the gallery holds what the page says."""

import json
import os
import stat
import time
from collections import OrderedDict
from dataclasses import replace

import pytest
from app_pages import ADA, BOB, EVE, labeled, photo_of, press, run, said, snap, upload, visit, words
from painted_people import BLURRED, paint, painted_recognizer, run_sql

from vision_app import Gallery
from vision_app.core.text import escape
from vision_app.faces.challenge import Challenge
from vision_app.faces.gallery.forget import search
from vision_app.faces.gallery.live import Watch
from vision_app.faces.gallery.store import to_blob
from vision_app.ui import models
from vision_app.ui.images import CACHE
from vision_app.ui.people import AGREED
from vision_app.ui.widgets.faces import GALLERIES, GALLERY

pytestmark = pytest.mark.slow

PHOTOS = "Photos of one face each"


@pytest.fixture
def page(painted, gallery_path):
    """The page with an empty gallery."""
    return visit("people")


@pytest.fixture
def known(painted, gallery_path):
    """A gallery that knows Ada and Bob."""
    with Gallery.open(gallery_path, recognizer=painted) as gallery:
        gallery.enroll("Ada", [photo_of((ADA, 1)), photo_of((ADA, 2))], consent="signed in May")
        gallery.enroll("Bob", [photo_of((BOB, 1))])
    return gallery_path


def people(path) -> dict[str, int]:
    """How many photos there are of everybody in a gallery."""
    with Gallery.open(path, readonly=True) as gallery:
        return {one.name: one.photos for one in gallery.people()}


def fill(page, name: str, *, agreed: bool = True):
    labeled(page.text_input, "Name").set_value(name)
    labeled(page.checkbox, "This person has consented to being recognized with this gallery").set_value(agreed)
    return page


def test_without_a_gallery_nothing_is_written(painted, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    page = visit("people")
    assert "Enter a gallery file" in said(page)[0] and not page.form_submit_button
    labeled(page.text_input, "Gallery").set_value("own.db")
    run(page)
    assert "Nobody is enrolled" in said(page)[0] and escape(str(tmp_path / "own.db")) in said(page)[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    "name", ["../{}.db", "/etc/{}", "{}/people.db", "{}.txt", "{}", "~/{}.db", "~root/{}.db", "a\0/../../{}", "link.db"]
)
def test_visitors_open_galleries_of_the_configured_folders_only_and_learn_nothing_of_others(
    painted, gallery_path, monkeypatch, name, there
):
    folder = gallery_path.parent / "galleries"
    (folder / "hosts").mkdir(parents=True)
    monkeypatch.setenv(GALLERIES, str(folder))
    monkeypatch.delenv(GALLERY)
    for other in (gallery_path.parent, folder, folder / "hosts"):
        for file in ("hosts.db", "hosts.txt", "people.db"):
            (other / file).write_text("secret")
    (folder / "link.db").unlink(missing_ok=True)
    (folder / "link.db").symlink_to(gallery_path.parent / ("hosts.db" if there else "missing.db"))
    page = visit("people")
    labeled(page.text_input, "Gallery").set_value(name.format("hosts" if there else "missing"))
    (text,) = said(run(page))
    assert text.startswith("Galleries on this page are files that end in `.db` in ") and "secret" not in text
    assert not page.dataframe and not page.form_submit_button


def test_galleries_of_other_folders_are_opened_where_they_are_configured(known, monkeypatch):
    monkeypatch.setenv(GALLERIES, os.pathsep.join(["/nowhere", str(known.parent)]))
    monkeypatch.delenv(GALLERY)
    page = visit("people")
    labeled(page.text_input, "Gallery").set_value(str(known))
    assert "**2 people**" in words(run(page))


def test_each_photo_gets_an_answer_and_the_good_ones_are_kept(page, gallery_path):
    files = {"a.png": photo_of((ADA, 1)), "two.png": photo_of((ADA, 2), (BOB, 1)), "blur.png": photo_of((ADA, BLURRED)),
             "none.png": photo_of(), "b.png": photo_of((ADA, 2)), "no.png": b"no image"}  # fmt: skip
    press(fill(upload(page, PHOTOS, files), " Ada "), "Enroll")
    assert people(gallery_path) == {"Ada": 2}
    answers = {text.partition("\\.png")[0]: text for text in said(page)}
    assert "accepted as Ada" in answers["a"] and "accepted as Ada" in answers["b"]
    for name, why in {"two": "2 faces", "blur": "blurred", "none": "no face", "no": "not an image"}.items():
        assert "not accepted" in answers[name] and why in answers[name]
    assert list(page.dataframe[0].value.iloc[0][:2]) == ["Ada", 2]
    with Gallery.open(gallery_path, readonly=True) as gallery:
        assert {sample.consent for sample in gallery.samples("Ada")} == {AGREED}
    assert stat.S_IMODE(gallery_path.stat().st_mode) == 0o600
    assert labeled(page.text_input, "Name").value == "" and not labeled(page.file_uploader, PHOTOS).value
    assert not labeled(page.checkbox, "This person has consented to being recognized with this gallery").value


@pytest.mark.parametrize("lacking", ["a name", "a photo", "the person's consent"])
def test_nobody_is_enrolled_without_name_photo_and_consent(page, gallery_path, lacking):
    if lacking != "a photo":
        upload(page, PHOTOS, {"a.png": photo_of((ADA, 1))})
    press(fill(page, " " if lacking == "a name" else "Ada", agreed=lacking != "the person's consent"), "Enroll")
    assert page.warning[0].value == f"Please add: {lacking}."
    assert not gallery_path.exists()


def test_the_camera_and_a_note_of_consent(page, gallery_path):
    page.segmented_control[0].set_value("Camera")
    run(page)
    assert not page.file_uploader
    labeled(page.text_input, "Consent note").set_value("asked in person")
    press(fill(snap(page, photo_of((ADA, 1))), "Ada"), "Enroll")
    assert said(page) == ["snapshot: accepted as Ada."]
    with Gallery.open(gallery_path, readonly=True) as gallery:
        (sample,) = gallery.samples("Ada")
    assert sample.consent == "asked in person"
    assert any("asked in person" in text.value for text in page.caption)
    assert page.camera_input[0].value is None


def test_lookalikes_and_groups_are_accepted_only_on_request(known):
    page = upload(visit("people"), PHOTOS, {"ada.png": photo_of((ADA, 3)), "all.png": photo_of((EVE, 1), (BOB, 2))})
    press(fill(page, "Eve"), "Enroll")
    assert people(known) == {"Ada": 2, "Bob": 1}
    assert "shows Ada" in said(page)[0] and "2 faces" in said(page)[1]
    labeled(page.checkbox, "Accept people who look like an enrolled person, such as twins").set_value(True)
    labeled(page.checkbox, "Use the largest face if a photo shows several").set_value(True)
    press(page, "Enroll")  # what was filled in is still there
    assert people(known) == {"Ada": 2, "Bob": 1, "Eve": 1}
    assert "does not look like Eve" in said(page)[1]


def test_another_face_under_an_enrolled_name_is_accepted_only_on_request(known):
    page = upload(visit("people"), PHOTOS, {"eve.png": photo_of((EVE, 1))})
    press(fill(page, "Bob"), "Enroll")
    assert people(known) == {"Ada": 2, "Bob": 1}
    (warning,) = said(page)
    assert warning.startswith("eve\\.png: not accepted, does not look like Bob \\(similarity ")
    labeled(page.checkbox, "Accept photos that do not look like the person already enrolled under that name").set_value(
        True
    )
    press(page, "Enroll")
    assert people(known) == {"Ada": 2, "Bob": 2}


def test_a_person_is_renamed_and_a_taken_name_refused(known):
    page = visit("people")
    labeled(page.text_input, "New name").set_value("Bob")
    labeled(page.button, "Rename").click()
    page.run()
    assert page.exception and people(known) == {"Ada": 2, "Bob": 1}  # the frame shows the error, as on every page
    labeled(page.text_input, "New name").set_value("Ada *L*")
    press(page, "Rename")
    assert people(known) == {"Ada *L*": 2, "Bob": 1}
    assert said(page) == ["Renamed Ada to Ada \\*L\\*."]


def test_people_who_look_different_are_merged_after_a_confirmation(known, painted):
    page = visit("people")
    same = labeled(page.selectbox, "Ada is the same person as")
    assert same.options == ["Bob"] and not said(page)
    same.set_value("Bob")
    run(page)
    with Gallery.open(known, readonly=True, recognizer=painted) as gallery:
        similarity = gallery.compare("Ada", "Bob").similarity
    (warning,) = said(page)
    assert warning.startswith(f"Ada and Bob look like different people (similarity {similarity:.3f}).")
    assert labeled(page.button, "Merge into Bob").disabled
    labeled(page.checkbox, "Merge them all the same").set_value(True)
    run(page)
    press(page, "Merge into Bob")
    assert people(known) == {"Bob": 3} and said(page) == ["Ada is now Bob."]
    assert "Ada is the same person as" not in [box.label for box in page.selectbox], "nobody else is left"


def test_one_person_under_two_names_is_merged_without_a_warning(known, painted):
    with Gallery.open(known, recognizer=painted) as gallery:
        gallery.enroll("Ada L", [photo_of((ADA, 5))], allow_similar=True)
    page = visit("people")
    labeled(page.selectbox, "Ada is the same person as").set_value("Ada L")
    assert not said(run(page))
    press(page, "Merge into Ada L")
    assert people(known) == {"Ada L": 3, "Bob": 1}


def test_people_of_another_model_are_merged_after_a_confirmation(known, monkeypatch):
    monkeypatch.setattr(models, "recognizer", lambda: painted_recognizer("second"))
    page = visit("people")
    labeled(page.selectbox, "Ada is the same person as").set_value("Bob")
    assert "cannot be compared" in said(run(page))[0] and labeled(page.button, "Merge into Bob").disabled


def test_a_person_without_a_photo_is_merged_after_a_confirmation(known):
    run_sql(known, "DELETE FROM centroid WHERE person = (SELECT id FROM person WHERE name = 'Bob')")
    page = visit("people")
    labeled(page.selectbox, "Ada is the same person as").set_value("Bob")
    (warning,) = said(run(page))
    assert warning.startswith("Ada cannot be compared with Bob \\(") and "Bob has no photo" in warning
    labeled(page.checkbox, "Merge them all the same").set_value(True)
    run(page)
    press(page, "Merge into Bob")
    assert people(known)["Bob"] == 3


def test_a_person_is_forgotten_after_a_confirmation_and_nothing_is_left(known):
    with Gallery.open(known, readonly=True) as gallery:
        samples = gallery.samples("Ada")
    traces = {b"Ada", b"signed in May"}
    for sample in samples:
        traces |= {sample.source, to_blob(sample.embedding)[:64], sample.crop[500:564]}
    files = [path for path in known.parent.iterdir() if path.is_file()]
    assert set().union(*(search(path, traces) for path in files)) == traces
    page = visit("people")
    assert list(page.dataframe[0].value["Consent"]) == ["signed in May", ""]
    assert sum("signed in May" in text.value for text in page.caption) == 2
    press(page, "Forget Ada permanently")
    assert people(known) == {"Bob": 1}
    assert "Ada is forgotten" in said(page)[0] and "2 photos" in said(page)[0] and "none is left" in said(page)[0]
    assert said(page)[0].endswith("to search for: Ada.]")
    assert not any(search(path, traces) for path in known.parent.iterdir())
    last = json.loads((known.parent / "people.db.audit.jsonl").read_text().splitlines()[-1])
    assert last["action"] == "forget"
    assert labeled(page.selectbox, "Person").options == ["Bob"]


def test_forgetting_a_person_clears_the_session(known, painted):
    watch = Watch(known, painted)
    watch.set_challenge(replace(Challenge.new(), who="Ada"))
    watch.show(paint((ADA, 5)))
    with watch._busy:
        assert watch.latest.verdicts[0].name == "Ada"
    seen = {CACHE: OrderedDict(a=1), "snapshots": {"a": []}, "identified": {"a": 1}, "watch": watch}
    page = visit("people")
    for key, value in seen.items():
        page.session_state[key] = value
    press(page, "Forget Ada permanently")
    assert not [key for key in seen if key in page.session_state]
    end = time.monotonic() + 10
    while watch.challenge is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert watch.challenge is None and watch.latest is None and watch._gallery is None
