"""Two images of one size, one over the other, and a slider that uncovers more of either."""

from pathlib import Path

import numpy as np
import streamlit as st

from vision_app.ui.downloads import data_url, encoded

_html, _css, _js = (Path(__file__).with_suffix(suffix).read_text() for suffix in (".html", ".css", ".js"))
_component = st.components.v2.component("before_after", html=_html, css=_css, js=_js)


def before_after(before: np.ndarray, after: np.ndarray, alts: tuple[str, str]) -> None:
    """Draw two images, each (H, W, 3) uint8 RGB of the same size, with a description of each."""
    _component(
        data={
            "before": data_url(encoded(before, ".jpg"), "image/jpeg"),
            "after": data_url(encoded(after, ".jpg"), "image/jpeg"),
            "before_alt": alts[0],
            "after_alt": alts[1],
            "ratio": after.shape[1] / after.shape[0],
            "label": "Percentage of the original that is shown",
        },
        key="before and after",
    )
