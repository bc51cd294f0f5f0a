"""Images, errors and downloads as every page shows them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from vision_app.core.errors import VisionAppError
from vision_app.core.text import escape
from vision_app.ui.downloads import data_url, encoded

_html, _css, _js = (Path(__file__).with_name(f"before_after.{kind}").read_text() for kind in ("html", "css", "js"))
_component = st.components.v2.component("before_after", html=_html, css=_css, js=_js)


def show_image(pixels: np.ndarray, alt: str) -> None:
    """Draw an image, (H, W, 3) uint8 RGB, as wide as there is room."""
    st.image(pixels, width="stretch", output_format="JPEG", alt=alt)


def before_after(before: np.ndarray, after: np.ndarray, alts: tuple[str, str]) -> None:
    """Draw two images, one over the other, and a slider that uncovers more of either.

    Both are (H, W, 3) uint8 RGB or (H, W, 4) RGBA, and of one size; `alts` describe them.
    """
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


def show_error(error: VisionAppError) -> None:
    """Draw why an image cannot be used."""
    st.error(escape(str(error)), icon=":material/broken_image:")


def save(label: str, data: str | bytes | Callable[[], str | bytes], name: str, mime: str) -> None:
    """Draw a download button. A function as `data` is called when the button is pressed."""
    st.download_button(label, data, name, mime, key=f"save {name}", on_click="ignore", icon=":material/download:")


def save_json(row: dict[str, Any]) -> None:
    """Draw a download button for the row of one image."""
    name = f"{row['file']}.json"
    save("JSON", json.dumps(row, indent=2, ensure_ascii=False), name, "application/json")
