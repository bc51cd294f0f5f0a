"""Files, bytes, streams and arrays give the same image; anything else is refused by its name."""

import io

import numpy as np
import pytest
from image_files import encode, quadrants
from PIL import Image

from vision_app.core.errors import ImageError
from vision_app.core.images import RGBImage, read_image


def test_all_kinds_of_sources_give_the_same_image(tmp_path):
    path = tmp_path / "Катя 写真 é.PNG"
    path.write_bytes(encode(Image.fromarray(quadrants()), "PNG"))
    stream = io.BytesIO(path.read_bytes())
    stream.read()  # a page may have read its upload before
    for source in (path, str(path), path.read_bytes(), stream, quadrants(), RGBImage(quadrants(), 64, 48)):
        image = read_image(source)
        assert (image.pixels == quadrants()).all()
        assert (image.width, image.height) == (64, 48)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_an_image_of_pillow_is_what_its_file_would_be(kind, opened, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.fromarray(quadrants()), kind, exif=exif)
    image = Image.open(io.BytesIO(content))
    if opened:
        image.load()
    expected, found = read_image(content), read_image(image, target=8)
    assert (found.pixels == expected.pixels).all() and (found.width, found.height) == (expected.width, expected.height)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "I;16", "RGBA", "LA"])
def test_an_image_of_pillow_may_have_any_mode_and_stays_as_it_is(mode):
    image = Image.new(mode, (3, 2))
    before = image.tobytes()
    found = read_image(image)
    assert (found.width, found.height, found.pixels.shape) == (3, 2, (2, 3, 3))
    clear = mode in ("RGBA", "LA")
    assert (found.pixels == (255 if clear or mode == "CMYK" else 0)).all() and (found.alpha is not None) == clear
    assert image.tobytes() == before and image.mode == mode


def test_an_image_of_pillow_has_the_limits_of_files():
    with pytest.raises(ImageError, match="<image>: too large: 30 x 20 is over the limit of 599 pixels"):
        read_image(Image.new("L", (30, 20)), max_pixels=599)
    with pytest.raises(ImageError, match=r"photo 3: 32-bit pixels"):
        read_image(Image.new("F", (30, 20)), name="photo 3")


@pytest.mark.parametrize("alpha", [0, 51, 255])
def test_opacity_is_kept_where_there_is_transparency(alpha):
    rgba = np.full((2, 3, 4), 255, np.uint8)
    rgba[0, 0, 3] = alpha
    for source in (rgba, encode(Image.fromarray(rgba), "PNG")):
        image = read_image(source)
        if alpha == 255:
            assert image.alpha is None
        else:
            assert (image.alpha == rgba[..., 3]).all()


def test_an_error_names_the_source(tmp_path):
    upload = io.BytesIO(b"text")
    upload.name = "holiday.jpg"
    for source, name in [(b"text", "<bytes>"), (io.BytesIO(b"text"), "<file>"), (upload, "holiday.jpg")]:
        with pytest.raises(ImageError) as caught:
            read_image(source)
        assert caught.value.source == name
    with pytest.raises(ImageError, match="photo 3: not an image"):
        read_image(b"text", name="photo 3")
    with pytest.raises(ImageError, match=r"фото\.jpg: no such file"):
        read_image(tmp_path / "фото.jpg", name="фото.jpg")


def test_arrays_of_gray_rgba_and_flipped_views_become_rgb():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert (read_image(grey).pixels == grey[..., None]).all()
    rgba = np.full((2, 3, 4), 51, dtype=np.uint8)
    assert (read_image(rgba).pixels == 214).all()  # 51 x 0.2 + 255 x 0.8
    assert (read_image(grey[..., None]).pixels == grey[..., None]).all()
    assert read_image(quadrants()[:, ::-1]).pixels.flags.c_contiguous


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8), np.zeros((1, 4, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ImageError, match=r"<array>: expected a uint8 array .* got .*4"):
        read_image(array)


def test_an_empty_array_is_refused():
    with pytest.raises(ImageError, match="empty"):
        read_image(np.zeros((0, 4, 3), np.uint8))


def test_bytearrays_and_memoryviews_are_read_as_bytes():
    content = encode(Image.fromarray(quadrants()), "PNG")
    for source in (bytearray(content), memoryview(content)):
        assert (read_image(source).pixels == quadrants()).all()


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (None, "NoneType"),
        (5, "int"),
        (["a.jpg"], "list"),
        (io.StringIO("text"), "_io.StringIO"),
    ],
)
def test_other_types_are_named(source, kind):
    with pytest.raises(ImageError, match=rf"<\w*{kind}>: expected a path, .* got {kind}"):
        read_image(source)
    with pytest.raises(ImageError, match=rf"photo 3: expected .* got {kind}"):
        read_image(source, name="photo 3")


def test_a_closed_file_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(Image.fromarray(quadrants()), "PNG"))
    with (tmp_path / "a.png").open("rb") as stream:
        pass
    with pytest.raises(ImageError, match=r"a\.png: cannot be read: .*closed"):
        read_image(stream)
