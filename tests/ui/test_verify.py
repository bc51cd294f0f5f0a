"""The Verify page: verdicts are those of the Python door, whatever way the faces come."""

import json

import pytest
from app_pages import ADA, BOB, EVE, labeled, photo_of, press, run, said, snap, upload, visit
from painted_people import BLURRED, CALIBRATION

from vision_app import Gallery
from vision_app.faces.results import DIFFERENT, SAME, UNCERTAIN
from vision_app.ui.verify import ENROLLED, SNAPSHOTS
from vision_app.ui.widgets.faces import one_in
from vision_app.ui.widgets.inputs import CAMERA

pytestmark = pytest.mark.slow

WORDS = {SAME: "Same person", DIFFERENT: "Different people", UNCERTAIN: "Uncertain"}


@pytest.fixture
def known(painted, gallery_path):
    """A gallery that knows Ada by two photos, the first one better, and Bob."""
    with Gallery.open(gallery_path, recognizer=painted) as gallery:
        gallery.enroll("Ada", [photo_of((ADA, 1)), photo_of((ADA, 2))])
        gallery.enroll("Bob", [photo_of((BOB, 1))])
    return gallery_path


def compare(page, first: bytes, second: bytes):
    upload(page, "First image", {"a.png": first})
    return run(upload(page, "Second image", {"b.png": second}))


def enrolled(name: str, *, camera: bool = False):
    """The page, comparing with an enrolled person."""
    page = visit("verify")
    page.segmented_control[0].set_value(ENROLLED)
    run(page)
    labeled(page.selectbox, "Person").set_value(name)
    if camera:
        labeled(page.segmented_control, "Image source").set_value(CAMERA)
    return run(page)


def expected(answer) -> str:
    """What the page is to say of a verification."""
    numbers = f"Cosine similarity {answer.similarity:.3f} (threshold {answer.threshold:.3f})"
    rate = f"False accept rate 1 in {1 / answer.far:,.0f}"
    return f"**{WORDS[answer.verdict]}**  \n{numbers}  \n{rate}, model id {answer.model_id}"


@pytest.mark.parametrize(("second", "verdict"), [((ADA, 2), SAME), ((BOB, 1), DIFFERENT)])
def test_two_images_get_the_verdict_of_the_recognizer(painted, second, verdict):
    answer = painted.verify(photo_of((ADA, 1)), photo_of(second))
    assert answer.verdict == verdict and answer.far == 0.001
    page = compare(visit("verify"), photo_of((ADA, 1)), photo_of(second))
    assert said(page) == [expected(answer)]
    assert "%" not in " ".join(said(page) + [text.value for text in page.caption])
    assert sum("easy to recognize" in text.value for text in page.caption) == 2


def test_the_slider_offers_the_measured_rates_and_runs_no_network_again(painted, monkeypatch):
    page = compare(visit("verify"), photo_of((ADA, 1)), photo_of((EVE, 3)))
    slider = labeled(page.select_slider, "False accept rate")
    assert list(slider.options) == [one_in(far) for far in CALIBRATION.fars] and slider.value == 0.001
    answer = painted.verify(photo_of((ADA, 1)), photo_of((EVE, 3)), far=0.1)
    monkeypatch.setattr(painted.embedder, "embed", lambda chips: pytest.fail("a network ran"))
    slider.set_value(0.1)
    assert said(run(page)) == [expected(answer)]


def test_near_the_threshold_the_verdict_is_uncertain(painted, monkeypatch):
    monkeypatch.setattr(type(CALIBRATION), "band", lambda self, far: (-1, 1))
    page = compare(visit("verify"), photo_of((ADA, 1)), photo_of((ADA, 2)))
    said = "**Uncertain:** too close to tell: different below -1.000, the same from 1.000."
    assert said in page.warning[0].value and not page.success and not page.error


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ((ADA, BLURRED), (ADA, 1), "the face in photo 1 is blurred. Use a sharper photo."),
        ((ADA, 1), (BOB, BLURRED), "the face in photo 2 is blurred. Use a sharper photo."),
        (
            (ADA, BLURRED),
            (ADA, BLURRED),
            "the face in photo 1 is blurred. Use a sharper photo. The face in photo 2 is blurred. Use a sharper photo.",
        ),
    ],
)
def test_a_face_that_is_hard_to_recognize_is_uncertain_and_says_what_helps(painted, first, second, why):
    page = compare(visit("verify"), photo_of(first), photo_of(second))
    assert page.warning[0].value.split("  \n")[0] == f"**Uncertain:** {why}" and not page.success and not page.error


