"""What the face pages share: the gallery, the faces of an image, error rates and verdicts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import streamlit as st

from vision_app import Detections, Face, FaceRecognizer, Faces, Gallery, Verification, draw
from vision_app.core.errors import FaceError, ImageError
from vision_app.core.text import escape
from vision_app.faces import calibration
from vision_app.faces.calibration import FPIR, Calibration
from vision_app.faces.gallery import Person
from vision_app.faces.quality import Quality
from vision_app.faces.reasons import advice, problem
from vision_app.faces.recognizer import only
from vision_app.faces.results import DIFFERENT, SAME, UNCERTAIN
from vision_app.ui import models
from vision_app.ui.images import ImageFile, cached, screen_image
from vision_app.ui.widgets.outputs import show_error, show_image

GALLERY = "VISION_APP_GALLERY"  # the environment variable with the default gallery
GALLERIES = "VISION_APP_GALLERIES"  # and that with the folders of galleries, separated as those of PATH are
LONGEST_NAME = 240  # bytes, so that there is room for the names of the files beside it
FPIRS = (0.1, 0.03, 0.01, 0.003, 0.001)
LIMITS = (
    "The cosine similarity of two embeddings ranges from -1 to 1 and is not a probability. Siblings, children and poor "
    "light cause more errors than the rate says, and a photo of a face passes as the face."
)
_VERDICTS = {
    SAME: (st.success, "Same person", ":material/check_circle:"),
    DIFFERENT: (st.error, "Different people", ":material/cancel:"),
    UNCERTAIN: (st.warning, "Uncertain", ":material/help:"),
}


def gallery_file() -> Path:
    """Draw the sidebar's field for the gallery file and return the file.

    Stop the page with a hint if the field is empty, and with an error if visitors may not open the file: that does not
    tell whether there is such a file.
    """
    default = os.environ.get(GALLERY, "")
    name = st.sidebar.text_input(
        "Gallery",
        default,
        key="gallery",
        persist_state="session",  # on all pages
        placeholder="people.db",
        help="The file that enrolled people are stored in. Only its owner can read it. Nothing else is written, except "
        f"files of the same name beside it. The environment variable `{GALLERY}` sets the default.",
    ).strip()
    if not name:
        st.info("Enter a gallery file in the sidebar, such as `people.db`. People are stored there and nowhere else.")
        st.stop()
    if name == default:
        return Path(default).expanduser().absolute()
    folders = gallery_folders()
    path = Path(os.path.realpath(folders[0] / name.replace("\0", "")))
    if path.parent not in folders or path.suffix != ".db" or len(os.fsencode(path.name)) > LONGEST_NAME:
        places = " or ".join(escape(str(folder)) for folder in folders)
        st.error(
            f"Galleries on this page are files that end in `.db` in {places}. The environment variable `{GALLERIES}` "
            "sets other folders.",
            icon=":material/error:",
        )
        st.stop()
    return path


def gallery_folders() -> list[Path]:
    """Return the folders whose galleries visitors may open: those set, else that of the default gallery or this one."""
    named = filter(None, os.environ.get(GALLERIES, "").split(os.pathsep))
    default = Path(os.environ.get(GALLERY, "") or "people.db").expanduser()
    return [Path(folder).expanduser().resolve() for folder in named] or [default.absolute().parent.resolve()]


@contextmanager
def open_gallery(path: Path, recognizer: FaceRecognizer | None = None) -> Iterator[tuple[Gallery, list[Person]]]:
    """Open a gallery to read it; yields it and the people in it. Stop the page with a hint if nobody is enrolled."""
    if path.exists():
        with Gallery.open(path, readonly=True, recognizer=recognizer) as gallery:
            if people := gallery.people():
                yield gallery, people
                return
    st.info("Nobody is enrolled yet. Enroll people on the People page.")
    st.stop()


def find_faces(image: ImageFile) -> Faces:
    """Return the faces of an image with their embeddings.

    Raises:
        ImageError: The image cannot be read.
    """
    recognizer = models.recognizer()
    with st.spinner(f"Finding faces in {escape(image.name)} …"):
        return cached(image, (recognizer.detector.name, recognizer.model_id), lambda: recognizer(image.data))


def used_face(image: ImageFile, *, largest: bool) -> Face | None:
    """Draw an image with the face that is used and return the face; or draw why there is none."""
    try:
        faces = find_faces(image)
        face = only(faces, image.name, largest=largest)
    except (ImageError, FaceError) as error:
        show_error(error)
        return None
    box, score, landmarks = face.box[None], np.array([face.score]), face.landmarks[None]
    found = Detections(box, score, ("face",), faces.width, faces.height, faces.model, landmarks)
    show_image(draw(screen_image(image), found, ["this face"]), f"{image.name}: the face that is used")
    st.caption(f"{escape(image.name)}: {quality_text(face.quality)}")
    return face


def quality_text(quality: Quality) -> str:
    """Return how well a face can be recognized, in words."""
    against = problem(quality)
    return f"hard to recognize: {against}" if against else f"a face of {quality.size:.0f} pixels, easy to recognize"


def remedy(quality: Quality) -> str:
    """Return what makes a face hard to recognize and what helps, such as "blurred. Use a sharper photo."."""
    return f"{problem(quality)}. {advice(quality)}."


def far_slider(measured: Calibration) -> float:
    """Draw the choice of a false accept rate and return it."""
    return st.select_slider(
        "False accept rate",
        measured.fars,
        min(measured.fars, key=lambda far: abs(far - calibration.FAR)),
        format_func=one_in,
        help="How often a stranger is accepted as the person. The lower the rate, the more often the person is "
        f"rejected as well. Measured on {measured.impostor_pairs:,} pairs of different people.",
    )


def fpir_slider() -> float:
    """Draw the choice of a false positive identification rate and return it."""
    return st.select_slider(
        "False positive rate",
        FPIRS,
        FPIR,
        format_func=one_in,
        help="How often a stranger is given an enrolled person's name. The lower the rate, the more often enrolled "
        "people stay unknown as well. The more people are enrolled, the higher the threshold.",
    )


def show_verdict(answer: Verification, names: tuple[str, str]) -> None:
    """Draw what a comparison of two faces, called by names, says, and the numbers behind it."""
    show, words, icon = _VERDICTS[answer.verdict]
    rate = f"False accept rate {one_in(answer.far)}"
    faces = zip(names, (answer.face_a, answer.face_b), strict=True)
    why = " ".join(f"The face in {name} is {remedy(face.quality)}" for name, face in faces if not face.is_fit)
    if answer.is_close:
        why = "Too close to tell: different below {:.3f}, the same from {:.3f}.".format(*answer.band)
    words = f"**{words}:** {why[0].lower()}{why[1:]}" if why else f"**{words}**"
    show(f"{words}  \n{numbers(answer.similarity, answer.threshold, rate, answer.model_id)}", icon=icon)


def numbers(similarity: float, threshold: float, rate: str, model_id: str) -> str:
    """Return the numbers behind a verdict."""
    return f"Cosine similarity {similarity:.3f} (threshold {threshold:.3f})  \n{rate}, model id {model_id}"


def one_in(rate: float) -> str:
    """Return an error rate such as "1 in 1,000", which nobody takes for the probability of a match."""
    return f"1 in {1 / rate:,.0f}"
