"""The Style page: a photo in the style of other images."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import partial
from operator import delitem
from pathlib import PurePath

import numpy as np
import streamlit as st
from PIL import Image

from vision_app import RGBImage, StyleOptions, Stylized, Stylizer
from vision_app.core.errors import ImageError
from vision_app.core.text import amount, escape
from vision_app.style.results import Report
from vision_app.style.stylizer import PreparedStyles
from vision_app.ui import models
from vision_app.ui.downloads import data_url, encoded
from vision_app.ui.images import SAMPLES, SCREEN_SIZE, ImageFile, decoding, sample, screen_image
from vision_app.ui.style_job import REFRESH, StyleJob, job_slot
from vision_app.ui.widgets.inputs import CAMERA, choose_source, snapshot, upload_one
from vision_app.ui.widgets.outputs import before_after, save, show_error, show_image
from vision_app.ui.widgets.style_picker import Style, choose_styles

METHODS = {
    "Fast": ("fast", "A network repaints the photo in a single pass."),
    "Classic": ("optimize", "Optimizes the image step by step: closest to the style, but slow."),
    "Colors only": ("color", "The photo stays a photo and takes on the colors of the style."),
}
COLORS = {"From the style": "no", "From the photo": "luminance", "From the photo (histogram)": "histogram"}
COLORS_HELP = (
    "From the photo: each place keeps its color. Histogram: each color is as frequent as in the photo, but anywhere."
)
STARTS = {"Photo": "content", "Noise": "noise", "Fast": "fast"}
SIZES = (256, 512, 768, 1024, 1536, 2048, 4096)  # pixels of the long side
CLASSIC_SIZES = SIZES[:5]
STEPS = 150
MAX_RESULTS = 10


@dataclass(frozen=True)
class StyleRequest:
    """What to stylize, and how.

    Attributes:
        stylizer: Of the chosen method.
        image: The photo.
        screen: The photo for the screen.
        styles: One or several.
        options: The settings, with a weight for each style.
    """

    stylizer: Stylizer
    image: ImageFile
    screen: RGBImage
    styles: tuple[Style, ...]
    options: StyleOptions

    @property
    def key(self) -> Hashable:
        """Everything that the result depends on."""
        return self.stylizer.method, self.image.digest, tuple(style.key for style in self.styles), self.options

    def prepare(self) -> PreparedStyles:
        """Compute what the stylizer needs of the styles."""
        with decoding(*(style.image for style in self.styles if style.image)):
            return self.stylizer.prepare([style.source for style in self.styles])

    def stylize_at_once(self, prepared: PreparedStyles, size: int | None) -> Stylized:
        """Stylize in a single pass at some size when it is this visitor's turn."""
        with decoding(self.image):
            return self.stylizer(self.image.open(), prepared, self.options, size=size)

    def stylize_step_by_step(self, report: Report) -> Stylized:
        """Stylize in many passes; other visitors' images are decoded meanwhile."""
        prepared = self.prepare()
        with decoding(self.image):
            photo = self.stylizer.read(self.image.open(), self.options)
        try:
            return self.stylizer(photo, prepared, self.options, report=report)
        except ImageError as error:  # pixels have no name
            raise ImageError(self.image.name, error.reason) from None


def page() -> None:
    """Draw the page."""
    st.title("Style transfer", anchor=False)
    stylizer, options = settings()
    left, right = st.columns([2, 3], gap="large")
    with left:
        image = choose_photo()
        styles = choose_styles()
    with right:
        try:
            if image and styles:
                options = replace(options, weights=tuple(styles.values()))
                request = StyleRequest(stylizer, image, screen_image(image), tuple(styles), options)
                job_slot().clear(unless=request.key)
                (step_by_step if stylizer.method == "optimize" else at_once)(request)
                return
            what = "a style" if image else "a photo and a style"
            st.info(f"Choose {what} to see the result here.", icon=":material/palette:")
            if image:
                show_image(screen_image(image).pixels, "The photo")
        except ImageError as error:
            show_error(error)
        job_slot().clear()


def settings() -> tuple[Stylizer, StyleOptions]:
    """Draw the sidebar; return the stylizer for the chosen method and the options."""
    with st.sidebar:
        chosen = st.radio("Method", METHODS, captions=[about for _, about in METHODS.values()])
        method = METHODS[chosen][0]
        strength = st.slider("Strength", 0.0, 1.0, 1.0, step=0.05, format="percent", help="How much of the style.")
        options = StyleOptions(strength)
        if method != "color":
            options = replace(options, keep_colors=COLORS[st.selectbox("Colors", COLORS, help=COLORS_HELP)])
        if method == "optimize":
            steps = st.number_input("Steps", 10, 2000, STEPS, step=10)
            options = replace(options, iterations=steps, start=STARTS[st.selectbox("Start from", STARTS)])
        stylizer = models.stylizer(method)
        full = "Same as the photo" + (f", at most {stylizer.longest_side}" if stylizer.longest_side else "")
        sizes = CLASSIC_SIZES if method == "optimize" else SIZES
        size = st.selectbox("Output size", (full, *sizes), key=f"{method} size", help="Long side in pixels.")
        return stylizer, options if size == full else replace(options, size=size)


