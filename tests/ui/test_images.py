"""Images in memory, and what the session keeps of the networks' outputs, and for how long."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit
from image_files import encode
from PIL import Image
from skimage import data

from vision_app import DetectOptions
from vision_app.core.errors import ImageError, UsageError, VisionAppError
from vision_app.detection.grid_detector import GridDetector
from vision_app.ui import images as ui_images
from vision_app.ui.images import (
    CACHE,
    MEGAPIXELS,
    SCREEN_SIZE,
    ImageFile,
    decoding,
    detect,
    from_uploads,
    infer,
    screen_image,
)


@pytest.fixture(autouse=True)
def session(monkeypatch) -> dict:
    """The state of a session."""
    state = {}
    monkeypatch.setattr(streamlit, "session_state", state)
    return state


def test_the_oldest_entries_are_dropped_first(session, monkeypatch, detector, forward_calls):
    monkeypatch.setattr(ui_images, "MAX_ENTRIES", 2)
    colors = ("red", "green", "blue")
    images = [ImageFile(color, encode(Image.new("RGB", (64, 48), color), "PNG")) for color in colors]
    for index in (0, 1, 0, 2, 0, 1):  # the last one was dropped in favor of 2
        infer(images[index], detector)
        assert len(session[CACHE]) <= 2
    assert len(forward_calls) == 4


def test_an_unreadable_file_is_tried_once(monkeypatch, detector, bad_files):
    read, calls = GridDetector.read, []
    monkeypatch.setattr(
        GridDetector, "read", lambda self, *args, **named: calls.append(named) or read(self, *args, **named)
    )
    content, reason = bad_files["half.jpg"]
    for name in ("half.jpg", "half.jpg", "other.jpg"):
        with pytest.raises(ImageError, match=rf"^{name}: .*{reason}"):
            infer(ImageFile(name, content), detector)
    assert len(calls) == 1


def test_a_large_image_is_reduced_for_the_screen_but_not_for_the_network(detector):
    wide = ImageFile("wide.jpg", encode(Image.fromarray(np.tile(data.coffee(), (4, 5, 1))), "JPEG"))  # 3000 x 1600
    screen = screen_image(wide)
    assert max(screen.pixels.shape) == SCREEN_SIZE
    assert (screen.width, screen.height) == (3000, 1600)
    detections, _ = detect(infer(wide, detector), detector, DetectOptions())
    assert detections.to_dict() == detector(wide.data).to_dict()


def test_the_runtimes_of_a_model_do_not_share_an_entry(session):
    image = ImageFile("a.png", encode(Image.new("RGB", (64, 48)), "PNG"))
    for runtime in ("onnx", "torch"):
        model = SimpleNamespace(
            name="a", runtime=runtime, device="cpu", read=lambda data, name: data, preprocess=list,
            forward=lambda inputs, stages, runtime=runtime: runtime,
        )  # fmt: skip
        assert infer(image, model).raw == runtime
    assert len(session[CACHE]) == 2


def test_uploads_of_one_name_are_told_apart():
    uploads = [SimpleNamespace(name=name, getvalue=lambda: b"") for name in ("a.jpg", "a.jpg", "a (2).jpg", "a.jpg")]
    names = [image.name for image in from_uploads(uploads)]
    assert names == ["a.jpg", "a (2).jpg", "a (2) (2).jpg", "a (3).jpg"]


@pytest.mark.parametrize(("limit", "accepted"), [("0.24", True), ("0.2", False), ("", True), ("100", True)])
def test_an_image_with_more_pixels_than_the_page_takes_is_refused_by_its_header(
    monkeypatch, decode_lock, limit, accepted
):
    monkeypatch.setenv(MEGAPIXELS, limit)
    image = ImageFile("big.png", encode(Image.new("1", (600, 400)), "PNG")[:60])  # there is no more to read
    if accepted:
        with decoding(image):
            assert decode_lock.owner is threading.current_thread()
    else:
        with pytest.raises(ImageError, match=r"big\.png: too large: 600 x 400; this page takes up to 0\.2 megapixels"):
            decoding(image).__enter__()
    assert decode_lock.owner is None


@pytest.mark.parametrize("text", ["many", "0", "-1", "nan", "inf", "101"])
def test_a_wrong_limit_of_pixels_is_an_error_that_names_the_variable(monkeypatch, text):
    monkeypatch.setenv(MEGAPIXELS, text)
    with pytest.raises(UsageError, match=f"{MEGAPIXELS}: must be a number above 0 and at most 100, not '{text}'"):
        decoding(ImageFile("a.png", b"")).__enter__()


def test_images_of_all_visitors_are_looked_at_one_after_the_other(monkeypatch, decode_lock):
    at_once, most = [], []
    content = encode(Image.new("1", (2, 2)), "PNG")

    def look(number):
        with decoding(ImageFile(f"{number}.png", content)):
            at_once.append(number)
            most.append(len(at_once))
            time.sleep(0.01)
            at_once.remove(number)

    with ThreadPoolExecutor(6) as visitors:
        list(visitors.map(look, range(6)))
    assert most == [1] * 6
    monkeypatch.setattr(ui_images, "PATIENCE", 0.01)
    decode_lock.acquire()
    with pytest.raises(VisionAppError, match="the page is busy with other visitors' images; try again"):
        look(7)


def test_a_file_that_did_not_fit_in_memory_is_tried_again(monkeypatch, detector):
    image, read = ImageFile("a.png", encode(Image.new("RGB", (64, 48)), "PNG")), GridDetector.read

    def no_memory(*args, **named):
        raise ImageError("a.png", "not enough memory to decode it") from MemoryError()

    monkeypatch.setattr(GridDetector, "read", no_memory)
    with pytest.raises(ImageError, match=r"a\.png: not enough memory"):
        infer(image, detector)
    monkeypatch.setattr(GridDetector, "read", read)
    assert infer(image, detector).raw is not None
