"""The Compare page in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from served_page import PATIENCE, browser_test, settle, visit

from vision_app import Detector
from vision_app.core.text import amounts
from vision_app.detection.compare.report import counts_text
from vision_app.detection.compare.table import agree

pytestmark = browser_test


@pytest.fixture
def page(browser: BrowserContext, address: str):
    """The Compare page, reached by the link at the top."""
    with visit(browser, address) as page:
        page.get_by_role("link", name="Compare").click()
        expect(page.get_by_role("heading", name="Compare detectors")).to_be_visible(timeout=PATIENCE)
        yield page


def choose(page: Page, *names: str) -> None:
    """Compare these models and no others."""
    box = page.get_by_role("combobox", name="Models")
    for _ in range(2):  # what is chosen at first
        box.press("Backspace")
    for name in names:
        box.fill(name)
        page.get_by_role("option", name=name, exact=True).click()
    box.press("Escape")
    for name in names:
        expect(page.get_by_role("slider", name=f"Confidence of {name}")).to_be_visible(timeout=PATIENCE)
    settle(page)


def test_two_models_are_shown_side_by_side_and_the_report_opens_offline(page, browser, tiny_model, cat, tmp_path):
    choose(page, "yolo", "tiny")
    photo = tmp_path / "my_cat *and* <b>.png"
    photo.write_bytes(cat)
    page.locator("input[type=file]").set_input_files([photo])
    first, second = (Detector.load(model, runtime="torch")(photo) for model in ("yolo", tiny_model))
    for name, found in (("yolo", first), ("tiny", second)):
        text = amounts(found.count())
        image = page.get_by_role("img", name=f"{photo.name} by {name}: {text}")
        expect(image).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(counts_text(agree(first, second), "yolo", "tiny"))).to_be_visible()
    expect(page.get_by_text("preprocess").filter(has_text="backbone")).to_have_count(2)

    with page.expect_download() as download:
        page.get_by_role("button", name="Report (HTML)").click()
    report, requests = tmp_path / "report.html", []
    report.write_bytes(Path(download.value.path()).read_bytes())
    window = browser.new_page()
    window.on("request", lambda request: requests.append(request.url))
    window.goto(report.as_uri())
    expect(window.get_by_role("heading", name=photo.name, exact=True)).to_be_visible()
    widths = window.evaluate("Promise.all([...document.images].map(async i => (await i.decode(), i.naturalWidth)))")
    assert len(widths) == 3 and min(widths) > 100
    assert all(url.startswith(("file:", "data:")) for url in requests)
    window.close()


def test_a_slider_per_model_changes_its_boxes(page):
    choose(page, "yolo", "tiny")
    page.get_by_role("button", name="Cat", exact=True).click()
    image = page.get_by_role("img", name="cat.jpg by yolo: 1 cat")
    expect(image).to_be_visible(timeout=PATIENCE)
    page.get_by_role("slider", name="Confidence of yolo").press("End")
    expect(page.get_by_role("img", name="cat.jpg by yolo: no objects")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("slider", name="Confidence of tiny")).to_have_value("0.3")
