"""The models that the pages offer. Each is loaded once and shared by all visitors."""

import numpy as np
import streamlit as st

from vision_app import Classifier, Detector, FaceRecognizer, Stylizer
from vision_app.core.errors import ModelError
from vision_app.core.text import escape
from vision_app.detection.compare import FAMILY
from vision_app.faces.detector import FACE
from vision_app.released.find import Model, available, find

_load_once = st.cache_resource(show_spinner="Loading the model …")


def detectors() -> dict[str, Model]:
    """Return the released detectors by name: first the family on one backbone, fastest first, then the others.

    Show a warning for each model that cannot be opened. A face detector belongs to the face pages.
    """
    found = {}
    for name in available():
        try:
            model = find(name)
        except ModelError as error:
            st.warning(escape(str(error)), icon=":material/warning:")
        else:
            if model.task == "detection" and model.classes != (FACE,):
                found[name] = model
    return {name: found[name] for name in sorted(found, key=lambda name: (*FAMILY, name).index(name))}


@_load_once
def detector(name: str, runtime: str = "auto") -> Detector:
    """Return the detector called `name`, after a first run, whose time would not be typical."""
    loaded = Detector.load(name, runtime=runtime)
    loaded(np.zeros((64, 64, 3), np.uint8))
    return loaded


classifier = _load_once(Classifier.load)
stylizer = _load_once(Stylizer.load)
recognizer = _load_once(FaceRecognizer.load)
