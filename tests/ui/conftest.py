"""Images, models and people for the pages."""

import sys
import threading

import pytest
from app_pages import ADA, BOB, photo_of
from image_files import encode
from painted_people import painted_recognizer
from PIL import Image
from skimage import data
from streamlit.runtime.scriptrunner import get_script_run_ctx
from tiny_detectors import write_tiny

from vision_app import Detector, Gallery
from vision_app.core import images as core_images
from vision_app.detection.grid_detector import GridDetector
from vision_app.ui import images, models
from vision_app.ui.style_job import StyleJob
from vision_app.ui.widgets.faces import GALLERY


@pytest.fixture(autouse=True)
def main_module(monkeypatch):
    """Restore `__main__`, which Streamlit replaces by the page: processes that other tests start would import it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


class OwnedLock:
    """A lock that knows the thread that holds it."""

    def __init__(self):
        self.lock, self.owner = threading.Lock(), None

    def acquire(self, timeout=-1):
        if taken := self.lock.acquire(timeout=timeout):
            self.owner = threading.current_thread()
        return taken

    def release(self):
        self.owner = None
        self.lock.release()


@pytest.fixture(autouse=True)
def decode_lock(monkeypatch) -> OwnedLock:
    """Let no page and no job decode an image of a visitor unless its own thread holds the lock for that."""
    lock, decode = OwnedLock(), core_images._decode

    def decode_in_turn(source, name, *rest):
        thread = threading.current_thread()
        if get_script_run_ctx(suppress_warning=True) or isinstance(thread, StyleJob):  # not a test itself
            assert lock.owner is thread, f"{name} is decoded out of turn"
        return decode(source, name, *rest)

    monkeypatch.setattr(images, "DECODE_LOCK", lock)
    monkeypatch.setattr(core_images, "_decode", decode_in_turn)
    return lock


@pytest.fixture(scope="session")
def cat() -> bytes:
    return encode(Image.fromarray(data.chelsea()), "PNG")


@pytest.fixture(scope="session")
def coffee() -> bytes:
    return encode(Image.fromarray(data.coffee()), "JPEG", quality=92)


@pytest.fixture(scope="session")
def bad_files(coffee) -> dict[str, tuple[bytes, str]]:
    """Files that are not images, by name: the content and a word of the sentence that says why."""
    return {
        "notes.jpg": (b"Dear diary, this is no photo.", "not an image"),
        "empty.png": (b"", "empty"),
        "half.jpg": (coffee[: len(coffee) // 2], "cut short"),
        "bomb.png": (encode(Image.new("1", (10_001, 10_000)), "PNG"), "too large"),
    }


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of a small model, in a folder for $VISION_APP_MODELS."""
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def detector() -> Detector:
    """The released detector that the pages start with."""
    return Detector.load("yolo")


@pytest.fixture
def forward_calls(monkeypatch) -> list[int]:
    """Grows by the number of images whenever a detector's network runs."""
    calls, forward = [], GridDetector.forward

    def counting(self, inputs, *more):
        calls.append(len(inputs.pixels))
        return forward(self, inputs, *more)

    monkeypatch.setattr(GridDetector, "forward", counting)
    return calls


@pytest.fixture
def painted(monkeypatch):
    """Let the face pages recognize painted people; returns the recognizer."""
    recognizer = painted_recognizer()
    monkeypatch.setattr(models, "recognizer", lambda: recognizer)
    return recognizer


@pytest.fixture
def gallery_path(tmp_path, monkeypatch):
    """The gallery file that the face pages start with; it does not exist yet."""
    path = tmp_path / "people.db"
    monkeypatch.setenv(GALLERY, str(path))
    return path


@pytest.fixture
def known(painted, gallery_path):
    """A gallery that knows Ada and Bob by one photo each."""
    with Gallery.open(gallery_path, recognizer=painted) as gallery:
        gallery.enroll("Ada", [photo_of((ADA, 1))])
        gallery.enroll("Bob", [photo_of((BOB, 1))])
    return gallery_path