def test_an_enrolled_person_and_a_poor_image_are_uncertain(known):
    page = run(upload(enrolled("Bob"), "Image", {"me.png": photo_of((ADA, BLURRED))}))
    assert page.warning[0].value.startswith("**Uncertain:** the face in the photo is blurred. Use a sharper photo.  \n")


def test_images_without_one_good_face_say_why(painted):
    page = compare(visit("verify"), photo_of(), photo_of((ADA, BLURRED)))
    assert [error.value for error in page.error] == ["a\\.png\\: no face found"] and not page.success
    assert any("hard to recognize: blurred" in text.value for text in page.caption)
    page = compare(page, photo_of((ADA, 1), (BOB, 1)), b"no image")
    assert "shows 2 faces" in page.error[0].value and "not an image" in page.error[1].value
    labeled(page.checkbox, "Use the largest face").set_value(True)
    page = compare(page, photo_of((ADA, 1), (BOB, 1)), photo_of((ADA, 2)))
    assert "**Same person**" in said(page)[0]


def test_an_enrolled_person_is_compared_with_an_image(painted, known):
    page = run(upload(enrolled("Ada"), "Image", {"me.png": photo_of((ADA, 7))}))
    with Gallery.open(known, readonly=True, recognizer=painted) as gallery:
        assert said(page) == [expected(gallery.verify(photo_of((ADA, 7)), "Ada"))]
    assert any("the mean of 2 photos" in text.value for text in page.caption)
    page = run(upload(enrolled("Bob"), "Image", {"me.png": photo_of((ADA, 7))}))
    assert "**Different people**" in said(page)[0]
    actions = [json.loads(line)["action"] for line in (known.parent / "people.db.audit.jsonl").read_text().splitlines()]
    assert actions[-3:] == ["verify"] * 3


def test_the_best_of_three_snapshots_is_used(painted, known):
    shots = [
        photo_of((ADA, BLURRED)),
        photo_of((ADA, 5)),
        photo_of((ADA, BLURRED), (ADA, BLURRED)),
        photo_of((ADA, 6)),
    ]
    best = max(shots[1], shots[3], key=lambda shot: painted.face(shot).quality.score)
    page = enrolled("Ada", camera=True)
    for number, shot in enumerate(shots, 1):
        run(snap(page, shot))
        if number == 3:
            assert "shows 2 faces" in page.warning[0].value and "take another" in page.warning[0].value
        assert bool(page.camera_input) == (number < len(shots))
    with Gallery.open(known, readonly=True, recognizer=painted) as gallery:
        assert said(page) == [expected(gallery.verify(best, "Ada"))]
    press(page, "Start over")
    assert not said(page) and labeled(page.camera_input, f"Snapshot 1 of {SNAPSHOTS} (the best one is used)")


def test_a_verdict_from_the_camera_is_about_the_person_there_now(painted, known):
    first = f"Snapshot 1 of {SNAPSHOTS} (the best one is used)"
    page = enrolled("Ada", camera=True)
    for number in range(5, 5 + SNAPSHOTS):
        run(snap(page, photo_of((ADA, number))))
    assert "**Same person**" in said(page)[0]
    assert not said(run(page)) and labeled(page.camera_input, first)  # nothing is left for who sits down next

    run(snap(page, photo_of((ADA, 5))))
    run(snap(page, photo_of((BOB, 6))))
    assert "a different person than the snapshots before" in page.warning[0].value
    run(snap(page, photo_of((ADA, 6))))
    assert "Snapshot 3" in page.camera_input[0].label
    labeled(page.selectbox, "Person").set_value("Bob")
    assert labeled(run(page).camera_input, first)
    for number in range(5, 5 + SNAPSHOTS):
        run(snap(page, photo_of((BOB, number))))
    with Gallery.open(known, readonly=True, recognizer=painted) as gallery:
        best = max((photo_of((BOB, n)) for n in (5, 6, 7)), key=lambda shot: painted.face(shot).quality.score)
        assert said(page) == [expected(gallery.verify(best, "Bob"))]


def test_without_people_the_page_says_where_they_come_from(painted, gallery_path):
    page = visit("verify")
    page.segmented_control[0].set_value(ENROLLED)
    assert "People page" in said(run(page))[0] and not gallery_path.exists()
