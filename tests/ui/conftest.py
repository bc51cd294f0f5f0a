"""Files that visitors of the page bring along."""

import pytest
from image_files import encode
from PIL import Image
from skimage import data


@pytest.fixture(scope="session")
def cat() -> bytes:
    return encode(Image.fromarray(data.chelsea()), "PNG")


@pytest.fixture(scope="session")
def coffee() -> bytes:
    return encode(Image.fromarray(data.coffee()), "JPEG", quality=92)


@pytest.fixture(scope="session")
def bad_files(coffee) -> dict[str, tuple[bytes, str]]:
    """Files that are no picture, by name: the content and a word of the sentence that says why."""
    return {
        "notes.jpg": (b"Dear diary, this is no photo.", "not an image"),
        "empty.png": (b"", "empty"),
        "half.jpg": (coffee[: len(coffee) // 2], "cut short"),
        "bomb.png": (encode(Image.new("1", (10_001, 10_000)), "PNG"), "too large"),
    }
