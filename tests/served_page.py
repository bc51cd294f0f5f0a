"""The page served as users serve it, and a browser that opens it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE = 30_000  # milliseconds, for a busy machine
WATCH = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        address = arguments[0] if isinstance(arguments[0], str | bytes) else arguments[1]
        with open({log!r}, "a") as log:
            log.write(f"{{event}} {{address}}\\n")

sys.addaudithook(watch)
"""
OWN = re.compile(r"'?(127\.0\.0\.1|localhost|::1|0\.0\.0\.0)'?|None|\(.(127\.0\.0\.1|::1).,.*\)")  # addresses

expect.set_options(timeout=PATIENCE)

browser_test = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]


class Address(str):
    """Where a page is served.

    Attributes:
        pid: Of the server's process.
    """

    pid: int


@contextmanager
def serve(**environment: str) -> Iterator[Address]:
    """Serve the page with these variables; yields its address. Its server must not ask any other host for anything."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        Path(folder, "sitecustomize.py").write_text(WATCH.format(log=str(log)))  # which Python imports first
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        with _served(port, environment | {"PYTHONPATH": path}) as address:
            yield address
        asked = log.read_text().splitlines() if log.exists() else []
    foreign = [line for line in asked if not OWN.fullmatch(line.partition(" ")[2])]
    assert not foreign, foreign


@contextmanager
def _served(port: int, environment: dict[str, str]) -> Iterator[Address]:
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    command += [f"--server.port={port}", "--server.headless=true"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=os.environ | environment)
    address = Address(f"http://127.0.0.1:{port}")
    address.pid = server.pid
    deadline = time.monotonic() + PATIENCE / 1000
    try:
        while not _answers(address):
            assert server.poll() is None and time.monotonic() < deadline, "the page's server does not start"
            time.sleep(0.2)
        yield address
    finally:
        server.kill()  # asked to end, it waits for pages for seconds
        server.wait()


def _answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(f"{address}/_stcore/health").status == 200
    except OSError:
        return False


def connects(address: str, origin: str, host: str | None = None) -> bool:
    """Return whether the page's socket opens for a website, under the name of a host that leads to this machine."""
    place = urlsplit(address)
    url = f"ws://{host or place.hostname}:{place.port}/_stcore/stream"
    with socket.create_connection((place.hostname, place.port)) as stream:
        try:
            with connect(url, sock=stream, origin=origin, proxy=None):
                return True
        except InvalidStatus as refused:
            assert refused.response.status_code == 403, refused  # a request that was not even understood proves nothing
            return False


@contextmanager
def visit(browser: BrowserContext, address: str, path: str = "") -> Iterator[Page]:
    """Open a page. Its browser must not ask any other host for anything."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{address}/{path}")
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=PATIENCE)
    settle(page)
    yield page
    page.close()
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []


def settle(page: Page) -> None:
    """Wait until the page is drawn completely: input that comes earlier would be lost."""
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=PATIENCE)


def status(url: str) -> int:
    """Return the status of the answer to a request."""
    try:
        return urllib.request.urlopen(url).status
    except urllib.error.HTTPError as error:
        return error.code


def memory_holds(pid: int, marks: Iterable[bytes]) -> set[bytes]:
    """Return those of some byte strings that are in the memory of a process."""
    found = set()
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            start, end = (int(place, 16) for place in line.split()[0].split("-"))
            if " rw" in line:
                memory.seek(start)
                try:
                    content = memory.read(end - start)
                except OSError:  # the system's own
                    continue
                found |= {mark for mark in marks if mark in content}
    return found
