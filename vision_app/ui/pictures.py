"""The pictures that a visitor brought or took from the samples. They live in memory only."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from pathlib import PurePath

SAMPLES = {"Cat": "cat.jpg", "Coffee": "coffee.jpg"}


@dataclass(frozen=True)
class Picture:
    """An image file in memory.

    Attributes:
        name: What its owner calls it, unlike any other on the page.
        data: The file's bytes.
    """

    name: str
    data: bytes

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        return sha256(self.data).hexdigest()

    def file(self) -> BytesIO:
        """Return the bytes as an open file that is called so."""
        stream = BytesIO(self.data)
        stream.name = self.name
        return stream


def sample(name: str) -> Picture:
    """Return the sample picture called `name`, a key of SAMPLES."""
    return Picture(SAMPLES[name], (files("vision_app.ui") / "samples" / SAMPLES[name]).read_bytes())


def uploaded(uploads: Iterable) -> list[Picture]:
    """Return the uploaded files as pictures; a second `a.jpg` becomes `a (2).jpg`."""
    pictures = {}
    for upload in uploads:
        path = PurePath(upload.name)
        name, number = path.name, 1
        while name in pictures:
            number += 1
            name = f"{path.stem} ({number}){path.suffix}"
        pictures[name] = Picture(name, upload.getvalue())
    return list(pictures.values())
