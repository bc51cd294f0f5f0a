"""A choice of one or several styles from our samples and the visitor's own images."""

from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import streamlit as st
from PIL import Image

from vision_app.core.errors import ImageError
from vision_app.core.text import escape
from vision_app.style.checks import scaled_shape
from vision_app.style.samples.samples import SAMPLES, sample
from vision_app.style.stylizer import SAMPLE
from vision_app.ui.downloads import data_url, encoded
from vision_app.ui.images import ImageFile, from_uploads, screen_image
from vision_app.ui.widgets.inputs import upload_several
from vision_app.ui.widgets.outputs import show_error

TILE = 104  # pixels a side
CHOSEN, OWN, MIX = "chosen styles", "own styles", "mix styles"  # in the session's state


@dataclass(frozen=True)
class Style:
    """An image to choose as a style.

    Attributes:
        key: Unique, of letters and digits.
        name: Shown to the visitor.
        tile: A small JPEG.
        image: The visitor's own image, None for a sample.
    """

    key: str
    name: str
    tile: bytes = field(repr=False)
    image: ImageFile | None = None

    @property
    def source(self) -> str | BytesIO:
        """What `Stylizer` takes for it."""
        return SAMPLE + self.key if self.image is None else self.image.open()


def choose_styles() -> dict[Style, float]:
    """Draw all styles and return the chosen ones with their weights."""
    place = st.container(horizontal=True)
    mix = st.toggle("Mix several styles", key=MIX)
    own = upload_several("Your own styles", "vision-app style", OWN, on_change=_choose_newest)
    styles = {style.key: style for style in [*_own_styles(own), *samples()]}
    keys = [key for key in st.session_state.get(CHOSEN, []) if key in styles]
    st.session_state[CHOSEN] = keys = keys if mix else keys[-1:]
    _style_buttons(list(styles.values()), keys)
    with place:
        for key, style in styles.items():
            st.button(
                escape(style.name),
                key=f"tile {key}",
                on_click=_toggle,
                args=(key,),
                type="primary" if key in keys else "secondary",
                icon=":material/check_circle:" if key in keys else None,
                width=TILE,
            )
    if len(keys) == 1:
        return {styles[keys[0]]: 1.0}
    with st.container(horizontal=True):
        return {styles[key]: _weight(styles[key]) for key in keys}


@st.cache_data(show_spinner="Drawing the samples …")
def samples() -> list[Style]:
    """Return the samples."""
    return [Style(name, name.capitalize(), _tile(sample(name))) for name in SAMPLES]


def _own_styles(images: list[ImageFile]) -> list[Style]:
    """Return the visitor's own styles; draw why an image cannot be read or used as a style."""
    styles = []
    for image in images:
        try:
            screen = screen_image(image)
            scaled_shape(screen.width, screen.height, None, image.name)  # raises for a shape that cannot be used
            styles.append(Style(image.digest, image.name, _tile(screen.pixels), image))
        except ImageError as error:
            show_error(error)
    return styles


def _tile(pixels: np.ndarray) -> bytes:
    """Return the middle of an image as a JPEG of twice TILE, for high-density screens."""
    side = min(pixels.shape[:2])
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    return encoded(np.asarray(square.resize((2 * TILE, 2 * TILE), Image.Resampling.LANCZOS)), ".jpg")


def _style_buttons(styles: list[Style], chosen: list[str]) -> None:
    """Put the tile of each style on its button, and a frame around the chosen ones."""
    rules = [
        f"[class*='st-key-tile-'] button {{ height: {TILE}px; padding: 0; align-items: flex-end; "
        "background-size: cover; }",
        "[class*='st-key-tile-'] button > div { width: 100%; padding: 2px 6px; color: white; "
        "background: rgb(0 0 0 / 65%); }",
    ]
    for style in styles:
        frame = "border-width: 4px;" if style.key in chosen else ""
        tile = f"background-image: url('{data_url(style.tile, 'image/jpeg')}');"
        rules.append(f".st-key-tile-{style.key} button {{ {tile} {frame} }}")
    st.html(f"<style>{' '.join(rules)}</style>")


def _toggle(key: str) -> None:
    """Choose a style, or drop it if it is chosen. Without mixing, only the last one counts."""
    keys = st.session_state[CHOSEN]
    if key in keys:
        keys.remove(key)
    else:
        keys.append(key)


def _choose_newest() -> None:
    """Choose the newest uploads."""
    if images := from_uploads(st.session_state[OWN]):
        keys = st.session_state.setdefault(CHOSEN, [])
        keys += [image.digest for image in images if image.digest not in keys]


def _weight(style: Style) -> float:
    label = f"Weight of {escape(style.name)}"
    return st.slider(label, 0.05, 1.0, 1.0, step=0.05, format="percent", key=f"weight {style.key}", width=200)
