"""Where images come from: uploads, the camera and samples, which stay in memory; and settings of models."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import streamlit as st

from vision_app.core.images import SUFFIXES
from vision_app.core.text import amount
from vision_app.ui.images import SAMPLES, SESSION_QUOTA, ImageFile, from_uploads, sample

MAX_IMAGES = 20
FILE_TYPES = sorted(suffix[1:] for suffix in SUFFIXES)
FILES, CAMERA = "Files", "Camera"
T = TypeVar("T")
MEMORY_ONLY = (
    "Images stay in the memory of the machine that runs this page while the page is open, and up to 30 seconds longer: "
    "after a short break of the connection they are still there, after a longer one they are deleted. None are saved."
)
QUOTA_HELP = (  # of a refused upload, Streamlit shows no reason
    f"An upload shown in red was refused. A visit may hold {SESSION_QUOTA} MB of images: remove some. If it holds "
    "less, the page is busy with the images of other visitors: try again in a moment."
)
UPLOAD_HELP = f"{MEMORY_ONLY}\n\n{QUOTA_HELP}"


def choose_source(key: str) -> str:
    """Draw the choice between files and the camera. The browser asks for the camera only once it is chosen."""
    return st.segmented_control("Image source", [FILES, CAMERA], default=FILES, required=True, key=key)


def upload_one(label: str) -> ImageFile | None:
    """Draw an uploader for one image and return the image."""
    upload = st.file_uploader(label, type=FILE_TYPES, help=UPLOAD_HELP)
    return from_uploads([upload])[0] if upload else None


def upload_several(
    label: str, command: str, key: str | None = None, on_change: Callable[[], None] | None = None
) -> list[ImageFile]:
    """Draw an uploader for several images and return up to MAX_IMAGES of them; `command` takes more."""
    uploads = st.file_uploader(
        label, type=FILE_TYPES, accept_multiple_files=True, key=key, on_change=on_change, help=UPLOAD_HELP
    )
    return from_uploads(first_of(uploads, MAX_IMAGES, command))


def first_of(images: Sequence[T], limit: int, command: str) -> Sequence[T]:
    """Return the first `limit` images; if there are more, say so and name the command for them."""
    if len(images) > limit:
        st.warning(
            f"Showing the first {limit} of {amount(len(images), 'image')}. For more, use the command `{command}`."
        )
    return images[:limit]


def snapshot(
    label: str, key: str, resolution: Literal["480p", "720p", "1080p"], name: str = "snapshot"
) -> ImageFile | None:
    """Draw the camera and return the photo taken with it."""
    shot = st.camera_input(label, key=key, resolution=resolution, help=MEMORY_ONLY)
    return ImageFile(name, shot.getvalue()) if shot else None


def uploads_or_samples(command: str) -> list[ImageFile]:
    """Draw an uploader and the samples; return the visitor's own images or else the chosen samples."""
    if images := upload_several("Upload images", command):
        return images
    if st.session_state.get("samples"):
        return [sample(name) for name in st.pills("Samples", list(SAMPLES), selection_mode="multi", key="samples")]
    st.markdown("Upload images, or try a sample:")
    for column, name in zip(st.columns(len(SAMPLES)), SAMPLES, strict=True):
        with column.container(border=True):
            st.image(sample(name).data, width="stretch", alt=f"Sample: {name}")
            st.button(name, width="stretch", on_click=st.session_state.update, kwargs={"samples": [name]})
    return []


def percentage(label: str, default: float, model: str, help: str) -> float:
    """Draw a slider from 1 % to 99 % and return its value, 0.01 to 0.99."""
    key = f"{label} {model}"
    return st.slider(label, 0.01, 0.99, float(default), step=0.01, format="percent", key=key, help=help)
