"""Attacks on the page, over the network and through what a visitor uploads. They need Chromium and Linux."""

import http.client
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from attacks import Trial
from vision_app.ui.images import MEGAPIXELS
from vision_app.ui.server import HEADERS
from vision_app.ui.widgets.faces import GALLERIES

sys.path.append(str(Path(__file__).parents[2] / "tests"))  # the page is served there as its tests need it
from served_page import CHROMIUM, FLAGS, PATIENCE, Address, connects, memory_holds, serve, settle, status, visit

ORIGINS = ["http://evil.example", "https://8.8.8.8", "http://[2001:db8::1]:80", "http://localhost.evil.example", "null"]
HOSTS = ["evil.example", "8.8.8.8", "localhost.evil.example"]
PATHS = ["", "people", "_stcore/health", "_stcore/host-config", "media/0.png", "nowhere/../../etc/passwd"]
VISITORS = 6
MOST = 2000  # MB of the server's memory, with one large image at a time
TOO_LONG = 120_000  # milliseconds until every visitor has an answer


def foreign_websites(folder: Path) -> Iterator[Trial]:
    """Open the page's socket from foreign websites and under foreign names, while the server may ask nobody."""
    with serve() as address:  # raises if its server asked another host
        port = address.rpartition(":")[2]
        assert connects(address, str(address))  # so that a refusal says something
        for origin in ORIGINS:
            yield Trial(f"origin {origin}", not connects(address, origin))
        for host in HOSTS:  # whose owner pointed it to this machine
            yield Trial(f"host {host}", not connects(address, f"http://{host}:{port}", host))


def frames_and_sniffing(folder: Path) -> Iterator[Trial]:
    """Ask for answers without the headers against frames, sniffing and use by other websites."""
    with serve() as address:
        for path in PATHS:
            try:
                answer = urllib.request.urlopen(f"{address}/{path}").headers
            except urllib.error.HTTPError as error:
                answer = error.headers
            for name, value in HEADERS.items():
                yield Trial(f"{name} of /{path}", answer[name] == value)


def large_images_of_six_visitors(folder: Path) -> Iterator[Trial]:
    """Six visitors upload one PNG of 100 megapixels each, below and above the page's limit, under 2 GB."""
    content = BytesIO()
    Image.new("RGB", (10_000, 10_000)).save(content, "PNG")
    file = {"name": "large.png", "mimeType": "image/png", "buffer": content.getvalue()}
    for limit in (50, 100):
        with serve(**{MEGAPIXELS: str(limit)}) as address, _browsers(VISITORS) as browsers:
            pages = [browser.new_page() for browser in browsers]
            for page in pages:
                page.goto(address)
                expect(page.locator("input[type=file]")).to_be_attached(timeout=PATIENCE)
            for page in pages:
                page.locator("input[type=file]").set_input_files(file)
            for number, page in enumerate(pages):
                answer = _answer(page)
                right = re.search("too large", answer) if limit < 100 else not re.search("too large|Traceback", answer)
                yield Trial(f"answer to visitor {number}, limit {limit}: {answer!r}", bool(answer and right))
            most = _peak_memory(address)
            yield Trial(f"limit {limit}: {most} MB", status(f"{address}/_stcore/health") == 200 and most < MOST)


def uploads_beyond_the_quota(folder: Path) -> Iterator[Trial]:
    """Announce uploads of more bytes than a visit may have, or of an impossible number."""
    with serve() as address:
        for size in ("300000001", "1000000000", "1000000000000", "9" * 30, "-1", "x"):
            connection = http.client.HTTPConnection(str(address).partition("//")[2], timeout=20)
            connection.putrequest("PUT", "/_stcore/upload_file/visit/1")
            connection.putheader("Content-Length", size)
            connection.endheaders()
            answer = connection.getresponse().status
            connection.close()
            yield Trial(f"{size} bytes: {answer}", answer in (400, 413))
        yield Trial("the page is there", status(f"{address}/_stcore/health") == 200)


