"""The Verify page: do two images show one person, or does an image show an enrolled person?"""

from pathlib import Path

import streamlit as st

from vision_app import Face
from vision_app.core.errors import FaceError, ImageError
from vision_app.core.text import escape
from vision_app.faces.gallery.results import SOMEONE_ELSE
from vision_app.faces.recognizer import only
from vision_app.faces.results import DIFFERENT
from vision_app.ui import models
from vision_app.ui.images import ImageFile
from vision_app.ui.widgets import faces
from vision_app.ui.widgets.inputs import CAMERA, choose_source, snapshot, upload_one

TWO, ENROLLED = "Two images", "Enrolled person"
SNAPSHOTS = 3


def page() -> None:
    """Draw the page."""
    st.title("Verify a person", anchor=False)
    with st.sidebar:
        far = faces.far_slider(models.recognizer().calibration)
        largest = st.checkbox("Use the largest face", help="If an image shows several faces.")
    kind = st.segmented_control("Compare", [TWO, ENROLLED], default=TWO, required=True)
    if kind == TWO:
        two_images(far, largest)
    else:
        enrolled_person(far, largest)
    st.caption(faces.LIMITS)


def two_images(far: float, largest: bool) -> None:
    """Draw two uploaders, the faces that are used and the verdict."""
    result, pair = st.container(), []
    for column, label in zip(st.columns(2, gap="medium"), ("First image", "Second image"), strict=True):
        with column:
            image = upload_one(label)
            if image and (face := faces.used_face(image, largest=largest)):
                pair.append(face)
    if len(pair) == 2:
        with result:
            faces.show_verdict(models.recognizer().compare(*pair, far=far), ("photo 1", "photo 2"))


def enrolled_person(far: float, largest: bool) -> None:
    """Draw the choice of a person, an uploader or the camera, the face that is used and the verdict."""
    path = faces.gallery_file()
    with faces.open_gallery(path, models.recognizer()) as (gallery, people):
        photos = {person.name: person.photos for person in people}
        name = st.selectbox("Person", photos)
        source = choose_source("verify from")
        result = st.container()
        left, right = st.columns(2, gap="medium")
        with left:
            image = best_snapshot((path, name), far, largest) if source == CAMERA else upload_one("Image")
            face = faces.used_face(image, largest=largest) if image else None
        with right:
            best = max(gallery.samples(name), key=lambda sample: sample.quality["score"])
            if best.crop:
                st.image(best.crop, alt=f"Face of {name}")
            count, whose = photos[name], escape(name)
            several = f"Compared with the mean of {count:,} photos of {whose}. The best one is shown."
            st.caption(several if count > 1 else f"Compared with the photo of {whose}.")
        if face:
            with result:
                answer = gallery.verify_face(face, name, far=far)
                faces.show_verdict(answer, ("the photo", f"the best photo of {escape(name)}"))


def best_snapshot(whose: tuple[Path, str], far: float, largest: bool) -> ImageFile | None:
    """Draw the camera until it has taken enough photos of one face; return the one of the best quality.

    A verdict is about the person at the camera now: the snapshots are dropped once they are complete, or when they are
    to be compared with another person.
    """
    taken: list[tuple[Face, ImageFile]] = st.session_state.get("snapshots", {}).get(whose, [])
    st.session_state["snapshots"] = {whose: taken}
    if len(taken) < SNAPSHOTS:
        number = len(taken) + 1
        label = f"Snapshot {number} of {SNAPSHOTS} (the best one is used)"
        image = snapshot(label, f"snapshot {number} of {whose}", "480p", f"snapshot {number}")
        if image:
            try:
                face = only(faces.find_faces(image), image.name, largest=largest)
                if any(models.recognizer().compare(one, face, far=far).verdict == DIFFERENT for one, _ in taken):
                    raise FaceError(image.name, SOMEONE_ELSE, "shows a different person than the snapshots before it")
            except (FaceError, ImageError) as error:
                st.warning(f"{escape(str(error))}. Clear the photo and take another one.")
            else:
                taken.append((face, image))
                st.rerun()
    if taken:
        st.button("Start over", on_click=taken.clear, icon=":material/restart_alt:")
    if len(taken) < SNAPSHOTS:
        return None
    del st.session_state["snapshots"]
    return max(taken, key=lambda one: one[0].quality.score)[1]
