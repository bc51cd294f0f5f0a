"""The frame of the web app: importing it has no effect, opening it keeps uploads in memory."""

import asyncio
import subprocess
import sys

import pytest
from app_pages import visit_app
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser

pytestmark = pytest.mark.slow


def test_importing_the_app_changes_nothing_elsewhere():
    command = (
        "from starlette.formparsers import MultiPartParser as parser; before = dict(vars(parser)); "
        "import vision_app.ui.app; print(dict(vars(parser)) == before)"
    )
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "True"


def test_an_upload_stays_in_memory_while_it_arrives():
    visit_app()  # sets how much stays in memory

    async def body():
        yield b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n'
        for _ in range(20):
            yield bytes(2**20)
        yield b"\r\n--x--\r\n"

    headers = Headers({"content-type": "multipart/form-data; boundary=x"})
    form = asyncio.run(MultiPartParser(headers, body()).parse())
    assert form["f"].size == 20 * 2**20
    assert not form["f"].file._rolled
