"""The frame of the web app: importing it has no effect."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_importing_the_app_changes_nothing_elsewhere():
    command = (
        "from starlette.formparsers import MultiPartParser as parser; before = dict(vars(parser)); "
        "import vision_app.ui.app, vision_app.ui.server; print(dict(vars(parser)) == before)"
    )
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "True"
