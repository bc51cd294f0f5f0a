"""The Identify page: which enrolled people an image shows."""

import streamlit as st

from vision_app import draw
from vision_app.core.errors import ImageError
from vision_app.core.text import escape
from vision_app.faces.gallery import Identities
from vision_app.ui import models
from vision_app.ui.images import ImageFile, screen_image
from vision_app.ui.widgets import faces
from vision_app.ui.widgets.inputs import upload_several
from vision_app.ui.widgets.outputs import save_json, show_error, show_image


def page() -> None:
    """Draw the page."""
    st.title("Identify people", anchor=False)
    path = faces.gallery_file()
    with st.sidebar:
        fpir = faces.fpir_slider()
        repeats = st.checkbox("Allow one name for several faces", help="For example in a collage.")
    images = upload_several("Images", "vision-app faces identify")
    known, answers = st.session_state.get("identified", {}), {}
    with faces.open_gallery(path, models.recognizer()) as (gallery, _):
        for image in images:
            key = (image.digest, gallery.store.revision, fpir, repeats)
            try:
                found = known.get(key)
                if found is None:
                    found = gallery.identify_faces(faces.find_faces(image), fpir=fpir, repeats=repeats)
            except ImageError as error:
                show_error(error)
            else:
                answers[key] = found
                card(image, found, fpir)
    st.session_state["identified"] = answers  # a rerun of the page does not identify again
    st.caption(faces.LIMITS)


def card(image: ImageFile, found: Identities, fpir: float) -> None:
    """Draw an image with the names of the people in it, a table and the download."""
    with st.container(border=True):
        left, right = st.columns([3, 2], gap="medium")
    with left:
        pixels = draw(screen_image(image), found.detections, found.captions)
        show_image(pixels, f"{image.name}: {', '.join(found.captions) or 'no face'}")
    with right:
        st.subheader(escape(image.name), anchor=False)
        table(found)
        if found.threshold is not None:
            basis = f"{found.threshold:.3f} (false positive rate {faces.one_in(fpir)}, model id {found.model_id})"
            st.caption(f"A name needs a cosine similarity of {basis}, slightly more with several photos.")
        save_json({"file": image.name, "status": "ok", "error": None, **found.to_dict()})


def table(found: Identities) -> None:
    """Draw a line for each face: the name, its similarity and the closest people."""
    if not found.faces:
        st.info("No face found.")
        return
    rows = [
        {
            "Name": f"{face.label} ({', '.join(face.reasons)})".replace("_", " ") if face.reasons else face.label,
            "Similarity": "" if face.similarity is None else f"{face.similarity:.3f}",
            "Closest people": ", ".join(f"{one.name} {one.similarity:.3f}" for one in face.candidates),
        }
        for face in found.faces
    ]
    st.dataframe(rows, hide_index=True)
