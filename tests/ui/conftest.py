"""Files that visitors of the page bring along, and the page as it is served to them."""

import pytest
from image_files import encode
from painted_people import painted_recognizer
from PIL import Image
from playwright.sync_api import sync_playwright
from served_page import CHROMIUM, FLAGS, serve
from skimage import data
from tiny_detectors import write_tiny

from vision_app.ui import models
from vision_app.ui.faces import GALLERY


@pytest.fixture(scope="session")
def cat() -> bytes:
    return encode(Image.fromarray(data.chelsea()), "PNG")


@pytest.fixture(scope="session")
def coffee() -> bytes:
    return encode(Image.fromarray(data.coffee()), "JPEG", quality=92)


@pytest.fixture(scope="session")
def bad_files(coffee) -> dict[str, tuple[bytes, str]]:
    """Files that are no picture, by name: the content and a word of the sentence that says why."""
    return {
        "notes.jpg": (b"Dear diary, this is no photo.", "not an image"),
        "empty.png": (b"", "empty"),
        "half.jpg": (coffee[: len(coffee) // 2], "cut short"),
        "bomb.png": (encode(Image.new("1", (10_001, 10_000)), "PNG"), "too large"),
    }


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of a small model, in a folder that models are looked for in."""
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def address(tiny_model):
    """Where the page is served, with a small model beside the released ones."""
    with serve(VISION_APP_MODELS=str(tiny_model.parent)) as address:
        yield address


@pytest.fixture(scope="module")  # no longer: Playwright's event loop runs as long as it is open
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def painted(monkeypatch):
    """Let the pages about faces know painted people; returns what recognizes them."""
    recognizer = painted_recognizer()
    monkeypatch.setattr(models, "recognizer", lambda: recognizer)
    return recognizer


@pytest.fixture
def gallery_path(tmp_path, monkeypatch):
    """The file of the gallery that the pages about faces start with; it is not there yet."""
    path = tmp_path / "people.db"
    monkeypatch.setenv(GALLERY, str(path))
    return path
