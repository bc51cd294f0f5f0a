"""The page served as users serve it, and a browser that looks at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE = 30_000  # milliseconds, for a busy machine

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)"
)


@contextmanager
def serve(**environment: str) -> Iterator[str]:
    """Serve the page with these variables; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    command += [f"--server.port={port}", "--server.headless=true"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=os.environ | environment)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE / 1000
    try:
        while not _answers(address):
            assert server.poll() is None and time.monotonic() < deadline, "the page's server does not start"
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def _answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(f"{address}/_stcore/health").status == 200
    except OSError:
        return False


@contextmanager
def visit(browser: Browser, address: str) -> Iterator[Page]:
    """Open the page in a window of its own. Its browser must not ask any other host for anything."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    expect(page.get_by_text("Upload photos to see")).to_be_visible(timeout=PATIENCE)
    yield page
    page.close()
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
