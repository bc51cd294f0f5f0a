"""The Webcam page: live video that says whose each face is."""

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import streamlit as st

from vision_app import FaceRecognizer
from vision_app.core.errors import VisionAppError
from vision_app.core.text import escape
from vision_app.faces import challenge as steps
from vision_app.faces.challenge import Challenge
from vision_app.faces.gallery.live import LiveResult, LiveVerdict, Question, Watch
from vision_app.faces.gallery.results import KNOWN, UNKNOWN
from vision_app.faces.results import DIFFERENT, SAME, UNCERTAIN
from vision_app.released.names import DETECTOR
from vision_app.ui import models
from vision_app.ui.widgets import faces

EVERYONE, ONE = "Recognize everyone", "Verify one person"
SMALLEST = 48.0  # pixels of a face: smaller ones would take several passes over each frame
REFRESH = 0.5  # seconds from one report to the next
NO_PACKAGE = (
    "Live video needs another package: install `vision-app[webcam]` and restart the page. Snapshots need none: choose "
    "the camera on the Verify page."
)
CAMERA = """
Press **START** and allow the camera when the browser asks. Browsers offer it only to pages of the same machine, such as
`http://localhost:8501`, or over HTTPS.

The video goes from the browser to the program on this machine and back over UDP, so it does not work from another
network, in a container or behind a strict firewall; there, take snapshots on the Verify page. No other server is
involved and no video is stored. The gallery's audit log gets a line when a person appears.
"""
NO_PROOF = (
    "The challenge makes it harder to hold up a photo. It does not protect against a video with the right moves, a "
    "mask or an animated photo: it does not prove that a live person is in front of the camera."
)
ASKED = {
    steps.LOOK_AHEAD: "Look straight ahead",
    steps.TURN_LEFT: "Turn your head to your left",
    steps.TURN_RIGHT: "Turn your head to your right",
    steps.MOVE_CLOSER: "Move closer to the camera",
}
FAILED = {
    steps.TOO_SLOW: f"each move must be made within {steps.LIMIT:.0f} seconds",
    steps.WRONG_MOVE: "a different move was asked for",
    steps.OUT_OF_SIGHT: "exactly one face must stay in view",
    steps.SOMEONE_ELSE: "the face must stay the same and in its place",
    steps.NOT_RECOGNIZED: "the face must stay recognizable",
}
SHOWN = {SAME: st.success, KNOWN: st.success, DIFFERENT: st.error, UNCERTAIN: st.warning, UNKNOWN: st.info}


def page() -> None:
    """Draw the page."""
    st.title("Live webcam", anchor=False)
    if find_spec("streamlit_webrtc") is None:
        st.info(NO_PACKAGE, icon=":material/extension:")
        return
    path = faces.gallery_file()
    with faces.open_gallery(path) as (_, people):
        names = [one.name for one in people]
    watch = watch_of(path)
    watch.question, challenged = settings(names)
    if challenged != (watch.challenge is not None):
        watch.set_challenge(Challenge.new() if challenged else None)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        playing = stream(watch)
        with st.expander("Camera access and where the video goes", icon=":material/videocam:"):
            st.markdown(CAMERA)
    with right:
        if playing:
            st.fragment(report, run_every=REFRESH)(watch)
        st.caption(faces.LIMITS)
        if challenged:
            st.caption(NO_PROOF)


def watch_of(path: Path) -> Watch:
    """Return the session's watch over its video, a new one for another gallery."""
    watch: Watch | None = st.session_state.get("watch")
    if watch is None or watch.path != path:
        if watch is not None:
            watch.stop()
        watch = st.session_state["watch"] = Watch(path, quick())
    return watch


def quick() -> FaceRecognizer:
    """Return a recognizer for the faces of people in front of a camera."""
    full = models.recognizer()
    finder = copy.copy(full.detector)
    finder.smallest, finder.turned = SMALLEST, False
    return FaceRecognizer(finder, full.embedder)


