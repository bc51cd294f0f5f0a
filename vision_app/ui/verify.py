"""The Verify page: are two faces of one person? Of two pictures, or of a picture and somebody enrolled."""

from pathlib import Path

import streamlit as st

from vision_app import Face
from vision_app.core.errors import FaceError, ImageError
from vision_app.faces import calibration
from vision_app.faces.calibration import Calibration
from vision_app.faces.gallery.results import SOMEONE_ELSE
from vision_app.faces.recognizer import only
from vision_app.faces.results import DIFFERENT
from vision_app.ui import faces, models, uploads
from vision_app.ui.pictures import Picture
from vision_app.ui.text import amount, plain

TWO, ENROLLED = "Two pictures", "Somebody enrolled"
SNAPSHOTS = 3


def page() -> None:
    """Draw the page."""
    st.title("Verify who somebody is", anchor=False)
    far, largest = settings(models.recognizer().calibration)
    kind = st.segmented_control("Compare", [TWO, ENROLLED], default=TWO, required=True)
    if kind == TWO:
        two_pictures(far, largest)
    else:
        somebody(far, largest)
    st.caption(faces.LIMITS)


def settings(measured: Calibration) -> tuple[float, bool]:
    """Draw the sidebar; return the false accept rate and whether the largest of several faces counts."""
    with st.sidebar:
        return far_slider(measured), st.checkbox("Take the largest face", help="Of a picture that shows several.")


def far_slider(measured: Calibration) -> float:
    """Draw the choice of a false accept rate and return it."""
    return st.select_slider(
        "False accept rate",
        measured.fars,
        min(measured.fars, key=lambda far: abs(far - calibration.FAR)),
        format_func=faces.one_in,
        help="How many of many strangers may pass for the person. The rarer they are, the more often the person is "
        f"refused as well. Measured on {measured.impostor_pairs:,} pairs of different people.",
    )


def two_pictures(far: float, largest: bool) -> None:
    """Draw two uploaders, the faces that count and the verdict."""
    result, found = st.container(), []
    for column, label in zip(st.columns(2, gap="medium"), ("First picture", "Second picture"), strict=True):
        with column:
            picture = uploads.one(label)
            found.append(faces.used(picture, largest=largest) if picture else None)
    if all(found):
        with result:
            faces.verdict(models.recognizer().compare(*found, far=far))


def somebody(far: float, largest: bool) -> None:
    """Draw the choice of a person, a picture or the camera, the faces that count and the verdict."""
    path = faces.gallery_file()
    if path is None:
        return
    with faces.reading(path, models.recognizer()) as gallery:
        people = {one.name: one for one in gallery.people()} if gallery else {}
        if not people:
            st.info("Nobody is enrolled yet: that is done on the page People.")
            return
        name = st.selectbox("Person", people)
        place = uploads.source("verify from")
        result = st.container()
        left, right = st.columns(2, gap="medium")
        with left:
            picture = best_snapshot((path, name), far, largest) if place == uploads.CAMERA else uploads.one("Picture")
            face = faces.used(picture, largest=largest) if picture else None
        with right:
            best = max(gallery.samples(name), key=lambda sample: sample.quality["score"])
            if best.crop:
                st.image(best.crop, alt=f"Face of {name}")
            count = amount(people[name].photos, "photo")
            st.caption(f"{plain(name)}: the mean of {count} is compared; this is the best one.")
        if face:
            with result:
                faces.verdict(gallery.verify_face(face, name, far=far))


def best_snapshot(whose: tuple[Path, str], far: float, largest: bool) -> Picture | None:
    """Draw the camera until it has taken enough pictures of one face; return the best of them, by quality.

    A verdict is on who sits there now: the pictures are let go when they are complete, or when they are to be compared
    with somebody else.
    """
    before = st.session_state.get("snapshots", {})
    taken = before.get(whose, [])  # (face, picture)
    st.session_state["snapshots"] = {whose: taken}
    if len(taken) < SNAPSHOTS:
        number = len(taken) + 1
        label = f"Snapshot {number} of {SNAPSHOTS}: the best one counts"
        shot = st.camera_input(label, key=f"snapshot {number} of {whose}", resolution="480p", help=uploads.MEMORY_ONLY)
        if shot:
            picture = Picture(f"snapshot {number}", shot.getvalue())
            try:
                face = only(faces.look_at(picture).faces, picture.name, largest=largest)
                check_same([one for one, _ in taken], face, picture.name, far)
            except (FaceError, ImageError) as error:
                st.warning(f"{plain(str(error))}. Clear the photo and take another one.")
            else:
                taken.append((face, picture))
                st.rerun()
    if taken:
        st.button("Start over", on_click=taken.clear, icon=":material/restart_alt:")
    if len(taken) < SNAPSHOTS:
        return None
    del st.session_state["snapshots"]
    return max(taken, key=lambda one: one[0].quality.score)[1]


def check_same(before: list[Face], face: Face, name: str, far: float) -> None:
    """Check that a snapshot shows who the others show.

    Raises:
        FaceError: It shows somebody else.
    """
    if any(models.recognizer().compare(one, face, far=far).verdict == DIFFERENT for one in before):
        raise FaceError(name, SOMEONE_ELSE, "shows somebody else than the snapshots before it")
