"""The Style page in a real browser, with the released models."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from image_files import encode
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect
from served_page import PATIENCE, browser_test, settle, visit
from skimage import data

from vision_app.style.samples.samples import sample

pytestmark = browser_test

STYLE = "mosaic"
PHOTO = Image.fromarray(data.chelsea()).resize((120, 80))


@pytest.fixture
def page(browser: BrowserContext, address: str):
    """The Style page."""
    with visit(browser, address, "style") as page:
        yield page


def open_style(page: Page) -> None:
    page.get_by_role("link", name="Style").click()
    expect(page.get_by_role("button", name="Gravel")).to_be_visible(timeout=PATIENCE)
    settle(page)


def upload(page: Page, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    page.locator("input[type=file]").first.set_input_files([path])
    settle(page)


def choose(page: Page, text: str) -> None:
    page.get_by_text(text, exact=True).click()
    settle(page)


def choose_style(page: Page) -> None:
    page.get_by_role("button", name=STYLE.capitalize()).click()
    settle(page)


def choose_size(page: Page, size: int) -> None:
    settle(page)
    box, option = page.get_by_role("combobox", name="Output size"), page.get_by_role("option", name=str(size))
    while not option.is_visible():  # a redrawn page closes the list
        box.click()
        page.wait_for_timeout(300)
    option.click()
    settle(page)


def choose_many_steps(page: Page) -> None:
    """Let a job run until it is stopped, however slow the browser is."""
    page.get_by_role("spinbutton", name="Steps").fill("2000")
    page.get_by_role("spinbutton", name="Steps").press("Enter")
    settle(page)


def save(page: Page) -> Image.Image:
    """Press the download button and return the image."""
    button = page.get_by_test_id("stDownloadButton").get_by_role("button", name="PNG")
    with page.expect_download() as download:
        button.click(timeout=PATIENCE)
    assert download.value.suggested_filename == f"my cat.png__{STYLE.capitalize()}.png"
    return Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))


def difference(first: Image.Image, second: Image.Image) -> float:
    """Mean difference of two images from 0 to 255, of the size of the first."""
    return abs(np.subtract(first, second.resize(first.size), dtype=float)).mean()


def check_stylized(image: Image.Image) -> None:
    """An image is neither the photo nor the style, and still shows the photo."""
    assert difference(image, PHOTO) > 5 and difference(image, Image.fromarray(sample(STYLE))) > 20
    light, photo = (np.asarray(one.convert("L").resize((24, 16)), float).ravel() for one in (image, PHOTO))
    assert np.corrcoef(light, photo)[0, 1] > 0.3


def test_a_job_is_watched_stopped_and_saved_and_then_the_fast_method_runs(page, tmp_path):
    upload(page, tmp_path / "my cat.png", encode(PHOTO, "PNG"))
    choose(page, "Classic")
    choose_size(page, 256)
    choose_many_steps(page)
    choose_style(page)
    page.get_by_role("button", name="Start").click()
    preview = page.get_by_role("img", name="The image so far")
    expect(preview).to_be_visible(timeout=2 * PATIENCE)
    first = preview.get_attribute("src")
    expect(preview).not_to_have_attribute("src", first, timeout=PATIENCE)
    expect(page.get_by_text(re.compile(r"Step \d{2,} of 2000, .* loss"))).to_be_visible(timeout=4 * PATIENCE)
    page.get_by_role("button", name="Stop").click()
    stopped = page.get_by_text("256 x 171 pixels, stopped after")
    expect(stopped).to_be_visible(timeout=PATIENCE)
    image = save(page)
    assert image.size == (256, 171)
    check_stylized(image)

    choose(page, "Fast")
    expect(stopped).to_have_count(0, timeout=PATIENCE)
    expect(page.get_by_role("img", name="my cat.png in the style of Mosaic")).to_be_visible(timeout=PATIENCE)
    settle(page)
    slider = page.get_by_role("slider", name="Percentage of the original")
    assert slider.input_value() == "50"
    slider.press("ArrowLeft")
    before = page.get_by_role("img", name="my cat.png", exact=True)
    assert before.evaluate("image => getComputedStyle(image).clipPath") == "inset(0px 51% 0px 0px)"
    image = save(page)
    assert image.size == PHOTO.size
    check_stylized(image)


def test_leaving_the_page_stops_the_job(page):
    choose(page, "Cat")
    choose(page, "Classic")
    choose_size(page, 256)
    choose_many_steps(page)
    choose_style(page)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", name="Compare detectors")).to_be_visible(timeout=PATIENCE)
    open_style(page)
    choose(page, "Cat")
    choose(page, "Classic")
    expect(page.get_by_role("button", name="Start")).to_be_visible(timeout=PATIENCE)


def test_a_photo_that_cannot_be_used_is_named(page, tmp_path, bad_files):
    choose_style(page)
    upload(page, tmp_path / "notes.jpg", bad_files["notes.jpg"][0])
    expect(page.get_by_role("alert")).to_contain_text("notes.jpg: not an image", timeout=PATIENCE)
