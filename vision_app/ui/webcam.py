"""The Webcam page: live video, and over each face who it is."""

from importlib.util import find_spec
from pathlib import Path

import streamlit as st

from vision_app import FaceRecognizer
from vision_app.core.errors import VisionAppError
from vision_app.faces.challenge import (
    LIMIT,
    LOOK_AHEAD,
    MOVE_CLOSER,
    NOT_RECOGNIZED,
    OUT_OF_SIGHT,
    SOMEONE_ELSE,
    TOO_SLOW,
    TURN_LEFT,
    TURN_RIGHT,
    WRONG_MOVE,
    Challenge,
)
from vision_app.faces.detector import FaceDetector
from vision_app.faces.gallery.results import UNKNOWN
from vision_app.faces.live import KNOWN, LiveResult, LiveVerdict, Question, Watch
from vision_app.faces.results import DIFFERENT, SAME, UNCERTAIN
from vision_app.ui import faces, identify, models, verify
from vision_app.ui.text import plain

EVERYBODY, ONE = "Recognize everybody", "Verify one person"
SMALLEST = 48.0  # pixels of a face: smaller ones would take several looks at each frame
OBJECTS = "yolo"
REFRESH = 0.5  # seconds from one report to the next
NO_PACKAGE = (
    "Live video needs one more package, `streamlit-webrtc`: install `vision-app[webcam]` and start the page anew. "
    "Snapshots need nothing: choose the camera on the page Verify."
)
CAMERA = """
Press **START** and allow the camera when the browser asks; the sign beside the page's address takes that back or gives
it later.

Browsers lend the camera only to a page of the same machine, such as `http://localhost:8501`, or to one behind HTTPS.
The video goes from the browser to the program on this machine and back over UDP. No other server is asked for anything,
so it does not work from another network, in a container, or where a firewall forbids it. Snapshots do: choose the
camera on the page Verify.

Nothing of the video is stored. The gallery's audit log gets a line when somebody appears.
"""
NO_PROOF = (
    "The challenge makes it harder to hold up a photo. It does not protect from a video that shows the right moves, "
    "from a mask, or from a picture that a program moves: it is no proof that somebody is alive or really there."
)
ASKED = {
    LOOK_AHEAD: "Look straight ahead",
    TURN_LEFT: "Turn your head to your left",
    TURN_RIGHT: "Turn your head to your right",
    MOVE_CLOSER: "Move closer to the camera",
}
FAILED = {
    TOO_SLOW: f"there are {LIMIT:.0f} seconds for each move",
    WRONG_MOVE: "another move was asked",
    OUT_OF_SIGHT: "exactly one face must stay in sight",
    SOMEONE_ELSE: "the face must stay the same, and where it is",
    NOT_RECOGNIZED: "the face must stay one that is recognized",
}
SHOWN = {SAME: st.success, KNOWN: st.success, DIFFERENT: st.error, UNCERTAIN: st.warning, UNKNOWN: st.info}


def page() -> None:
    """Draw the page."""
    st.title("See who is at the webcam", anchor=False)
    if find_spec("streamlit_webrtc") is None:
        st.info(NO_PACKAGE, icon=":material/extension:")
        return
    path = faces.gallery_file()
    if path is None:
        return
    with faces.reading(path) as gallery:
        people = [one.name for one in gallery.people()] if gallery else []
    if not people:
        st.info("Nobody is enrolled yet: that is done on the page People.")
        return
    watch = watch_of(path)
    watch.question, challenged = settings(people)
    if challenged != (watch.challenge is not None):
        watch.set_challenge(Challenge.new() if challenged else None)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        playing = stream(watch)
        with st.expander("The camera, and where the video goes", icon=":material/videocam:"):
            st.markdown(CAMERA)
    with right:
        if playing:
            st.fragment(report, run_every=REFRESH)(watch)
        st.caption(faces.LIMITS)
        if challenged:
            st.caption(NO_PROOF)


