"""Images in memory, and what the session keeps of the networks' outputs, and for how long."""

from types import SimpleNamespace

import numpy as np
import pytest
import streamlit
from image_files import encode
from PIL import Image
from skimage import data

from vision_app import DetectOptions
from vision_app.core.errors import ImageError
from vision_app.detection.grid_detector import GridDetector
from vision_app.ui import images as ui_images
from vision_app.ui.images import CACHE, SCREEN_SIZE, ImageFile, detect, from_uploads, infer, screen_image


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
