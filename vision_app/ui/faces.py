"""What the pages about faces share: the gallery that they work on, what they see and what a verdict says."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from vision_app import Detections, Face, FaceRecognizer, Faces, Gallery, RGBImage, Verification, draw
from vision_app.core.errors import FaceError, ImageError
from vision_app.faces.quality import Quality
from vision_app.faces.recognizer import only
from vision_app.faces.results import DIFFERENT, SAME, UNCERTAIN
from vision_app.ui import models
from vision_app.ui.inference_cache import keep, view_of
from vision_app.ui.pictures import Picture
from vision_app.ui.text import plain

GALLERY = "VISION_APP_GALLERY"
LIMITS = (
    "The similarity is the cosine of two embeddings, -1 to 1, and no probability. Siblings, children and poor light "
    "make mistakes more frequent than the rate says, and a photo of a face passes as the face."
)
_VERDICTS = {
    SAME: (st.success, "Same person", ":material/check_circle:"),
    DIFFERENT: (st.error, "Different people", ":material/cancel:"),
    UNCERTAIN: (st.warning, "Uncertain", ":material/help:"),
}


@dataclass(frozen=True)
class FaceLook:
    """What the models saw in one picture.

    Attributes:
        view: the picture for the screen, see `look.Look`.
        faces: with their embeddings.
    """

    view: RGBImage
    faces: Faces


def gallery_file() -> Path | None:
    """Draw the sidebar's field for the gallery's file, and a hint where it is empty; return the file."""
    name = st.sidebar.text_input(
        "Gallery",
        os.environ.get(GALLERY, ""),
        key="gallery",
        persist_state="session",  # on all pages
        placeholder="people.db",
        help="The file that people are kept in. Only its owner may read it, and nothing else is written but files "
        f"beside it of the same name. The variable `{GALLERY}` names one from the start.",
    ).strip()
    if not name:
        st.info("Name the file of a gallery in the sidebar, such as `people.db`: people are kept there, nowhere else.")
        return None
    return Path(name).expanduser().absolute()


@contextmanager
def reading(path: Path, recognizer: FaceRecognizer | None = None) -> Iterator[Gallery | None]:
    """Open a gallery to look things up; None where there is none yet."""
    if not path.exists():
        yield None
        return
    with Gallery.open(path, readonly=True, recognizer=recognizer) as gallery:
        yield gallery


def look_at(picture: Picture) -> FaceLook:
    """Return the faces of a picture, from the session where they are there.

    Raises:
        ImageError: The picture cannot be read.
    """
    recognizer = models.recognizer()
    kept = st.session_state.setdefault("looks", OrderedDict())
    key = (picture.digest, recognizer.detector.name, recognizer.model_id)
    with st.spinner(f"Looking at {plain(picture.name)} …"):
        return keep(kept, key, picture, lambda: FaceLook(view_of(picture), recognizer(picture.data)))


def used(picture: Picture, *, largest: bool) -> Face | None:
    """Draw a picture with the face that counts, or why there is none, and return the face."""
    try:
        seen = look_at(picture)
        face = only(seen.faces, picture.name, largest=largest)
    except (ImageError, FaceError) as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return None
    one = [face.box], [face.score], ["face"], seen.faces.width, seen.faces.height, seen.faces.model, [face.landmarks]
    pixels = draw(seen.view, Detections(*one), ["this face"])
    st.image(pixels, width="stretch", output_format="JPEG", alt=f"{picture.name}: the face that counts")
    st.caption(f"{plain(picture.name)}: {against(face.quality)}")
    return face


def against(quality: Quality) -> str:
    """Return what speaks against a face, in words."""
    reasons = ", ".join(reason.replace("_", " ") for reason in quality.reasons)
    return f"hard to recognize: {reasons}" if reasons else f"a face of {quality.size:.0f} pixels, good to recognize"


def verdict(answer: Verification) -> None:
    """Draw what a comparison says, and what it rests on."""
    show, words, icon = _VERDICTS[answer.verdict]
    rate = f"a false accept rate of {one_in(answer.far)}"
    show(f"**{words}**  \n{basis(answer.similarity, answer.threshold, rate, answer.model_id)}", icon=icon)


def basis(similarity: float, threshold: float, rate: str, model_id: str) -> str:
    """Return the numbers behind a verdict."""
    return f"Similarity {similarity:.3f}, threshold {threshold:.3f} at {rate}, model {model_id}"


def one_in(rate: float) -> str:
    """Return "1 in 1,000": a rate of errors that nobody takes for the probability of a match."""
    return f"1 in {1 / rate:,.0f}"