def choose_photo() -> ImageFile | None:
    """Draw the uploader or the camera, and the samples; return the photo."""
    if choose_source("photo source") == CAMERA:
        return snapshot("Photo", "photo snapshot", "1080p")
    if image := upload_one("Photo"):
        return image
    name = st.pills("Or a sample", list(SAMPLES), key="photo sample")
    return sample(name) if name else None


def at_once(request: StyleRequest) -> None:
    """Stylize for the screen and draw that; a larger result is computed when it is downloaded."""
    long_side = request.options.size or max(request.screen.width, request.screen.height)
    fits = long_side <= SCREEN_SIZE
    key = (request.stylizer.method, *(style.key for style in request.styles))
    if st.session_state.get("prepared styles", [None])[0] != key:
        st.session_state["prepared styles"] = key, request.prepare()  # a slider does not change it
    prepared, result = st.session_state["prepared styles"][1], results().get(request.key)
    if result is None:
        with st.spinner(f"Stylizing {escape(request.image.name)} …"):
            result = request.stylize_at_once(prepared, request.options.size if fits else SCREEN_SIZE)
        keep(request.key, result)
    show(request, result)
    download(request, result if fits else partial(request.stylize_at_once, prepared, request.options.size))
    if not fits:
        st.caption(
            f"This is a preview of {SCREEN_SIZE} pixels. The download has {long_side} pixels, takes longer and "
            "has finer strokes."
        )


def step_by_step(request: StyleRequest) -> None:
    """Draw the button that starts the job, then its progress, then the result."""
    job = job_slot().job
    if job is not None and not job.is_alive():
        job_slot().clear()
        if job.error is not None:
            raise job.error
        if job.result is not None:
            keep(request.key, job.result)
        job = None
    if result := results().get(request.key):
        show(request, result)
        early = "stopped after" if result.stopped else "after"
        st.caption(f"{result.width} x {result.height} pixels, {early} {amount(result.iterations or 0, 'step')}")
        with st.container(horizontal=True):
            download(request, result)
            st.button("Start over", on_click=delitem, args=(results(), request.key), icon=":material/restart_alt:")
    elif job is not None:
        st.fragment(watch, run_every=REFRESH)(job)
    else:
        work = (request.key, request.stylize_step_by_step)
        st.button("Start", type="primary", on_click=job_slot().start, args=work, icon=":material/brush:")
        st.caption("You can watch the progress and stop at any time.")
        show_image(request.screen.pixels, "The photo")


def watch(job: StyleJob) -> None:
    """Draw the progress of a job; repeated while it runs."""
    if not job.is_alive():
        st.rerun()
    progress = job.progress
    if job.waiting:
        st.progress(0.0, "Waiting for another visitor's image …")
    elif progress is None:
        st.progress(0.0, "Stopping …" if job.stopping else "Preparing …")
    else:
        width, height = progress.size
        words = f"Step {progress.iteration} of {progress.total}, {width} x {height} pixels, loss {progress.cost:.4g}"
        st.progress(progress.iteration / progress.total, words)
    st.button("Stop", on_click=job.stop, disabled=job.stopping, icon=":material/stop:")
    if job.preview is not None:
        st.image(data_url(encoded(job.preview, ".jpg"), "image/jpeg"), width="stretch", alt="The image so far")


def show(request: StyleRequest, result: Stylized) -> None:
    """Draw photo and result, one over the other, and the notes."""
    after = Image.fromarray(result.pixels)
    after.thumbnail((SCREEN_SIZE, SCREEN_SIZE))
    before = Image.fromarray(request.screen.pixels).resize(after.size)
    styles = " and ".join(style.name for style in request.styles)
    alts = request.image.name, f"{request.image.name} in the style of {styles}"
    before_after(np.asarray(before), np.asarray(after), alts)
    for note in result.notes:
        st.caption(f"Note: {escape(note)}")


def download(request: StyleRequest, result: Stylized | partial[Stylized]) -> None:
    """Draw the button that saves a result, or computes it first."""
    name = f"{request.image.name}__{'+'.join(PurePath(style.name).stem for style in request.styles)}.png"

    def content() -> bytes:
        return encoded((result if isinstance(result, Stylized) else result()).pixels, ".png")

    save("PNG", content, name, "image/png")


def results() -> OrderedDict[Hashable, Stylized]:
    """Return the session's last results by the keys of their requests."""
    kept: OrderedDict[Hashable, Stylized] = st.session_state.setdefault("stylized", OrderedDict())
    return kept


def keep(key: Hashable, result: Stylized) -> None:
    """Keep the last MAX_RESULTS results for the session."""
    results()[key] = result
    if len(results()) > MAX_RESULTS:
        results().popitem(last=False)
