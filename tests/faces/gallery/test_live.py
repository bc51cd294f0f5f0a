"""Live video: the newest frame only, verdicts as the gallery gives them, nothing kept."""

import json
import time
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painted_people import BLURRED, paint, painted_recognizer, photo

from vision_app import Gallery, draw
from vision_app.core.errors import UsageError
from vision_app.core.results import Detections
from vision_app.faces.challenge import LOOK_AHEAD, Challenge
from vision_app.faces.gallery.live import FRESH, PERIOD, FrameRate, Question, Watch
from vision_app.faces.gallery.results import KNOWN
from vision_app.faces.results import DIFFERENT, SAME, UNCERTAIN

ADA, BOB, STRANGER = (1, 1), (2, 1), (9, 1)


@pytest.fixture
def path(tmp_path):
    """The file of a gallery with two people."""
    with Gallery.open(tmp_path / "people.db", recognizer=painted_recognizer()) as gallery:
        for name, person in (("Ada", 1), ("Bob", 2)):
            gallery.enroll(name, [photo(tmp_path / f"{name}.png", (person, 2))])
    return tmp_path / "people.db"


@pytest.fixture
def watch(path):
    return Watch(path, painted_recognizer())


def analyze(watch, frame):
    """Show a frame and wait until it was analyzed; return the result."""
    watch.show(frame)
    with watch._busy:
        return watch.latest


class SlowRecognizer:
    """A recognizer that waits for a signal before each image, and keeps the images."""

    def __init__(self):
        self._inner, self.go, self.images = painted_recognizer(), Event(), []
        self.model_id, self.calibration = self._inner.model_id, self._inner.calibration

    def __call__(self, image):
        self.images.append(image.pixels.copy())
        assert self.go.wait(20)
        return self._inner(image)


def test_known_people_get_their_names_and_strangers_none(watch, path):
    seen = analyze(watch, paint(ADA, STRANGER, BOB))
    assert [one.name for one in seen.verdicts] == ["Ada", None, "Bob"]
    assert [one.verdict for one in seen.verdicts] == [KNOWN, "unknown", KNOWN]
    with Gallery.open(path, readonly=True, recognizer=painted_recognizer()) as gallery:
        wanted = gallery.identify(paint(ADA, STRANGER, BOB))
    assert [one.similarity for one in seen.verdicts] == [one.similarity for one in wanted.faces]
    assert (seen.threshold, seen.rate, seen.model_id) == (wanted.threshold, 0.01, wanted.model_id)
    np.testing.assert_array_equal(seen.detections.boxes, [one.box for one in wanted.faces])
    assert seen.detections.labels == ("Ada", "unknown", "Bob")
    assert list(seen.captions) == wanted.captions


def test_one_person_is_verified_at_the_given_rate(watch, path):
    watch.question = Question("Bob", rate=0.1)
    seen = analyze(watch, paint(ADA, BOB))
    assert [(one.name, one.verdict) for one in seen.verdicts] == [(None, DIFFERENT), ("Bob", SAME)]
    with Gallery.open(path, readonly=True, recognizer=painted_recognizer()) as gallery:
        wanted = gallery.verify(paint(BOB), "Bob", far=0.1)
    assert seen.verdicts[1].similarity == pytest.approx(wanted.similarity, abs=1e-6)
    assert (seen.threshold, seen.rate, seen.model_id) == (wanted.threshold, 0.1, wanted.model_id)
    assert seen.captions[1] == f"Bob {wanted.similarity:.2f} same"
    assert seen.captions[0] == f"unknown {seen.verdicts[0].similarity:.2f} different"


@pytest.mark.parametrize("question", [Question(), Question("Ada"), Question("Bob")])
def test_a_face_that_is_hard_to_recognize_is_uncertain(watch, question):
    watch.question = question
    seen = analyze(watch, paint((1, BLURRED), BOB))
    bad, bob = seen.verdicts
    assert (bad.name, bad.verdict, bad.label, bad.quality.reasons) == (None, UNCERTAIN, UNCERTAIN, ("blurred",))
    assert seen.captions[0] == f"uncertain {bad.similarity:.2f}" and seen.detections.labels[0] == "uncertain"
    assert bob.verdict in (KNOWN, SAME, DIFFERENT)


def test_a_frame_shows_the_latest_result_while_it_is_fresh(path):
    now = 100.0
    watch = Watch(path, painted_recognizer(), lambda: now)
    frame, later = paint(ADA), np.zeros_like(paint(ADA))
    np.testing.assert_array_equal(watch.show(frame), frame)  # nothing was seen yet
    with watch._busy:
        seen = watch.latest
    now += FRESH
    np.testing.assert_array_equal(watch.show(later), draw(later, seen.detections, seen.captions))
    with watch._busy:
        assert watch.latest.verdicts == () and watch.latest.seconds == now  # nobody is there
    np.testing.assert_array_equal(watch.show(later), later)
    with watch._busy:
        pass

    assert analyze(watch, frame).verdicts
    now += 1.01 * FRESH
    np.testing.assert_array_equal(watch.show(later), later)


