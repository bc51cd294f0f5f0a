"""The Identify page: who is on pictures, of those enrolled in a gallery."""

import json

import streamlit as st

from vision_app import Gallery, draw
from vision_app.core.errors import ImageError
from vision_app.faces.calibration import FPIR
from vision_app.faces.gallery import Identities
from vision_app.faces.gallery.results import UNKNOWN
from vision_app.ui import faces, models, uploads
from vision_app.ui.detect import save
from vision_app.ui.pictures import Picture
from vision_app.ui.text import plain

RATES = (0.1, 0.03, 0.01, 0.003, 0.001)


def page() -> None:
    """Draw the page."""
    st.title("Identify people", anchor=False)
    path = faces.gallery_file()
    if path is None:
        return
    options = settings()
    pictures = uploads.several("Pictures", "vision-app faces identify")
    known, answers = st.session_state.get("identified", {}), {}
    with faces.reading(path, models.recognizer()) as gallery:
        if gallery is None:
            st.info("Nobody is enrolled yet: that is done on the page People.")
            return
        for picture in pictures:
            key = (picture.digest, gallery.store.revision, *options.values())
            if found := known.get(key) or identified(picture, gallery, options):
                answers[key] = found
                card(picture, found, options["fpir"])
    st.session_state["identified"] = answers  # a rerun of the page identifies nobody again
    st.caption(faces.LIMITS)


def settings() -> dict:
    """Draw the sidebar and return the options of `Gallery.identify`."""
    with st.sidebar:
        fpir = fpir_slider()
        repeats = st.checkbox("Let several faces have one name", help="As on a collage.")
    return {"fpir": fpir, "repeats": repeats}


def fpir_slider() -> float:
    """Draw the choice of a false positive identification rate and return it."""
    return st.select_slider(
        "False positive rate",
        RATES,
        FPIR,
        format_func=faces.one_in,
        help="How many of many strangers may get somebody's name. The rarer they are, the more often somebody "
        "enrolled stays unknown as well. The more people are enrolled, the higher the threshold.",
    )


def identified(picture: Picture, gallery: Gallery, options: dict) -> Identities | None:
    """Return who is on a picture; or draw why it cannot be read."""
    try:
        return gallery.identify_faces(faces.look_at(picture).faces, **options)
    except ImageError as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return None


def card(picture: Picture, found: Identities, fpir: float) -> None:
    """Draw a picture with the names of those on it, a table and the download."""
    with st.container(border=True):
        left, right = st.columns([3, 2], gap="medium")
    with left:
        pixels = draw(faces.look_at(picture).view, found.detections, found.captions)
        alt = f"{picture.name}: {', '.join(found.captions) or 'no face'}"
        st.image(pixels, width="stretch", output_format="JPEG", alt=alt)
    with right:
        st.subheader(plain(picture.name), anchor=False)
        table(found)
        rate = f"a false positive rate of {faces.one_in(fpir)}"
        if found.threshold is not None:
            basis = f"A name from similarity {found.threshold:.3f} on, at {rate}, model {found.contract}"
            st.caption(f"{basis}. For people with several photos, it takes a little more.")
        row = {"file": picture.name, "status": "ok", "error": None, **found.to_dict()}
        save("JSON", json.dumps(row, indent=2, ensure_ascii=False), f"{picture.name}.json", "application/json")


def table(found: Identities) -> None:
    """Draw a line for each face: the name, how similar it is, and whom else it resembles."""
    if not found.faces:
        st.info("No face found.")
        return
    st.dataframe(
        {
            "Name": [face.name or UNKNOWN for face in found.faces],
            "Similarity": ["" if face.similarity is None else f"{face.similarity:.3f}" for face in found.faces],
            "Nearest": [
                ", ".join(f"{one.name} {one.similarity:.3f}" for one in face.candidates) for face in found.faces
            ],
        },
        hide_index=True,
    )
