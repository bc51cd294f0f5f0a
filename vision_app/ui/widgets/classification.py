"""The classes of a whole image, beside its detections: part of each card of the Detect page."""

import streamlit as st

from vision_app import draw
from vision_app.core.text import escape
from vision_app.released.find import available
from vision_app.released.names import CLASSIFIER
from vision_app.ui import models
from vision_app.ui.images import ImageFile, infer, screen_image
from vision_app.ui.widgets.outputs import show_image

MAX_CLASSES = 5
HELP = "The probability that a class is anywhere in the image, from a model that classifies the image as a whole."


def classification(image: ImageFile) -> None:
    """Draw a switch and, if it is on, the most probable classes and, if wanted, the most likely object.

    The image is readable; nothing is drawn without a classifier.
    """
    if CLASSIFIER not in available():
        return
    if not st.toggle("Classify the whole image", key=f"classes {image.name}", help=HELP):
        return
    classifier = models.classifier(CLASSIFIER)
    (found,) = classifier.postprocess(infer(image, classifier).raw)
    top = found.to_dict(top=MAX_CLASSES)["classes"]
    st.dataframe(
        {"Class": [one["label"] for one in top], "Probability": [100 * one["probability"] for one in top]},
        hide_index=True,
        column_config={
            "Probability": st.column_config.ProgressColumn(format="%.0f%%", min_value=0, max_value=100),
        },
    )
    if found.box is None:
        st.caption(f"No class reaches a probability of {classifier.confidence:.0%}.")
    elif st.checkbox(f"Show the most likely object ({escape(found.labels[0])})", key=f"best {image.name}"):
        alt = f"{image.name}: the most likely object is a {found.labels[0]}"
        show_image(draw(screen_image(image), found.best), alt)
