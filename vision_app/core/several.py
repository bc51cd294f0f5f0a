"""One thing is accepted wherever several are: a single file is not taken for the letters of its name."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_SINGLE = (str, bytes, bytearray, memoryview, os.PathLike)


def several(given: Any) -> Iterable[Any]:
    """Return several things as they are given, and one alone as a tuple of it.

    Text, paths, bytes, open files and whatever cannot be iterated are one thing. So is an array of two or three
    dimensions: an image.
    """
    is_image = getattr(given, "ndim", None) in (2, 3)
    if is_image or isinstance(given, _SINGLE) or hasattr(given, "read") or not isinstance(given, Iterable):
        return (given,)
    return given


def several_paths(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    """Return one or several paths as a tuple."""
    return tuple(map(Path, several(given)))
