"""The Webcam page without a browser: what it says of frames, of the camera and of the challenge."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from app_pages import ADA, BOB, EVE, labeled, photo_of, press, run, said, visit
from painted_people import BLURRED, CALIBRATION, paint, painted_recognizer

from vision_app import Gallery
from vision_app.core.results import Detections
from vision_app.faces.challenge import LOOK_AHEAD
from vision_app.faces.detector import FaceDetector
from vision_app.faces.recognizer import FaceRecognizer
from vision_app.ui import models, webcam
from vision_app.ui.webcam import ASKED, FAILED, NO_PROOF, ONE

pytestmark = pytest.mark.slow


class Frame:
    """A frame of a video as the WebRTC package gives and takes it."""

    def __init__(self, pixels):
        self.pixels = pixels

    def to_ndarray(self, format):
        assert format == "rgb24"
        return self.pixels

    @staticmethod
    def from_ndarray(pixels, format):
        assert format == "rgb24"
        return Frame(pixels)


class Camera:
    """Stands in for the WebRTC package: a video of one frame for each run of the page; none while it is off."""

    def __init__(self):
        self.people, self.options, self.shown = None, None, None

    def __call__(self, key, *, video_frame_callback, on_video_ended, **options):
        self.options, self.watch = options, on_video_ended.__self__
        if self.people is not None:
            self.shown = video_frame_callback(Frame(paint(*self.people))).pixels
            with self.watch._busy:
                pass
        return SimpleNamespace(state=SimpleNamespace(playing=self.people is not None))

    def see(self, page, *people):
        """Run the page with a frame that shows people, each a number and the number of a photo."""
        self.people = people
        return run(page)


def test_the_video_is_not_searched_for_faces_in_turned_copies(monkeypatch):
    grid = SimpleNamespace(name="any", models=(), classes=("face",), defaults={}, runtime="onnx", device="cpu")
    full = FaceRecognizer(FaceDetector(grid, checker=SimpleNamespace(model=None)), embedder=object())
    monkeypatch.setattr(models, "recognizer", lambda: full)
    found = webcam.quick()
    assert (full.detector.turned, found.detector.turned) == (True, False)
    assert (found.detector.detector, found.detector.checker) == (grid, full.detector.checker)
    assert found.detector.smallest == webcam.SMALLEST > full.detector.smallest and found.embedder is full.embedder


@pytest.fixture
def camera(painted, monkeypatch):
    camera = Camera()
    monkeypatch.setattr("streamlit_webrtc.webrtc_streamer", camera)
    monkeypatch.setattr(webcam, "quick", models.recognizer)
    return camera


def numbers(similarity, threshold, rate, model_id="first"):
    return f"  \nCosine similarity {similarity:.3f} (threshold {threshold:.3f})  \n{rate}, model id {model_id}"


def test_everyone_at_the_camera_gets_a_name_or_none(camera, known, painted):
    page = camera.see(visit("webcam"), (ADA, 5), (EVE, 1))
    with Gallery.open(known, readonly=True, recognizer=painted) as gallery:
        ada, eve = gallery.identify(photo_of((ADA, 5), (EVE, 1))).faces
    threshold, rate = CALIBRATION.identify_threshold(2), "False positive rate 1 in 100"
    assert [box.value for box in page.success] == [f"**Ada**{numbers(ada.similarity, threshold, rate)}"]
    assert [box.value for box in page.info] == [f"**unknown**{numbers(eve.similarity, threshold, rate)}"]
    assert "frames per second" in page.caption[0].value and "seconds ago" in page.caption[0].value
    assert "%" not in " ".join(said(page) + [text.value for text in page.caption])
    assert said(camera.see(page)) == ["No face in view."]


def test_one_person_is_verified_at_the_chosen_rate(camera, known, painted):
    page = visit("webcam")
    labeled(page.segmented_control, "Mode").set_value(ONE)
    run(page)
    labeled(page.selectbox, "Person").set_value("Bob")
    labeled(page.select_slider, "False accept rate").set_value(0.1)
    page = camera.see(page, (ADA, 5), (BOB, 5))
    with Gallery.open(known, readonly=True, recognizer=painted) as gallery:
        ada, bob = (gallery.verify(photo_of((person, 5)), "Bob", far=0.1) for person in (ADA, BOB))
    rate = "False accept rate 1 in 10"
    assert [box.value for box in page.success] == [f"**Bob** · same{numbers(bob.similarity, bob.threshold, rate)}"]
    assert [box.value for box in page.error] == [f"**unknown** · different{numbers(ada.similarity, 0.3, rate)}"]


def test_a_face_that_is_hard_to_recognize_is_uncertain_in_both_modes(camera, known):
    words = "**uncertain:** this face is blurred. Use a sharper photo."
    page = camera.see(visit("webcam"), (ADA, BLURRED), (BOB, 5))
    assert [box.value for box in page.warning] == [words] and page.success[0].value.startswith("**Bob**")
    labeled(page.segmented_control, "Mode").set_value(ONE)
    page = camera.see(page, (ADA, BLURRED), (BOB, BLURRED))
    assert [box.value for box in page.warning] == [words] * 2 and not page.success and not page.error


def test_the_camera_gives_video_without_sound_and_no_server_is_asked(camera, known):
    page = visit("webcam")
    assert camera.options["rtc_configuration"] == {"iceServers": []}
    assert camera.options["media_stream_constraints"]["audio"] is False
    assert not said(page)
    (how,) = [text.value for text in page.markdown if "allow the camera" in text.value]
    assert "localhost" in how and "Verify page" in how and "no video is stored" in how


def test_objects_are_detected_beside_faces_if_switched_on(camera, known, monkeypatch):
    def cup(image):
        return Detections([[0, 0, 60, 50]], [0.75], ["cup"], image.width, image.height, "finder")

    monkeypatch.setattr(models, "detector", lambda name: cup)
    page = camera.see(visit("webcam"), (ADA, 5))
    assert camera.watch.latest.detections.labels == ("Ada",)
    labeled(page.toggle, "Detect objects as well").set_value(True)
    page = camera.see(page, (ADA, 5))
    assert camera.watch.latest.detections.labels == ("Ada", "cup")
    camera.see(page, (ADA, 5))
    assert (camera.shown != paint((ADA, 5)))[30:50, :8].any()  # the edge of the cup


def test_the_challenge_is_off_by_default_and_states_its_limits(camera, known):
    page = camera.see(visit("webcam"), (ADA, 5))
    assert camera.watch.challenge is None and NO_PROOF not in [text.value for text in page.caption]

    labeled(page.toggle, "Challenge").set_value(True)
    page = camera.see(page)
    assert said(page)[0].startswith(ASKED[LOOK_AHEAD]) and labeled(page.button, "New challenge").disabled
    assert NO_PROOF in [text.value for text in page.caption]

    page = camera.see(page, (ADA, 5))
    first = camera.watch.challenge
    assert f"**{ASKED[first.moves[0]]}** (0 of 3 done)" in said(page)
    page = camera.see(page, (ADA, 5), (BOB, 5))
    assert camera.watch.challenge.moves == first.moves  # it continues from run to run

    press(page, "New challenge")
    assert camera.watch.challenge.who is None or camera.watch.challenge.since > first.since
    labeled(page.toggle, "Challenge").set_value(False)
    camera.see(page, (ADA, 5))
    assert camera.watch.challenge is None


def test_the_page_says_how_a_challenge_ended(camera, known):
    page = visit("webcam")
    labeled(page.toggle, "Challenge").set_value(True)
    camera.watch.clock = lambda: 100.0
    page = camera.see(page, (ADA, 5))
    begun = camera.watch.challenge
    camera.watch.set_challenge(replace(begun, passed=True))
    assert camera.see(page, (ADA, 5)).success[0].value.startswith("Challenge passed by Ada")
    for failure, why in FAILED.items():
        camera.watch.set_challenge(replace(begun, failure=failure))
        assert camera.see(page, (ADA, 5)).error[0].value == f"Challenge failed: {why}."


def test_a_gallery_of_another_model_gets_the_command_that_helps(camera, known, monkeypatch):
    monkeypatch.setattr(webcam, "quick", lambda: painted_recognizer("second"))
    page = camera.see(visit("webcam"), (ADA, 5))
    assert "faces reembed" in page.error[0].value.replace("\\", "") and not page.success


def test_without_people_or_the_package_the_page_says_what_to_do(camera, gallery_path, monkeypatch):
    assert "People page" in said(visit("webcam"))[0] and not gallery_path.exists()
    monkeypatch.setattr(webcam, "find_spec", lambda name: None)
    (text,) = said(visit("webcam"))
    assert "vision-app[webcam]" in text and "Verify page" in text
