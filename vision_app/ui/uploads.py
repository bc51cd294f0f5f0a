"""Where pictures come from: uploads and the camera. What they bring stays in memory."""

from collections.abc import Callable

import streamlit as st

from vision_app.core.images import SUFFIXES
from vision_app.ui.pictures import Picture, uploaded
from vision_app.ui.text import amount

MOST_PICTURES = 20
KINDS = sorted(suffix[1:] for suffix in SUFFIXES)
FILES, CAMERA = "Files", "Camera"
MEMORY_ONLY = "Pictures stay in the memory of the machine that runs this page, while the page is open. None is saved."


def source(key: str) -> str:
    """Draw the choice between pictures from files and from the camera, which is not asked for before it is chosen."""
    return st.segmented_control("Pictures from", [FILES, CAMERA], default=FILES, required=True, key=key)


def one(label: str) -> Picture | None:
    """Draw an uploader of one picture and return what came."""
    upload = st.file_uploader(label, type=KINDS, help=MEMORY_ONLY)
    return uploaded([upload])[0] if upload else None


def several(
    label: str, command: str, key: str | None = None, on_change: Callable[[], None] | None = None
) -> list[Picture]:
    """Draw an uploader of several pictures and return what came, up to MOST_PICTURES; `command` takes more."""
    uploads = st.file_uploader(
        label, type=KINDS, accept_multiple_files=True, key=key, on_change=on_change, help=MEMORY_ONLY
    )
    if len(uploads) > MOST_PICTURES:
        st.warning(
            f"Here are the first {MOST_PICTURES} of {amount(len(uploads), 'picture')}. "
            f"For whole folders there is the command `{command}`."
        )
    return uploaded(uploads[:MOST_PICTURES])
