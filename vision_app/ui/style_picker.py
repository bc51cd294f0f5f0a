"""The wall of styles: our samples and pictures that the visitor brings, to choose one or several from."""

from collections import OrderedDict
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import streamlit as st
from PIL import Image

from vision_app.core.errors import ImageError
from vision_app.style.checks import scaled_shape
from vision_app.style.samples.samples import SAMPLES, sample
from vision_app.style.stylizer import SAMPLE
from vision_app.ui import uploads
from vision_app.ui.downloads import data_url, encoded
from vision_app.ui.inference_cache import view
from vision_app.ui.pictures import Picture, uploaded
from vision_app.ui.text import plain

TILE = 104  # pixels a side
CHOSEN, BROUGHT, MIX = "chosen styles", "own styles", "mix styles"  # in the session's state


@dataclass(frozen=True)
class Style:
    """A picture on the wall.

    Attributes:
        key: Unlike any other's, of letters and digits.
        name: What it is called.
        tile: A small JPEG of it.
        picture: What the visitor brought, None for a sample.
    """

    key: str
    name: str
    tile: bytes = field(repr=False)
    picture: Picture | None = None

    @property
    def source(self) -> str | BytesIO:
        """What `Stylizer` takes for it."""
        return SAMPLE + self.key if self.picture is None else self.picture.file()


def choose() -> dict[Style, float]:
    """Draw the wall and return the chosen styles with their weights."""
    place = st.container(horizontal=True)
    mix = st.toggle("Mix several styles", key=MIX)
    brought = uploads.several("Styles of your own", "vision-app style", BROUGHT, on_change=_choose_newest)
    wall = {style.key: style for style in [*_own(brought), *samples()]}
    keys = [key for key in st.session_state.get(CHOSEN, []) if key in wall]
    st.session_state[CHOSEN] = keys = keys if mix else keys[-1:]
    _paper(list(wall.values()), keys)
    with place:
        for key, style in wall.items():
            kind, icon = ("primary", ":material/check_circle:") if key in keys else ("secondary", None)
            words, name = {"type": kind, "icon": icon, "width": TILE}, plain(style.name)
            st.button(name, key=f"tile {key}", on_click=_toggle, args=(key,), **words)
    chosen = [wall[key] for key in keys]
    if len(chosen) == 1:
        return {chosen[0]: 1.0}
    with st.container(horizontal=True):
        return {style: _weight(style) for style in chosen}


@st.cache_data(show_spinner="Drawing the samples …")
def samples() -> list[Style]:
    """Return the samples."""
    return [Style(name, name.capitalize(), _tile(sample(name))) for name in SAMPLES]


def _own(pictures: list[Picture]) -> list[Style]:
    """Return what the visitor brought; draw why where a picture cannot be read, or be a style."""
    kept, styles = st.session_state.setdefault("looks", OrderedDict()), []
    for picture in pictures:
        try:
            seen = view(picture, kept)
            scaled_shape(seen.width, seen.height, None, picture.name)  # raises where it cannot be used
            styles.append(Style(picture.digest, picture.name, _tile(seen.pixels), picture))
        except ImageError as error:
            st.error(plain(str(error)), icon=":material/broken_image:")
    return styles


def _tile(pixels: np.ndarray) -> bytes:
    """Return a picture's middle as a JPEG of twice TILE, for fine screens."""
    side = min(pixels.shape[:2])
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    return encoded(np.asarray(square.resize((2 * TILE, 2 * TILE), Image.Resampling.LANCZOS)), ".jpg")


def _paper(styles: list[Style], chosen: list[str]) -> None:
    """Put each style's picture on its button, and a frame around those that are chosen."""
    rules = [
        f"[class*='st-key-tile-'] button {{ height: {TILE}px; padding: 0; align-items: flex-end; "
        "background-size: cover; }",
        "[class*='st-key-tile-'] button > div { width: 100%; padding: 2px 6px; color: white; "
        "background: rgb(0 0 0 / 65%); }",
    ]
    for style in styles:
        frame = "border-width: 4px;" if style.key in chosen else ""
        picture = f"background-image: url('{data_url(style.tile, 'image/jpeg')}');"
        rules.append(f".st-key-tile-{style.key} button {{ {picture} {frame} }}")
    st.html(f"<style>{' '.join(rules)}</style>")


def _toggle(key: str) -> None:
    """Choose a style, in the place of another one unless several are mixed, or take it from those chosen."""
    keys = st.session_state[CHOSEN]
    if key in keys:
        keys.remove(key)
    else:
        keys.append(key)


def _choose_newest() -> None:
    """Choose what was brought last."""
    if pictures := uploaded(st.session_state[BROUGHT]):
        keys = st.session_state.setdefault(CHOSEN, [])
        keys += [picture.digest for picture in pictures if picture.digest not in keys]


def _weight(style: Style) -> float:
    label = f"Weight of {plain(style.name)}"
    return st.slider(label, 0.05, 1.0, 1.0, step=0.05, format="percent", key=f"weight {style.key}", width=200)
