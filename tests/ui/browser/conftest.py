"""One served page and one browser with a camera for all browser tests."""

import fake_camera
import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright
from served_page import CHROMIUM, FLAGS, serve, visit


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """The folder of the gallery and of what the camera shows."""
    return tmp_path_factory.mktemp("faces")


@pytest.fixture(scope="package")
def address(tiny_model, folder):
    """Where the page is served, with a small model beside the released ones."""
    with serve(VISION_APP_MODELS=str(tiny_model.parent), VISION_APP_GALLERY=str(folder / "people.db")) as address:
        yield address


@pytest.fixture(scope="package")
def browser(folder):
    """A window of Chromium, whose pages share a cache."""
    with sync_playwright() as playwright:
        flags = FLAGS + fake_camera.flags(folder / "camera.y4m")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser.new_context(viewport={"width": 1400, "height": 1000})
        browser.close()


@pytest.fixture
def page(browser: BrowserContext, address: str) -> Page:
    """The Detect page, just opened."""
    with visit(browser, address) as page:
        yield page
