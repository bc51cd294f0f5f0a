"""The models that the page offers. Each is loaded once and serves all visitors."""

import numpy as np
import streamlit as st

from vision_app import Classifier, Detector, FaceRecognizer, Stylizer
from vision_app.core.errors import ModelError
from vision_app.detection.compare import FAMILY
from vision_app.faces.detector import FACE
from vision_app.released.find import Model, available, find
from vision_app.ui.text import plain


def names(task: str) -> list[str]:
    """Return the names of the released models for `task`, those of the detectors' family first, the quickest in front.

    Draw a warning for each that cannot be opened.
    """
    found = [name for name in available() if _task(name) == task]
    return sorted(found, key=lambda name: FAMILY.index(name) if name in FAMILY else len(FAMILY))


def _task(name: str) -> str | None:
    try:
        model = find(name)
    except ModelError as error:
        st.warning(plain(str(error)), icon=":material/warning:")
        return None
    return None if model.classes == (FACE,) else model.task  # a detector of faces belongs to the pages about faces


@st.cache_resource(show_spinner="Loading the model …")
def detector(name: str, runtime: str = "auto") -> Detector:
    """Return the detector called `name`, after a first run, whose time would say nothing of the others."""
    loaded = Detector.load(name, runtime=runtime)
    loaded(np.zeros((64, 64, 3), np.uint8))
    return loaded


@st.cache_resource(show_spinner="Loading the model …")
def classifier(name: str) -> Classifier:
    """Return the classifier called `name`."""
    return Classifier.load(name)


@st.cache_resource(show_spinner="Loading the model …")
def stylizer(method: str) -> Stylizer:
    """Return what repaints pictures by a method."""
    return Stylizer.load(method)


@st.cache_resource(show_spinner="Loading the models …")
def recognizer() -> FaceRecognizer:
    """Return what finds and knows faces."""
    return FaceRecognizer.load()


def about(model: Model) -> None:
    """Draw what `model.json` says: its measured quality, its defaults, what it learned from and on what terms."""
    info = model.info
    facts = {
        "Finds": f"{len(model.classes)} classes",
        "Confidence by default": f"{model.defaults['confidence']:.0%}",
        **{f"Measured on {name}": _figures(measured) for name, measured in info.get("measured", {}).items()},
        "Size": f"{info['parameters'] / 1e6:.2f} million parameters" if "parameters" in info else "",
        "Learned from": "; ".join(info.get("learned_from", [])),
        "License": info.get("license", ""),
    }
    with st.expander(f"About {plain(model.name)}", icon=":material/info:"):
        for name, text in facts.items():
            if text:
                st.caption(f"**{plain(name)}**  \n{plain(text)}")


def _figures(measured: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in measured.items())