def test_frames_never_wait_and_only_the_newest_is_analyzed(path):
    recognizer = SlowRecognizer()
    watch = Watch(path, recognizer)
    start = time.monotonic()
    frames = [paint((1, number)) for number in range(1, 30)]
    for frame in frames:
        watch.show(frame)
    assert time.monotonic() - start < 10  # an analysis would have waited for twice that
    recognizer.go.set()
    with watch._busy:
        np.testing.assert_array_equal(recognizer.images, frames[:1])
    analyze(watch, frames[7])
    np.testing.assert_array_equal(recognizer.images, [frames[0], frames[7]])


def test_objects_are_drawn_beside_faces(watch):
    class Finder:
        def __call__(self, image):
            return Detections([[0, 0, 50, 40]], [0.75], ["cup"], image.width, image.height, "finder")

    watch.question = Question(objects=Finder())
    seen = analyze(watch, paint(ADA))
    assert seen.detections.labels == ("Ada", "cup") and seen.captions[1] == "cup 0.75"
    assert len(seen.verdicts) == 1


def test_enrolled_and_forgotten_people_count_from_the_next_frame_on(watch, path, tmp_path):
    assert [one.name for one in analyze(watch, paint(ADA, STRANGER)).verdicts] == ["Ada", None]
    with Gallery.open(path, recognizer=painted_recognizer()) as gallery:
        gallery.forget("Ada")
        gallery.enroll("Eve", [photo(tmp_path / "eve.png", (9, 2))])
    assert [one.name for one in analyze(watch, paint(ADA, STRANGER)).verdicts] == [None, "Eve"]


def test_errors_are_kept_and_the_video_continues(tmp_path, watch):
    lost = Watch(tmp_path / "none.db", painted_recognizer())
    frame = paint(ADA)
    assert analyze(lost, frame) is None
    assert isinstance(lost.error, UsageError) and "none.db" in str(lost.error)
    np.testing.assert_array_equal(lost.show(frame), frame)

    watch.question = Question("Carol")
    assert analyze(watch, frame) is None and "Carol" in str(watch.error)
    watch.question = Question("Ada")
    assert analyze(watch, frame).verdicts[0].verdict == SAME and watch.error is None


def test_the_audit_log_notes_who_appears_and_not_how_long(watch, path):
    for frame in (paint(), paint(ADA), paint(ADA), paint(ADA, BOB), paint(STRANGER), paint(ADA)):
        analyze(watch, frame)
    watch.question = Question("Bob")
    for _ in range(3):
        analyze(watch, paint(BOB))
    rows = [json.loads(line) for line in path.with_name("people.db.audit.jsonl").read_text().splitlines()]
    with Gallery.open(path, readonly=True) as gallery:
        ada, bob = (f"{one.id:016x}" for one in gallery.people())
    rows = [(row["action"], row["people"]) for row in rows if row["action"] in ("identify", "verify")]
    assert rows == [("identify", []), ("identify", [ada]), ("identify", sorted([ada, bob])), ("verify", [bob])]


def test_the_challenge_sees_one_known_face_and_no_other(watch):
    watch.set_challenge(Challenge.new())
    for frame in (paint(), paint(STRANGER), paint(ADA, BOB)):
        analyze(watch, frame)
        assert watch.challenge.asked == LOOK_AHEAD and watch.challenge.who is None
    analyze(watch, paint(ADA))
    assert watch.challenge.who == "Ada" and watch.challenge.asked == watch.challenge.moves[0]
    watch.set_challenge(None)
    analyze(watch, paint(ADA))
    assert watch.challenge is None


def test_nothing_is_kept_when_the_video_is_over(watch, path):
    watch.set_challenge(Challenge.new())
    analyze(watch, paint(ADA))
    watch.stop()
    for _ in range(200):
        if watch.latest is None:
            break
        time.sleep(0.01)
    with watch._busy:
        assert watch._gallery is None and watch.latest is None and watch.challenge is None
    assert analyze(watch, paint(ADA)).verdicts[0].name == "Ada"  # another video


@given(st.lists(st.floats(0, 100), max_size=50).map(sorted), st.floats(0, 10))
def test_the_frame_rate_counts_the_last_seconds(times, wait):
    pace, now = FrameRate(), (times[-1] if times else 0) + wait
    for seconds in times:
        pace.count(seconds)
    assert pace.per_second(now) == pytest.approx(len([t for t in times if now - t < PERIOD]) / PERIOD)