def uploads_after_the_visit(folder: Path) -> Iterator[Trial]:
    """Look for a marked image at its address and in the server's memory 30 seconds after its visitor left."""
    rng = np.random.default_rng(7)
    for form in ("PNG", "WEBP", "BMP"):
        pixels = rng.integers(0, 256, (400, 600, 3), np.uint8)
        file, marks = BytesIO(), {pixels[200, 100:140].tobytes()}
        if form == "PNG":
            (text := PngImagePlugin.PngInfo()).add_text("mark", mark := rng.bytes(32).hex())
            Image.fromarray(pixels).save(file, form, pnginfo=text)
            marks.add(mark.encode())
        else:
            Image.fromarray(pixels).save(file, form, lossless=True)
        with serve() as address, _browsers(1) as (browser,):
            for path in ("compare", "style", "people", "verify", "identify"):  # whose memory may lie around the image's
                with visit(browser, address, path):
                    pass
            with visit(browser, address) as page:
                upload = {"name": f"marked.{form.lower()}", "mimeType": "image/*", "buffer": file.getvalue()}
                page.locator("input[type=file]").set_input_files(upload)
                shown = page.get_by_role("img", name=re.compile("marked"))
                expect(shown).to_be_visible(timeout=PATIENCE)
                settle(page)
                source = page.evaluate("image => image.src", shown.element_handle())
                there = status(source) == 200 and memory_holds(address.pid, marks) == marks
            time.sleep(30)
            yield Trial(f"{form} at its address", there and status(source) == 404)
            yield Trial(f"{form} in memory", there and not memory_holds(address.pid, marks))


def galleries_elsewhere(folder: Path) -> Iterator[Trial]:
    """Name files outside of the configured folders as galleries, there or not, also behind links."""
    allowed, other = folder / "allowed", folder / "other"
    for place in (allowed, other):
        place.mkdir()
    (other / "there.db").write_bytes(b"SQLite format 3\0")
    (allowed / "link.db").symlink_to(other / "there.db")
    (allowed / "linked").symlink_to(other)
    names = [other / "there.db", other / "absent.db", "../other/there.db", "../other/absent.db", "link.db"]
    names += ["linked/there.db", "linked/absent.db", "/etc/passwd", "/etc/absent", "people.txt", "~/people.db", "/"]
    with serve(**{GALLERIES: str(allowed)}) as address, _browsers(1) as (browser,):
        for name in names:
            with visit(browser, address, "people") as page:
                field = page.get_by_role("textbox", name="Gallery")
                field.fill(str(name))
                field.press("Enter")
                alert = page.get_by_test_id("stAlert")
                expect(alert.first).not_to_contain_text("Enter a gallery", timeout=PATIENCE)
                settle(page)
                answers = alert.all_inner_texts()
            expected = f"Galleries on this page are files that end in .db in {allowed}."
            held = len(answers) == 1 and " ".join(answers[0].split()).find(expected) >= 0
            yield Trial(f"{name}: {answers}", held)
    yield Trial("files written", sorted(path.name for path in other.iterdir()) == ["there.db"])


def _answer(page: Page) -> str:
    """Wait for what the page shows of an upload: a message, or the image's name where it is shown."""
    shown = page.get_by_role("img", name=re.compile("large.png")).or_(page.get_by_test_id("stAlert")).first
    expect(shown).to_be_visible(timeout=TOO_LONG)
    return shown.get_attribute("alt") or shown.inner_text()


def _peak_memory(address: Address) -> int:
    """Return the most memory that the server had in RAM, in MB."""
    text = Path(f"/proc/{address.pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) // 1000


@contextmanager
def _browsers(number: int) -> Iterator[list[BrowserContext]]:
    """Start Chromium; yields windows that share nothing."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield [browser.new_context(viewport={"width": 1400, "height": 1000}) for _ in range(number)]
        browser.close()
