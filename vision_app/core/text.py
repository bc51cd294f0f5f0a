"""Text for people: counts of things in words, tables, names in Markdown and on a terminal."""

import re
from collections.abc import Mapping, Sequence
from unicodedata import category

LONGEST_ERROR = 2000  # characters
_LONG_WORD = re.compile(r"[^\s/\\]{400,}")
_IRREGULAR = {"broccoli": "broccoli", "knife": "knives", "mouse": "mice", "sheep": "sheep"}


def amount(count: int, noun: str, several: str | None = None) -> str:
    """Return "1 image", "1,203 images" or "2 buses"; `several` is the plural where `plural` does not give it."""
    return f"{count:,} {noun if count == 1 else several or plural(noun)}"


def amounts(counts: Mapping[str, int]) -> str:
    """Return "3 persons, 2 dogs", or "no objects" if there are none."""
    return ", ".join(amount(count, label) for label, count in counts.items()) or "no objects"


def format_rate(count: float, seconds: float) -> str:
    """Return "41 images/s", "2.5 images/s" or "12 s/image"; nothing where there was no image."""
    if not count:
        return ""
    rate = count / max(seconds, 1e-9)
    if rate < 1:
        return f"{1 / rate:,.{int(rate > 0.1)}f} s/image"
    return f"{rate:,.{int(rate < 10)}f} images/s"


def plural(noun: str) -> str:
    """Return the plural of an English noun, irregular ones among the COCO classes included.

    A noun such as "skis" or "scissors" has only one form.
    """
    for singular, form in _IRREGULAR.items():
        if noun.endswith(singular):
            return noun.removesuffix(singular) + form
    if noun.endswith(("ss", "us", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("s"):
        return noun
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return the lines of a table: cells of the first `left` columns to the left, those of the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([*map(str.ljust, row[:left], widths), *map(str.rjust, row[left:], widths[left:])]).rstrip()
        for row in rows
    ]


def escape(text: str) -> str:
    """Return `text` such that Markdown shows it literally: file names are not formatting."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def brief(text: str) -> str:
    """Return an error's text without the middle of words that no file is called, and of what is longer than a page.

    Paths up to that length stay as they are: no part of one is longer than 255 characters.
    """
    return _cut(_LONG_WORD.sub(lambda word: _cut(word[0], 80), text), LONGEST_ERROR)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest // 2]}...{text[-(longest // 2) :]}"


def printable(text: str) -> str:
    """Return the text with what cannot be printed escaped: control characters could move the cursor of a terminal.

    Joiners of letters and of emoji stay where Unicode's profile for identifiers has them (UAX #31, 2.3).
    """
    return "".join(c if c.isprintable() or _joins(text, i) else repr(c)[1:-1] for i, c in enumerate(text))


def _joins(text: str, place: int) -> bool:
    """Return whether a joiner or a non-joiner stands where it changes how a script is written, or joins two emoji."""
    if text[place] not in "\u200c\u200d":
        return False
    before, after = text[:place].rstrip("\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"), text[place + 1 :]
    if text[place] == "\u200d" and before and after and {category(before[-1]), category(after[0])} == {"So"}:
        return True
    from idna.core import valid_contextj  # a large table, which few texts need

    try:
        return bool(valid_contextj(text, place))
    except ValueError:  # a character without a name beside it
        return False
