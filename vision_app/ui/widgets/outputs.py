"""Images, errors and downloads as every page shows them."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from vision_app.core.errors import VisionAppError
from vision_app.core.text import escape


def show_image(pixels: np.ndarray, alt: str) -> None:
    """Draw an image, (H, W, 3) uint8 RGB, as wide as there is room."""
    st.image(pixels, width="stretch", output_format="JPEG", alt=alt)


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
