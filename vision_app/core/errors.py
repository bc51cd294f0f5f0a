"""Errors meant for the user: each says in one sentence what is wrong and names the file, key or value."""

from collections.abc import Iterable
from difflib import get_close_matches

from vision_app.core.text import brief


class VisionAppError(Exception):
    """Base of every error that is the input's fault and not the program's. `str(error)` is for the user."""

    def __str__(self) -> str:
        return brief(super().__str__())


class ImageError(VisionAppError):
    """An image that cannot be read or written.

    Attributes:
        source: What the user called the image, most often its path.
        reason: What is wrong with it, without the name.
    """

    def __init__(self, source: str, reason: str):
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return brief(f"{self.source}: {self.reason}")


class FaceError(VisionAppError):
    """An image or a face that cannot be used to recognize a person.

    Attributes:
        source: What the user called the image, most often its path.
        code: Why, as a word that stays the same: "no_face", "several_faces", or a reason of `faces.quality`.
        reason: Why, in words, without the name.
    """

    def __init__(self, source: str, code: str, reason: str):
        super().__init__(source, code, reason)
        self.source = source
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return brief(f"{self.source}: {self.reason}")


class GalleryError(VisionAppError):
    """A gallery that cannot be used as it is, or an embedding that cannot be searched in one."""


class ModelError(VisionAppError):
    """A model that is unknown, incomplete or damaged."""


class UsageError(VisionAppError):
    """A wrong option: the message names the option, its value and the nearest valid one."""


class DataError(VisionAppError):
    """A dataset that cannot be used as it is."""


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that looks most like `word`, ignoring case, or None where none is close."""
    by_lower_case = {candidate.lower(): candidate for candidate in candidates}
    matches = get_close_matches(word.lower(), by_lower_case, n=1)
    return by_lower_case[matches[0]] if matches else None


def unknown(kind: str, value: str, candidates: Iterable[str]) -> str:
    """Say that `value` is no known `kind`, with the nearest candidate or, where none is near, all of them.

    >>> unknown("class", "dgo", ["cat", "dog"])
    "unknown class 'dgo'; did you mean 'dog'?"
    """
    candidates = list(candidates)
    guess = nearest(value, candidates)
    if guess is not None:
        return f"unknown {kind} {value!r}; did you mean {guess!r}?"
    if not candidates:
        return f"unknown {kind} {value!r}"
    return f"unknown {kind} {value!r}; choose from {', '.join(candidates)}"
