"""What is in a picture, beside what was found in it: a part of each card of the Detect page."""

from collections import OrderedDict

import streamlit as st

from vision_app import Classes, draw
from vision_app.released.find import available
from vision_app.ui import models
from vision_app.ui.inference_cache import look
from vision_app.ui.pictures import Picture
from vision_app.ui.text import plain

MODEL = "classifier"
MOST_CLASSES = 5


def classes(picture: Picture) -> None:
    """Draw a switch, and behind it how probable the classes are and, by choice, the best object.

    The picture can be read; nothing is drawn where there is no classifier.
    """
    if MODEL not in available():
        return
    help = "How probable it is that the picture shows a class at all, by a model that looks at the whole picture."
    if not st.toggle("What is in the picture", key=f"classes {picture.name}", help=help):
        return
    classifier = models.classifier(MODEL)
    seen = look(picture, classifier, st.session_state.setdefault("looks", OrderedDict()))
    (found,) = classifier.postprocess(seen.raw)
    probabilities(found)
    if found.box is None:
        st.caption(f"No class is more probable than {classifier.confidence:.0%}.")
    elif st.checkbox(f"Show the best object, {plain(found.labels[0])}", key=f"best {picture.name}"):
        alt = f"{picture.name}: the best object is {found.labels[0]}"
        st.image(draw(seen.view, found.best), width="stretch", output_format="JPEG", alt=alt)


def probabilities(found: Classes) -> None:
    """Draw a table of the most probable classes."""
    shown = found.to_dict(top=MOST_CLASSES)["classes"]
    st.dataframe(
        {
            "Class": [one["label"] for one in shown],
            "Probability": [100 * one["probability"] for one in shown],
        },
        hide_index=True,
        column_config={
            "Probability": st.column_config.ProgressColumn(format="%.0f%%", min_value=0, max_value=100),
        },
    )
