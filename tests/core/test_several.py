"""One thing is taken wherever several are: no file is taken for the letters of its name, no image for its rows."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision_app import read_image
from vision_app.core.several import several, several_paths

PIXELS = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    "one",
    [
        "ada.jpg", "", Path("ada.jpg"), b"content", bytearray(b"content"), memoryview(b"content"),
        io.BytesIO(b"content"), PIXELS, PIXELS[..., 0], read_image(PIXELS), Image.fromarray(PIXELS), 0.5,
    ],
    ids=lambda one: type(one).__name__,
)  # fmt: skip
def test_one_thing_is_a_tuple_of_it(one):
    (found,) = several(one)
    assert found is one


@pytest.mark.parametrize("many", [["a", "b"], ("a",), [], {"a": 1}, {"a"}, iter("ab"), PIXELS[None], np.zeros(3)])
def test_several_things_stay_as_they_are(many):
    assert several(many) is many


def test_paths_are_paths_however_they_are_given():
    assert several_paths("people") == several_paths(Path("people")) == several_paths(["people"]) == (Path("people"),)
    assert several_paths(["a", Path("b")]) == (Path("a"), Path("b")) and several_paths([]) == ()
