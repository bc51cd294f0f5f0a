"""Images that a visitor uploads, takes or picks from the samples, and what models computed for them. All in memory.

Inference is the costly part: it is done once and kept for the session. The settings on the Detect page change only
`Detector.postprocess`, which runs on the kept output.
"""

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from pathlib import PurePath
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import streamlit as st
from PIL import Image
from streamlit.runtime.uploaded_file_manager import UploadedFile

from vision_app import Classifier, Detections, DetectOptions, Detector, RGBImage, read_image
from vision_app.core.errors import ImageError, UsageError, VisionAppError
from vision_app.core.images import read_size
from vision_app.core.limits import MAX_PIXELS
from vision_app.core.timing import timed

SAMPLES = {"Cat": "cat.jpg", "Coffee": "coffee.jpg"}
SCREEN_SIZE = 1024  # pixels of the long side
MAX_ENTRIES = 80
CACHE = "inference cache"  # in the session's state
MEGAPIXELS = "VISION_APP_MAX_MEGAPIXELS"  # the environment variable with the largest images that the page takes
MAX_MEGAPIXELS = 50.0
PATIENCE = 30.0  # seconds to wait for other visitors' images
SESSION_QUOTA = 300  # megabytes of uploads of one visitor
DECODE_LOCK = threading.Lock()  # held by whoever decodes an image of a visitor, see `decoding`

Value = TypeVar("Value")


@dataclass(frozen=True)
class ImageFile:
    """An image file in memory.

    Attributes:
        name: Unique on the page.
        data: The content.
    """

    name: str
    data: bytes

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return sha256(self.data).hexdigest()

    def open(self) -> BytesIO:
        """Return the content as a file object with a name."""
        stream = BytesIO(self.data)
        stream.name = self.name
        return stream


def sample(name: str) -> ImageFile:
    """Return the sample called `name`, a key of SAMPLES."""
    return ImageFile(SAMPLES[name], (files("vision_app.ui") / "samples" / SAMPLES[name]).read_bytes())


def from_uploads(uploads: Iterable[UploadedFile]) -> list[ImageFile]:
    """Return the uploaded files with unique names: a second `a.jpg` becomes `a (2).jpg`."""
    images: dict[str, ImageFile] = {}
    for upload in uploads:
        path = PurePath(upload.name)
        name, number = path.name, 1
        while name in images:
            number += 1
            name = f"{path.stem} ({number}){path.suffix}"
        images[name] = ImageFile(name, upload.getvalue())
    return list(images.values())


@dataclass(frozen=True)
class Inference:
    """The output of a network for one image, before any threshold.

    Attributes:
        raw: What `forward` returned.
        decoding_ms: Milliseconds to decode the image for the network.
        stages: Milliseconds of preprocessing and of the stages of the network; see `core.timing`.
    """

    raw: Any
    decoding_ms: float
    stages: dict[str, float]


def infer(image: ImageFile, model: Detector | Classifier) -> Inference:
    """Return the output of a model for an image.

    Raises:
        ImageError: The image cannot be read.
    """

    def compute() -> Inference:
        start = perf_counter()
        pixels = model.read(image.data, name=image.name)
        decoding_ms = 1000 * (perf_counter() - start)
        raw, stages = timed(model, pixels)
        return Inference(raw, decoding_ms, stages.times)

    return cached(image, (model.name, model.runtime), compute)


def detect(inference: Inference, detector: Detector, options: DetectOptions) -> tuple[Detections, float]:
    """Return the detections under these options and the milliseconds of thresholds and non-maximum suppression."""
    start = perf_counter()
    (detections,) = detector.postprocess(inference.raw, options)
    return detections, 1000 * (perf_counter() - start)


def screen_image(image: ImageFile) -> RGBImage:
    """Return an image for the screen, at most SCREEN_SIZE pixels on the long side.

    Raises:
        ImageError: The image cannot be read.
    """

    def compute() -> RGBImage:
        full = read_image(image.data, target=SCREEN_SIZE, name=image.name)
        small = Image.fromarray(full.pixels)
        small.thumbnail((SCREEN_SIZE, SCREEN_SIZE))
        return RGBImage(np.asarray(small), full.width, full.height)

    return cached(image, "screen", compute)


@contextmanager
def decoding(*images: ImageFile) -> Iterator[None]:
    """Decode images and look at them in the block, when it is their turn.

    Each takes memory by the hundred megabytes and all cores: images of all visitors are looked at one after the other.

    Raises:
        ImageError: One of them has more pixels than the page takes, or a damaged header.
        VisionAppError: The page is busy with the images of others.
    """
    for image in images:
        check_size(image)
    if not DECODE_LOCK.acquire(timeout=PATIENCE):
        raise VisionAppError("the page is busy with other visitors' images; try again in a moment")
    try:
        yield
    finally:
        DECODE_LOCK.release()


def check_size(image: ImageFile) -> None:
    """Check that an image has no more pixels than the page takes, by its header.

    Raises:
        ImageError: It has more, or the header cannot be read.
    """
    limit = max_megapixels()
    width, height = read_size(image.data, name=image.name)
    if width * height > 1e6 * limit:
        raise ImageError(image.name, f"too large: {width} x {height}; this page takes up to {limit:g} megapixels")


def max_megapixels() -> float:
    """Return the megapixels of the largest images that the page takes.

    Raises:
        UsageError: The environment variable that sets them is not a number in that range.
    """
    text = os.environ.get(MEGAPIXELS) or str(MAX_MEGAPIXELS)
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 < limit <= MAX_PIXELS / 1e6:
        raise UsageError(f"{MEGAPIXELS}: must be a number above 0 and at most {MAX_PIXELS / 1e6:g}, not {text!r}")
    return limit


def cached(image: ImageFile, key: Hashable, compute: Callable[[], Value]) -> Value:
    """Return what was computed for an image under this key, or compute it.

    The session keeps the MAX_ENTRIES most recently used values, and errors that the same file causes every time.

    Raises:
        ImageError: The image cannot be read.
    """
    entries: OrderedDict[Hashable, Any] = st.session_state.setdefault(CACHE, OrderedDict())
    place = (image.digest, key)
    if place not in entries:
        try:
            with decoding(image):
                entries[place] = compute()
        except ImageError as error:
            kept = ImageError(image.name, error.reason)  # without the traceback, which holds the pixels
            if isinstance(error.__cause__, MemoryError):  # there may be enough the next time
                raise kept from None
            entries[place] = kept
    entries.move_to_end(place)
    while len(entries) > MAX_ENTRIES:
        entries.popitem(last=False)
    value: Value | ImageError = entries[place]
    if isinstance(value, ImageError):
        raise ImageError(image.name, value.reason)  # the same content may have another name now
    return value
