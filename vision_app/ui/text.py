"""Text for Markdown."""

import re


def escape(text: str) -> str:
    """Return `text` such that Markdown shows it literally: file names are not formatting."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