def watch_of(path: Path) -> Watch:
    """Return the session's watch over its video, a new one where the gallery is another."""
    watch = st.session_state.get("watch")
    if watch is None or watch.path != path:
        if watch is not None:
            watch.stop()
        watch = st.session_state["watch"] = Watch(path, quick())
    return watch


def quick() -> FaceRecognizer:
    """Return what finds and knows faces of people who sit before a camera."""
    full = models.recognizer()
    return FaceRecognizer(FaceDetector(full.detector.detector, smallest=SMALLEST), full.embedder)


def settings(people: list[str]) -> tuple[Question, bool]:
    """Draw what can be asked of the video; return it, and whether there is to be a challenge."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        mode = st.segmented_control("What to do", [EVERYBODY, ONE], default=EVERYBODY, required=True)
        person = st.selectbox("Person", people) if mode == ONE else None
    with st.sidebar:
        rate = verify.far_slider(models.recognizer().calibration) if mode == ONE else identify.fpir_slider()
    with st.container(horizontal=True):
        objects = models.detector(OBJECTS) if st.toggle("Find objects as well") else None
        challenged = st.toggle("Challenge", help=f"Asks for moves of the head, in random order. {NO_PROOF}")
    return Question(person, rate, objects), challenged


def stream(watch: Watch) -> bool:
    """Draw the video; return whether it is playing."""
    from streamlit_webrtc import webrtc_streamer  # its import takes a while, and no other page needs it

    def show(frame):
        return frame.from_ndarray(watch.show(frame.to_ndarray(format="rgb24")), format="rgb24")

    context = webrtc_streamer(
        "webcam",
        rtc_configuration={"iceServers": []},  # without the list, a server outside of this machine would be asked
        media_stream_constraints={"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}, "audio": False},
        video_frame_callback=show,
        on_video_ended=watch.stop,
    )
    return context.state.playing


def report(watch: Watch) -> None:
    """Draw what was seen last; this is drawn again and again while the video plays."""
    now, seen, error, challenge = watch.clock(), watch.latest, watch.error, watch.challenge
    pace = f"{watch.frames.per_second(now):.1f} frames a second, {watch.analyzed.per_second(now):.1f} of them analyzed"
    st.caption(pace if seen is None else f"{pace}, the last one {now - seen.seconds:.1f} seconds ago")
    if challenge is not None:
        progress(challenge)
        if st.button("New challenge", disabled=challenge.who is None):
            watch.set_challenge(Challenge.new())
    if isinstance(error, VisionAppError):
        st.error(plain(str(error)), icon=":material/error:")
    elif error is not None:
        raise error
    elif seen is not None:
        for verdict in seen.verdicts:
            face(verdict, seen)
        if not seen.verdicts:
            st.info("No face in sight.")


def face(verdict: LiveVerdict, seen: LiveResult) -> None:
    """Draw what is said of one face, and what it rests on."""
    words = f"**{plain(verdict.name or UNKNOWN)}**"
    kind = "positive" if verdict.verdict in (KNOWN, UNKNOWN) else "accept"
    if kind == "accept":
        words += f" · {verdict.verdict}"
    if verdict.similarity is not None:
        rate = f"a false {kind} rate of {faces.one_in(seen.rate)}"
        words += f"  \n{faces.basis(verdict.similarity, seen.threshold, rate, seen.model_id)}"
    if verdict.quality.reasons:
        words += f"  \n{faces.against(verdict.quality)}"
    SHOWN[verdict.verdict](words)


def progress(challenge: Challenge) -> None:
    """Draw what a challenge asks now, or how it ended."""
    if challenge.passed:
        who = plain(challenge.who)
        st.success(f"Challenge passed by {who}, in sight and recognized since.", icon=":material/verified:")
    elif challenge.failure:
        st.error(f"Challenge not passed: {FAILED[challenge.failure]}.", icon=":material/do_not_disturb_on:")
    elif challenge.who is None:
        st.info(f"{ASKED[challenge.asked]}, alone: the challenge begins when your face is known.")
    else:
        done = f"{challenge.done} of {len(challenge.moves)} done"
        st.info(f"**{ASKED[challenge.asked]}** ({done})", icon=":material/arrow_forward:")