def settings(people: list[str]) -> tuple[Question, bool]:
    """Draw what can be asked of the video; return it, and whether a challenge is wanted."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        mode = st.segmented_control("Mode", [EVERYONE, ONE], default=EVERYONE, required=True)
        person = st.selectbox("Person", people) if mode == ONE else None
    with st.sidebar:
        rate = faces.far_slider(models.recognizer().calibration) if mode == ONE else faces.fpir_slider()
    with st.container(horizontal=True):
        objects = models.detector(DETECTOR) if st.toggle("Detect objects as well") else None
        challenged = st.toggle("Challenge", help=f"Asks for head movements in random order. {NO_PROOF}")
    return Question(person, rate, objects), challenged


def stream(watch: Watch) -> bool:
    """Draw the video; return whether it is playing."""
    from streamlit_webrtc import webrtc_streamer  # its import takes a while, and no other page needs it

    def show(frame: Any) -> Any:
        return frame.from_ndarray(watch.show(frame.to_ndarray(format="rgb24")), format="rgb24")

    context = webrtc_streamer(
        "webcam",
        rtc_configuration={"iceServers": []},  # without the list, a server outside of this machine would be asked
        media_stream_constraints={"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}, "audio": False},
        video_frame_callback=show,
        on_video_ended=watch.stop,
    )
    return bool(context.state.playing)


def report(watch: Watch) -> None:
    """Draw what was seen last; repeated while the video plays."""
    now, seen, error, challenge = watch.clock(), watch.latest, watch.error, watch.challenge
    pace = (
        f"{watch.frames.per_second(now):.1f} frames per second, {watch.analyzed.per_second(now):.1f} of them analyzed"
    )
    st.caption(pace if seen is None else f"{pace}, the last one {now - seen.seconds:.1f} seconds ago")
    if challenge is not None:
        progress(challenge)
        if st.button("New challenge", disabled=challenge.who is None):
            watch.set_challenge(Challenge.new())
    if isinstance(error, VisionAppError):
        st.error(escape(str(error)), icon=":material/error:")
    elif error is not None:
        raise error
    elif seen is not None:
        for verdict in seen.verdicts:
            face(verdict, seen)
        if not seen.verdicts:
            st.info("No face in view.")


def face(verdict: LiveVerdict, seen: LiveResult) -> None:
    """Draw the verdict on one face and the numbers behind it."""
    if verdict.quality.reasons:  # no rate holds for such a face
        SHOWN[UNCERTAIN](f"**{UNCERTAIN}:** this face is {faces.remedy(verdict.quality)}")
        return
    words = f"**{escape(verdict.label)}**"
    kind = "positive" if verdict.verdict in (KNOWN, UNKNOWN) else "accept"
    if kind == "accept" and verdict.verdict != UNCERTAIN:
        words += f" · {verdict.verdict}"
    if verdict.similarity is not None and seen.threshold is not None:
        rate = f"False {kind} rate {faces.one_in(seen.rate)}"
        words += f"  \n{faces.numbers(verdict.similarity, seen.threshold, rate, seen.model_id)}"
    SHOWN[verdict.verdict](words)


def progress(challenge: Challenge) -> None:
    """Draw what a challenge asks for now, or how it ended."""
    if challenge.passed:
        who = escape(challenge.who or "")
        st.success(f"Challenge passed by {who}, in view and recognized since.", icon=":material/verified:")
    elif challenge.failure:
        st.error(f"Challenge failed: {FAILED[challenge.failure]}.", icon=":material/do_not_disturb_on:")
    elif challenge.asked and challenge.who is None:
        st.info(f"{ASKED[challenge.asked]}, alone: the challenge starts once your face is recognized.")
    elif challenge.asked:
        done = f"{challenge.done} of {len(challenge.moves)} done"
        st.info(f"**{ASKED[challenge.asked]}** ({done})", icon=":material/arrow_forward:")
