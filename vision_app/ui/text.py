"""Words on the page."""

import re


def plain(text: str) -> str:
    """Return `text` such that Markdown shows it letter by letter: file names are not formatting."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def amount(count: int, thing: str) -> str:
    """Return "1 picture", "2 pictures", "1,203 pictures"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
