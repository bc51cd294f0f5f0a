"""The Detect page in a real browser: what a visitor sees, does and downloads."""

import io
import json
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from served_page import PATIENCE, browser_test, settle

from vision_app import draw, read_image
from vision_app.core.text import amounts
from vision_app.ui.downloads import row, table
from vision_app.ui.images import ImageFile

pytestmark = browser_test


@pytest.fixture
def photos(tmp_path, cat, coffee) -> list[Path]:
    """Two photos whose names are no plain Markdown."""
    paths = [tmp_path / "my_cat *and* [me](x).png", tmp_path / "tasse_für_uns.jpg"]
    for path, content in zip(paths, (cat, coffee), strict=True):
        path.write_bytes(content)
    return paths


def upload(page: Page, paths: list[Path]) -> None:
    page.locator("input[type=file]").set_input_files(paths)


def card(page: Page, name: str) -> Locator:
    """The part of the page about one image."""
    heading = page.get_by_role("heading", name=name, exact=True)
    return page.get_by_test_id("stHorizontalBlock").filter(has=heading).first


def labels(page: Page, name: str) -> Locator:
    """First column of the image's table."""
    return card(page, name).locator("td[aria-colindex='1']")


def shown(page: Page, name: str) -> np.ndarray:
    """The pixels that the page shows for one image."""
    image = card(page, name).get_by_role("img").first
    expect(image).to_be_visible(timeout=PATIENCE)
    return np.asarray(Image.open(io.BytesIO(page.request.get(image.get_attribute("src")).body())).convert("RGB"))


def save(part: Page | Locator, label: str) -> bytes:
    """Press a download button and return the file."""
    button = part.get_by_test_id("stDownloadButton").get_by_role("button", name=label)
    with button.page.expect_download() as download:
        button.click()
    return Path(download.value.path()).read_bytes()


def test_boxes_appear_and_the_slider_changes_them_without_another_upload(page, photos, detector):
    uploads = []
    page.on("request", lambda request: request.method == "PUT" and uploads.append(request.url))
    upload(page, photos)
    for path in photos:
        found = detector(path)
        expect(card(page, path.name).get_by_role("img").first).to_have_attribute(
            "alt", f"{path.name}: " + amounts(found.count()), timeout=PATIENCE
        )
        expect(labels(page, path.name)).to_have_text(list(found.labels), timeout=PATIENCE)
        pixels = shown(page, path.name).astype(int)
        bare, boxed = (image.astype(int) for image in (read_image(path).pixels, draw(read_image(path), found)))
        assert abs(pixels - boxed).mean() < abs(pixels - bare).mean()
    expect(labels(page, photos[0].name).first).to_have_text("cat")

    settle(page)
    assert detector(photos[0]).scores.max() < 0.98
    slider = page.get_by_role("slider", name="Confidence")
    slider.press("End")
    slider.press("ArrowLeft")
    message = "No objects found at a confidence of 98%. Try a lower confidence."
    expect(card(page, photos[0].name).get_by_text(message)).to_be_visible(timeout=PATIENCE)
    expect(labels(page, photos[0].name)).to_have_count(0)
    slider.press("Home")
    expect(labels(page, photos[0].name).first).to_have_text("cat", timeout=PATIENCE)
    assert len(uploads) == len(photos)


def test_downloads_contain_the_detections(page, photos, detector):
    upload(page, photos)
    path = photos[0]
    image, detections = ImageFile(path.name, path.read_bytes()), detector(path)
    own = card(page, path.name)
    png = np.asarray(Image.open(io.BytesIO(save(own, "PNG"))))
    np.testing.assert_array_equal(png, draw(read_image(path), detections))
    assert json.loads(save(own, "JSON")) == row(image, detections, detector.name)
    assert save(own, "CSV").decode() == table([row(image, detections, detector.name)])

    with zipfile.ZipFile(io.BytesIO(save(page, "Download all (ZIP)"))) as archive:
        rows = [json.loads(line) for line in archive.read("detections.jsonl").splitlines()]
        assert [row["file"] for row in rows] == [photo.name for photo in photos]
        assert archive.namelist()[2:] == [f"images/{photo.name}.jpg" for photo in photos]


def test_bad_files_get_a_sentence_and_the_others_their_boxes(page, photos, bad_files, tmp_path):
    paths = [tmp_path / name for name in bad_files]
    for path in paths:
        path.write_bytes(bad_files[path.name][0])
    upload(page, [*paths, photos[0]])
    alerts = page.get_by_role("alert")
    expect(alerts).to_have_count(len(bad_files), timeout=PATIENCE)
    for alert, (name, (_, reason)) in zip(alerts.all_text_contents(), bad_files.items(), strict=True):
        assert f"{name}: " in alert and reason in alert and "Traceback" not in alert
    expect(labels(page, photos[0].name).first).to_have_text("cat", timeout=PATIENCE)


def test_an_upload_over_20_megabytes_is_refused(page, tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(bytes(20 * 2**20 + 1))
    upload(page, [path])
    expect(page.get_by_text("File must be 20.0MB or smaller")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("heading", name="huge.png")).to_have_count(0)


def test_a_sample_needs_one_tap_on_a_phone(browser, address):
    page = browser.browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)
    page.goto(address)
    page.get_by_role("button", name="Cat", exact=True).tap(timeout=PATIENCE)
    expect(labels(page, "cat.jpg").first).to_have_text("cat", timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()


def test_only_this_machine_is_served(address):
    """Another name that points at this machine may not open a session."""
    host, port = address.removeprefix("http://").split(":")
    answers = {}
    for name in (f"{host}:{port}", "elsewhere.example"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(
                f"GET /_stcore/stream HTTP/1.1\r\nHost: {name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            answers[name] = connection.recv(100).split()[1]
    assert list(answers.values()) == [b"101", b"403"]
