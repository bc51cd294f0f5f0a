"""An image is written whole or not at all, in the format of its suffix."""

from pathlib import Path

import numpy as np
import pytest
from image_files import quadrants
from PIL import Image

from vision_app.core.errors import ImageError
from vision_app.core.images import read_image, write_image


@pytest.mark.parametrize("name", ["a.png", "b.PNG", "ü.jpg", "c.jpeg", "d.webp"])
def test_what_is_written_can_be_read(name, tmp_path):
    write_image(tmp_path / name, quadrants())
    assert np.abs(read_image(tmp_path / name).pixels.astype(int) - quadrants()).mean() < 8
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("name", "expected"), [("a.png", 51), ("a.webp", 51), ("a.jpg", None)])
def test_transparency_is_written_where_the_format_has_it(name, expected, tmp_path):
    pixels = np.full((16, 16, 4), (0, 0, 255, 51), np.uint8)
    write_image(tmp_path / name, pixels)
    image = read_image(tmp_path / name)
    assert np.abs(image.pixels.astype(int) - (204, 204, 255)).max() <= 4
    assert image.alpha is None if expected is None else (image.alpha == expected).all()


def test_writing_replaces_and_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, quadrants())
    write_image(path, quadrants()[:, ::-1].copy())
    assert (read_image(path).pixels == quadrants()[:, ::-1]).all()

    def full_disk(*arguments, **options):
        Path(arguments[1]).write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    def interrupted(*arguments, **options):
        Path(arguments[1]).write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(ImageError, match=r"a\.png: cannot be written: No space left on device"):
        write_image(path, quadrants())
    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_image(path, quadrants())
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
    assert (read_image(path).pixels == quadrants()[:, ::-1]).all()


@pytest.mark.parametrize(("name", "hint"), [("a.jgp", "did you mean .jpg"), ("a", "choose from .jpg")])
def test_an_unknown_suffix_is_refused(name, hint, tmp_path):
    with pytest.raises(ImageError, match=hint):
        write_image(tmp_path / name, quadrants())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"a\.png: cannot be written: No such file or directory"):
        write_image(tmp_path / "gone" / "a.png", quadrants())


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "ü" * 125 + ".png"])
def test_a_name_may_be_as_long_as_names_get(name, tmp_path):
    write_image(tmp_path / name, quadrants())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_writing_touches_no_other_file(tmp_path):
    (tmp_path / ".a.png.part").write_text("mine")
    write_image(tmp_path / "a.png", quadrants())
    assert (tmp_path / ".a.png.part").read_text() == "mine"
