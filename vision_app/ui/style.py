"""The Style page: a photo in the style of other pictures."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath

import numpy as np
import streamlit as st
from PIL import Image

from vision_app import RGBImage, StyleOptions, Stylized, Stylizer
from vision_app.core.errors import ImageError
from vision_app.style.stylizer import Prepared
from vision_app.ui import models, uploads
from vision_app.ui import style_picker as wall
from vision_app.ui.before_after import before_after
from vision_app.ui.detect import save
from vision_app.ui.downloads import data_url, encoded
from vision_app.ui.inference_cache import VIEW_SIZE, view
from vision_app.ui.pictures import SAMPLES, Picture, sample
from vision_app.ui.style_job import REFRESH, Painting, easel
from vision_app.ui.text import amount, plain

METHODS = {
    "Fast": ("fast", "A network paints the picture in one go."),
    "Classic": ("optimize", "The picture is changed step by step until it fits: closest to the style, and slow."),
    "Colors only": ("color", "A photo stays a photo, in the colors of the style."),
}
COLORS = {"Of the style": "no", "Of the photo": "luminance", "Of the photo, spread anew": "histogram"}
ABOUT_COLORS = "Of the photo: each place keeps its own. Spread anew: each is as frequent as in the photo, but anywhere."
STARTS = {"Photo": "content", "Noise": "noise", "Fast": "fast"}
SIZES = (256, 512, 768, 1024, 1536, 2048, 4096)  # pixels of the long side
CLASSIC_SIZES = SIZES[:5]
STEPS = 150
KEPT_RESULTS = 10
TURN = threading.Lock()  # pictures of all visitors that are painted at once take turns: each takes all cores


@dataclass(frozen=True)
class Order:
    """What is to be painted, and how.

    Attributes:
        stylizer: What paints it.
        content: The photo.
        seen: The photo for the screen.
        styles: One or several.
        options: How.
    """

    stylizer: Stylizer
    content: Picture
    seen: RGBImage
    styles: tuple[wall.Style, ...]
    options: StyleOptions

    @property
    def key(self) -> Hashable:
        """All that the result depends on."""
        return self.stylizer.method, self.content.digest, tuple(style.key for style in self.styles), self.options

    @property
    def long_side(self) -> int:
        """Of the result, in pixels."""
        return self.options.size or max(self.seen.width, self.seen.height)

    @property
    def file_name(self) -> str:
        """Of the result."""
        return f"{self.content.name}__{'+'.join(PurePath(style.name).stem for style in self.styles)}.png"

    def prepare(self) -> Prepared:
        """Work out what is needed of the styles."""
        return self.stylizer.prepare([style.source for style in self.styles])

    def paint(self, prepared: Prepared, report: Callable | None = None) -> Stylized:
        """Paint it."""
        return self.stylizer(self.content.file(), prepared, self.options, report=report)

    def paint_at_once(self, prepared: Prepared, size: int | None) -> Stylized:
        """Paint it at another size, when it is its turn."""
        with TURN:
            return self.stylizer(self.content.file(), prepared, self.options, size=size)


def page() -> None:
    """Draw the page."""
    st.title("Paint a photo in the style of a picture", anchor=False)
    stylizer, options = settings()
    left, right = st.columns([2, 3], gap="large")
    with left:
        content = photo()
        chosen = wall.choose()
    with right:
        try:
            seen = view(content, st.session_state.setdefault("looks", OrderedDict())) if content else None
            if seen is None or not chosen:
                easel().clear()
                invite(seen)
            else:
                options = replace(options, weights=tuple(chosen.values()))
                paint(Order(stylizer, content, seen, tuple(chosen), options))
        except ImageError as error:
            easel().clear()
            st.error(plain(str(error)), icon=":material/broken_image:")


def settings() -> tuple[Stylizer, StyleOptions]:
    """Draw the sidebar; return what paints by the method chosen there, and the other settings."""
    with st.sidebar:
        chosen = st.radio("Method", METHODS, captions=[about for _, about in METHODS.values()])
        method = METHODS[chosen][0]
        strength = st.slider("Strength", 0.0, 1.0, 1.0, step=0.05, format="percent", help="How much of the style.")
        more = {}
        if method != "color":
            more["keep_colors"] = COLORS[st.selectbox("Colors", COLORS, help=ABOUT_COLORS)]
        if method == "optimize":
            more["iterations"] = st.number_input("Steps", 10, 2000, STEPS, step=10)
            more["start"] = STARTS[st.selectbox("Start from", STARTS)]
        stylizer = models.stylizer(method)
        full = "As the photo" + (f", at most {stylizer.longest_side}" if stylizer.longest_side else "")
        sizes = CLASSIC_SIZES if method == "optimize" else SIZES
        size = st.selectbox("Long side in pixels", (full, *sizes), key=f"{method} size")
        return stylizer, StyleOptions(strength, None if size == full else size, **more)


def photo() -> Picture | None:
    """Draw the uploader or the camera, and the samples; return the photo."""
    if uploads.source("paint from") == uploads.CAMERA:
        shot = st.camera_input("Photo", resolution="1080p", help=uploads.MEMORY_ONLY)
        return Picture("snapshot", shot.getvalue()) if shot else None
    if picture := uploads.one("Photo"):
        return picture
    name = st.pills("Or a sample", list(SAMPLES), key="photo to paint")
    return sample(name) if name else None


def invite(seen: RGBImage | None) -> None:
    """Draw what a visitor sees who has not chosen everything yet: the photo, if there is one, and what to do."""
    if seen is None:
        st.info("Choose a photo and a style: the picture appears here.", icon=":material/palette:")
    else:
        st.info("Choose a style: a click on its picture is enough.", icon=":material/palette:")
        original(seen)


def paint(order: Order) -> None:
    """Draw the result, or how it comes about."""
    easel().clear(unless=order.key)
    if order.stylizer.method == "optimize":
        step_by_step(order)
    else:
        at_once(order)


def at_once(order: Order) -> None:
    """Paint for the screen and draw that; what is larger is painted when it is downloaded."""
    fits = order.long_side <= VIEW_SIZE
    prepared, result = prepare(order), results().get(order.key)
    if result is None:
        with st.spinner(f"Painting {plain(order.content.name)} …"):
            result = order.paint_at_once(prepared, order.options.size if fits else VIEW_SIZE)
        keep(order.key, result)
    show(order, result)
    if fits:
        download(order, result)
    else:
        full = partial(order.paint_at_once, prepared, order.options.size)
        save("PNG", lambda: encoded(full().pixels, ".png"), order.file_name, "image/png")
        st.caption(
            f"This is a look at {VIEW_SIZE} pixels. The download is painted for {order.long_side}, which takes longer "
            "and makes finer strokes."
        )


def prepare(order: Order) -> Prepared:
    """Return what is needed of the styles, from the session where they are those of the time before."""
    key = (order.stylizer.method, *(style.key for style in order.styles))
    known, prepared = st.session_state.get("prepared styles", (None, None))
    if known != key:
        prepared = order.prepare()
        st.session_state["prepared styles"] = key, prepared
    return prepared


def step_by_step(order: Order) -> None:
    """Draw the button that begins, then the picture while it is painted, then the one that is painted."""
    painting = easel().painting
    if painting is not None and not painting.running:
        easel().clear()
        if painting.error is not None:
            raise painting.error
        if painting.result is not None:
            keep(order.key, painting.result)
        painting = None
    if result := results().get(order.key):
        show(order, result)
        early = "stopped after" if result.stopped else "after"
        st.caption(f"{result.width} x {result.height} pixels, {early} {amount(result.iterations or 0, 'step')}")
        with st.container(horizontal=True):
            download(order, result)
            st.button("Paint again", on_click=results().pop, args=(order.key,), icon=":material/restart_alt:")
    elif painting is not None:
        st.fragment(watch, run_every=REFRESH)(painting)
    else:
        work = (order.key, lambda report: order.paint(order.prepare(), report))
        st.button("Paint", type="primary", on_click=easel().start, args=work, icon=":material/brush:")
        st.caption("You see the picture while it is painted, and can stop at any time.")
        original(order.seen)


def watch(painting: Painting) -> None:
    """Draw how far a picture is; this is drawn again and again while it is painted."""
    if not painting.running:
        st.rerun()
    progress = painting.progress
    if painting.waiting:
        st.progress(0.0, "Waiting for another visitor's picture …")
    elif progress is None:
        st.progress(0.0, "Stopping …" if painting.stopping else "Looking at the pictures …")
    else:
        width, height = progress.size
        words = f"Step {progress.iteration} of {progress.total}, {width} x {height} pixels, cost {progress.cost:.4g}"
        st.progress(progress.iteration / progress.total, words)
    st.button("Stop", on_click=painting.stop, disabled=painting.stopping, icon=":material/stop:")
    if painting.preview is not None:
        st.image(data_url(encoded(painting.preview, ".jpg"), "image/jpeg"), width="stretch", alt="The picture so far")


def original(seen: RGBImage) -> None:
    """Draw the photo."""
    st.image(seen.pixels, width="stretch", output_format="JPEG", alt="The photo")


def show(order: Order, result: Stylized) -> None:
    """Draw photo and result, one over the other, and what is to be said of them."""
    after = Image.fromarray(result.pixels)
    after.thumbnail((VIEW_SIZE, VIEW_SIZE))
    before = Image.fromarray(order.seen.pixels).resize(after.size)
    styles = " and ".join(style.name for style in order.styles)
    alts = order.content.name, f"{order.content.name} in the style of {styles}"
    before_after(np.asarray(before), np.asarray(after), alts)
    for note in result.notes:
        st.caption(f"Note: {plain(note)}")


def download(order: Order, result: Stylized) -> None:
    """Draw the button that saves a result."""
    save("PNG", lambda: encoded(result.pixels, ".png"), order.file_name, "image/png")


def results() -> OrderedDict[Hashable, Stylized]:
    """Return the session's last results by the keys of their orders."""
    return st.session_state.setdefault("stylized", OrderedDict())


def keep(key: Hashable, result: Stylized) -> None:
    """Keep a result for the session, in the place of the oldest one where there are KEPT_RESULTS."""
    results()[key] = result
    if len(results()) > KEPT_RESULTS:
        results().popitem(last=False)
