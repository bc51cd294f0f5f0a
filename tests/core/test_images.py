"""Every kind of picture that a person may hand over comes out as upright 8-bit RGB."""

import io
from pathlib import Path

import numpy as np
import pytest
from image_files import BLUE, RED, WHITE, encode, png_from_samples, quadrants, tiff
from PIL import Image, ImageOps
from skimage import data

from vision_app.core import images
from vision_app.core.errors import ImageError
from vision_app.core.images import SUFFIXES, RGBImage, read_image, read_size, write_image

LOSSLESS = ("PNG", "BMP", "TIFF", "GIF")


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_exact_pixels(kind):
    image = read_image(encode(Image.fromarray(quadrants()), kind))
    assert (image.width, image.height) == (64, 48)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    assert (image.pixels == quadrants()).all()


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {})])
def test_lossy_formats_give_nearly_the_same_photo(kind, options):
    photo = data.astronaut()
    pixels = read_image(encode(Image.fromarray(photo), kind, quality=95, **options)).pixels
    assert pixels.shape == photo.shape
    assert np.abs(pixels.astype(int) - photo).mean() < 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_read(kind):
    frames = [Image.new("RGB", (32, 24), color) for color in (RED, BLUE)]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    content = encode(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
    assert (read_image(content).pixels == RED).all()


def test_a_phone_jpeg_with_a_second_image_inside():
    frames = [Image.new("RGB", (32, 24), color) for color in (RED, BLUE)]
    pixels = read_image(encode(frames[0], "MPO", save_all=True, append_images=frames[1:])).pixels
    assert np.abs(pixels.astype(int) - RED).max() < 5


def test_heic_is_read_upright():
    pytest.importorskip("pi_heif")
    # 64 x 48, left half red, right half blue, marked as turned a quarter clockwise.
    image = read_image(Path(__file__).parents[1] / "data" / "sideways.heic")
    assert (image.width, image.height) == (48, 64)
    assert np.abs(image.pixels[:28].astype(int) - (200, 30, 30)).max() < 8
    assert np.abs(image.pixels[36:].astype(int) - (30, 30, 200)).max() < 8
    assert ".heic" in SUFFIXES


def test_heic_without_the_extra_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(images, "_HAS_HEIC", False)
    with pytest.raises(ImageError, match=r"sideways\.heic: HEIC needs an extra: pip install 'vision-app\[heic\]'"):
        read_image(Path(__file__).parents[1] / "data" / "sideways.heic")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("target", [None, 128], ids=["full", "reduced"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_come_out_upright(orientation, target, kind):
    upright = Image.fromarray(quadrants(400, 320))
    undo = {6: 8, 8: 6}.get(orientation, orientation)  # every other orientation undoes itself
    exif = Image.Exif()
    exif[0x0112] = undo
    stored = upright.copy()
    stored.info["exif"] = exif.tobytes()
    stored = ImageOps.exif_transpose(stored)
    exif[0x0112] = orientation
    image = read_image(encode(stored, kind, exif=exif), target=target)
    assert (image.width, image.height) == (400, 320)
    shrink = 2 if kind == "JPEG" and target else 1
    assert image.pixels.shape == (320 // shrink, 400 // shrink, 3)
    expected = np.asarray(upright.resize((400 // shrink, 320 // shrink), Image.Resampling.BOX)).astype(int)
    assert np.abs(image.pixels - expected).mean() < 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_block_does_not_lose_the_photo():
    content = encode(Image.new("RGB", (32, 24), RED), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x00garbage")
    assert read_image(content).pixels.shape == (24, 32, 3)


def test_sixteen_bit_values_are_scaled_down_not_cut_off():
    samples = np.array([[0, 255, 256], [32767, 32768, 65535]], dtype=np.uint16)
    expected = np.array([[0, 0, 1], [127, 128, 255]])
    files = {
        "grey PNG": png_from_samples(samples[..., None], 0),
        "RGB PNG": png_from_samples(np.stack([samples] * 3, axis=-1), 2),
        "grey TIFF": tiff(samples[..., None], bits=16),
        "big-endian grey TIFF": tiff(samples[..., None], bits=16, order=">"),
        "RGB TIFF": tiff(np.stack([samples] * 3, axis=-1), bits=16),
        "big-endian RGB TIFF": tiff(np.stack([samples] * 3, axis=-1), bits=16, order=">"),
    }
    for name, content in files.items():
        pixels = read_image(content).pixels
        assert pixels.shape == (2, 3, 3), name
        assert (pixels == expected[..., None]).all(), name


def test_sixteen_bit_alpha_is_laid_on_white():
    opaque, clear = 65535, 0
    grey = read_image(png_from_samples(np.array([[[0, opaque], [0, clear]]]), 4)).pixels
    color = read_image(png_from_samples(np.array([[[65535, 0, 0, opaque], [65535, 0, 0, clear]]]), 6)).pixels
    assert grey.tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert color.tolist() == [[[255, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_pixels_are_black_and_white(kind):
    bits = np.array([[True, False, True, False]] * 3)
    pixels = read_image(encode(Image.fromarray(bits), kind)).pixels
    assert (pixels == np.where(bits, 255, 0)[..., None]).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "JPEG", "GIF"])
def test_grey_becomes_three_equal_channels(kind):
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    pixels = read_image(encode(Image.fromarray(grey), kind)).pixels
    assert np.abs(pixels.astype(int) - grey[..., None]).max() <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_palette_without_transparency(kind):
    palette = Image.fromarray(quadrants()).quantize(4)
    assert (read_image(encode(palette, kind)).pixels == quadrants()).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_becomes_white(kind):
    palette = Image.fromarray(quadrants()).quantize(4)
    red = palette.getpixel((0, 0))
    expected = quadrants()
    expected[:24, :32] = WHITE
    assert (read_image(encode(palette, kind, transparency=red)).pixels == expected).all()


def test_half_transparent_palette_entries_are_blended():
    palette = Image.fromarray(quadrants()).quantize(4)
    alpha = bytearray([255] * 4)
    alpha[palette.getpixel((0, 0))] = 128
    corner = read_image(encode(palette, "PNG", transparency=bytes(alpha))).pixels[0, 0]
    assert corner.tolist() == [255, 127, 127]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_laid_on_white(kind):
    rgba = np.zeros((2, 3, 4), dtype=np.uint8)
    rgba[..., 2] = 255  # blue
    rgba[..., 3] = [0, 51, 255]
    pixels = read_image(encode(Image.fromarray(rgba), kind, **({"lossless": True} if kind == "WEBP" else {}))).pixels
    assert pixels[0].tolist() == [[255, 255, 255], [204, 204, 255], [0, 0, 255]]


@pytest.mark.parametrize(
    ("mode", "transparency", "expected"),
    [("L", 0, [[255, 255, 255], [9, 9, 9]]), ("RGB", (0, 0, 0), [[255, 255, 255], [9, 9, 9]])],
)
def test_a_transparent_color_becomes_white(mode, transparency, expected):
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), 9 if mode == "L" else (9, 9, 9))
    assert read_image(encode(image, "PNG", transparency=transparency)).pixels[0].tolist() == expected


def test_grey_with_alpha():
    image = Image.merge("LA", [Image.new("L", (4, 4), 0), Image.new("L", (4, 4), 51)])
    assert (read_image(encode(image, "PNG")).pixels == 204).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind):
    cmyk = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    assert np.abs(read_image(encode(cmyk, kind)).pixels.astype(int) - RED).max() <= 4


def test_ycck_jpeg():
    """An Adobe JPEG whose four channels are YCCK: the same file as CMYK but for the transform in its APP14 mark."""
    ink = Image.new("CMYK", (32, 32), (0, 0, 0, 0))
    content = bytearray(encode(ink, "JPEG"))
    transform = content.index(b"Adobe") + 11
    assert content[transform] == 0
    content[transform] = 2
    # No ink is stored as 255, 255, 255, 255. As Y, Cb, Cr of 255 that is R 255, G 121, B 255 (ITU-T T.871, clipped),
    # which Adobe stores inverted: ink of C 255, M 121, Y 255, and K 0.
    assert np.abs(read_image(bytes(content)).pixels.astype(int) - (0, 134, 0)).max() <= 4


def test_float_pixels_are_refused_with_a_reason():
    content = tiff(np.ones((2, 2, 1), dtype=np.float32), bits=32, sample_format=3)
    with pytest.raises(ImageError, match="32-bit pixels have no known range"):
        read_image(content)


def test_all_kinds_of_sources_give_the_same_image(tmp_path):
    path = tmp_path / "Катя 写真 é.PNG"
    path.write_bytes(encode(Image.fromarray(quadrants()), "PNG"))
    stream = io.BytesIO(path.read_bytes())
    stream.read()  # a page may have read its upload before
    for source in (path, str(path), path.read_bytes(), stream, quadrants(), RGBImage(quadrants(), 64, 48)):
        image = read_image(source)
        assert (image.pixels == quadrants()).all()
        assert (image.width, image.height) == (64, 48)


def test_names_in_errors(tmp_path):
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


def test_arrays():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert (read_image(grey).pixels == grey[..., None]).all()
    rgba = np.full((2, 3, 4), 51, dtype=np.uint8)
    assert (read_image(rgba).pixels == 214).all()  # 51 x 0.2 + 255 x 0.8
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


@pytest.mark.parametrize(
    ("size", "target", "shape"),
    [
        ((1000, 600), None, (600, 1000)),
        ((1000, 600), 1000, (600, 1000)),
        ((1000, 600), 501, (600, 1000)),
        ((1000, 600), 500, (300, 500)),
        ((1001, 601), 416, (301, 501)),
        ((600, 1000), 250, (250, 150)),
        ((1000, 600), 10, (75, 125)),
        ((1000, 3), 100, (2, 500)),
    ],
)
def test_a_jpeg_is_reduced_but_never_below_the_target(size, target, shape):
    image = read_image(encode(Image.new("RGB", size, RED), "JPEG"), target=target)
    assert image.pixels.shape[:2] == shape
    assert (image.width, image.height) == size


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_reduced_decoding_knows_every_jpeg_mode(mode):
    image = Image.fromarray(data.astronaut()).convert(mode)
    full = read_image(encode(image, "JPEG")).pixels
    reduced = read_image(encode(image, "JPEG"), target=256).pixels
    expected = np.asarray(Image.fromarray(full).resize((256, 256), Image.Resampling.BOX)).astype(int)
    assert np.abs(reduced - expected).mean() < 4


def test_other_formats_are_decoded_in_full():
    assert read_image(encode(Image.fromarray(quadrants()), "PNG"), target=8).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("name", ["a.png", "b.PNG", "ü.jpg", "c.jpeg", "d.webp"])
def test_what_is_written_can_be_read(name, tmp_path):
    write_image(tmp_path / name, quadrants())
    assert np.abs(read_image(tmp_path / name).pixels.astype(int) - quadrants()).mean() < 8
    assert [path.name for path in tmp_path.iterdir()] == [name]


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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height"), [(1737, 1249), (1249, 1737), (1000, 761)])
def test_reduced_pixels_cover_exactly_the_photo(width, height, orientation):
    """Bright bands along all four edges are as wide as they were, also where the size is no multiple of the divisor."""
    stored = np.zeros((height, width), dtype=np.uint8)
    left, right, top, bottom = 24, 41, 40, 17
    stored[:, :left] = stored[:, -right:] = stored[:top] = stored[-bottom:] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.fromarray(stored), "JPEG", quality=100, exif=exif)
    full, reduced = read_image(content), read_image(content, target=120)
    assert reduced.pixels.shape[0] < full.pixels.shape[0] / 7
    assert (reduced.width, reduced.height) == (full.width, full.height)

    def bands(image):
        """Widths of the left, right, top and bottom band in pixels of the photo, from the light along a middle line."""
        rows, columns = image.pixels.shape[:2]
        across, down = image.pixels[rows // 2, :, 0] / 255, image.pixels[:, columns // 2, 0] / 255
        across, down = across * image.width / columns, down * image.height / rows
        halves = across[: columns // 2], across[columns // 2 :], down[: rows // 2], down[rows // 2 :]
        return [half.sum() for half in halves]

    np.testing.assert_allclose(bands(reduced), bands(full), atol=1)


def test_sources_of_bytes(tmp_path):
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
        (Image.new("RGB", (2, 2)), "PIL.Image.Image"),
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


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "ü" * 125 + ".png"])
def test_a_name_may_be_as_long_as_names_get(name, tmp_path):
    write_image(tmp_path / name, quadrants())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_writing_touches_no_other_file(tmp_path):
    (tmp_path / ".a.png.part").write_text("mine")
    write_image(tmp_path / "a.png", quadrants())
    assert (tmp_path / ".a.png.part").read_text() == "mine"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_size_in_a_header_is_that_of_the_decoded_image(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(quadrants()).save(tmp_path / "a", kind, exif=exif)
    image = read_image(tmp_path / "a")
    assert read_size(tmp_path / "a") == (image.width, image.height)


def test_the_size_in_a_heic_header_is_that_of_the_decoded_image():
    pytest.importorskip("pi_heif")
    path = Path(__file__).parents[1] / "data" / "sideways.heic"
    image = read_image(path)
    assert read_size(path) == (image.width, image.height)


def test_a_header_that_cannot_be_read_is_named(tmp_path):
    for content in (b"", b"no picture", b"\x89PNG\r\n\x1a\n"):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ImageError, match=r"a\.png: "):
            read_size(tmp_path / "a.png")
    with pytest.raises(ImageError, match="no such file"):
        read_size(tmp_path / "none.png")
