"""Switches against libraries that would report to their makers, or ask them for newer versions.

Streamlit reads its own, `browser.gatherUsageStats`, from `.streamlit/config.toml` beside the page.
"""

import os

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime
    "NO_ALBUMENTATIONS_UPDATE": "1",
}
"""Environment variables, which the libraries read when they are imported."""


def turn_off() -> None:
    """Set SWITCHES in this process and those that it starts, where the user has not set them."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
