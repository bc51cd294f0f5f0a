"""Switches against telemetry: set before a library can read them, and complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit import config

from vision_app.core import telemetry

ROOT = Path(__file__).resolve().parents[2]
REPORTING = {"openvino", "ray", "ultralytics", "wandb", "huggingface-hub", "gradio", "sentry-sdk", "mlflow"}
PRINT = f"import vision_app, os; print(*(os.environ.get(name) for name in {list(telemetry.SWITCHES)}))"


@pytest.mark.parametrize(("before", "after"), [({}, "1"), (dict.fromkeys(telemetry.SWITCHES, "0"), "0")])
def test_importing_the_package_sets_each_switch_that_the_user_has_not(before, after):
    clean = {key: value for key, value in os.environ.items() if key not in telemetry.SWITCHES}
    environment = clean | {"PYTHONPATH": str(ROOT)} | before
    done = subprocess.run([sys.executable, "-c", PRINT], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [after] * len(telemetry.SWITCHES)


def test_streamlit_gathers_no_usage_statistics_and_asks_for_no_address(monkeypatch):
    monkeypatch.chdir(ROOT)
    for option in ("browser.gatherUsageStats", "server.showEmailPrompt"):
        assert config.get_option(option) is False


def test_no_package_of_the_requirements_is_one_that_needs_a_switch_which_is_missing():
    """Those that report by default, and read another switch than SWITCHES has; add it before the package."""
    lines = [line for name in ("requirements.txt", "requirements-dev.txt") for line in (ROOT / name).open()]
    names = {line.partition("==")[0].strip().lower() for line in lines}
    assert not names & REPORTING


def test_the_documentation_loads_no_fonts_or_scripts_from_elsewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = page.read_text(encoding="utf-8").lower()
        for word in ("fonts.googleapis", "fonts.gstatic", "<script", "<link", "<iframe"):
            assert word not in text, page
