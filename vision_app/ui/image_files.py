"""Images that a visitor uploads, takes or picks from the samples. They stay in memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from pathlib import PurePath

from streamlit.runtime.uploaded_file_manager import UploadedFile

SAMPLES = {"Cat": "cat.jpg", "Coffee": "coffee.jpg"}


@dataclass(frozen=True)
class ImageFile:
    """An image file in memory.

    Attributes:
        name: Unique on the page.
        data: The content.
    """

    name: str
    data: bytes

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return sha256(self.data).hexdigest()

    def open(self) -> BytesIO:
        """Return the content as a file object with a name."""
        stream = BytesIO(self.data)
        stream.name = self.name
        return stream


def sample(name: str) -> ImageFile:
    """Return the sample called `name`, a key of SAMPLES."""
    return ImageFile(SAMPLES[name], (files("vision_app.ui") / "samples" / SAMPLES[name]).read_bytes())


def from_uploads(uploads: Iterable[UploadedFile]) -> list[ImageFile]:
    """Return the uploaded files with unique names: a second `a.jpg` becomes `a (2).jpg`."""
    images: dict[str, ImageFile] = {}
    for upload in uploads:
        path = PurePath(upload.name)
        name, number = path.name, 1
        while name in images:
            number += 1
            name = f"{path.stem} ({number}){path.suffix}"
        images[name] = ImageFile(name, upload.getvalue())
    return list(images.values())
