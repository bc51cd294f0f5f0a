"""The web server: how long it keeps what a visitor gave it."""

import re
import sys
import time

import numpy as np
import pytest
from image_files import encode
from PIL import Image, PngImagePlugin
from playwright.sync_api import expect
from served_page import PATIENCE, browser_test, memory_holds, serve, settle, status, visit

pytestmark = browser_test


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the server")
def test_an_image_is_gone_from_memory_and_its_address_within_30_seconds_of_a_closed_tab(browser):
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 256, (400, 600, 3), np.uint8)
    text = PngImagePlugin.PngInfo()
    text.add_text("mark", mark := rng.bytes(32).hex())
    marks = [mark.encode(), pixels[200, 100:140].tobytes()]
    with serve() as address:
        with visit(browser, address) as page:
            content = encode(Image.fromarray(pixels), "PNG", pnginfo=text)
            file = {"name": "marked.png", "mimeType": "image/png", "buffer": content}
            page.locator("input[type=file]").set_input_files(file)
            shown = page.get_by_role("img", name=re.compile("marked.png"))
            expect(shown).to_be_visible(timeout=PATIENCE)
            settle(page)
            source = page.evaluate("image => image.src", shown.element_handle())
            assert status(source) == 200
            assert memory_holds(address.pid, marks) == {*marks}
        time.sleep(10)
        assert status(source) == 200  # a short break loses nothing
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and (status(source) == 200 or memory_holds(address.pid, marks)):
            time.sleep(1)
        assert status(source) == 404
        assert memory_holds(address.pid, marks) == set()
