"""Every kind of image that a person may hand over comes out as 8-bit RGB."""

from pathlib import Path

import numpy as np
import pytest
from image_files import BLUE, RED, WHITE, encode, png_from_samples, quadrants, tiff
from PIL import Image
from skimage import data

from vision_app.core import decode
from vision_app.core.errors import ImageError
from vision_app.core.images import SUFFIXES, read_image

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


def test_of_a_phone_jpeg_with_two_images_the_first_is_read():
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
    monkeypatch.setattr(decode, "_HAS_HEIC", False)
    with pytest.raises(ImageError, match=r"sideways\.heic: HEIC needs an extra: pip install pi-heif$"):
        read_image(Path(__file__).parents[1] / "data" / "sideways.heic")


@pytest.mark.parametrize("brand", [b"avif", b"mif1"])  # of AVIF alone, and of HEIC too
@pytest.mark.parametrize("orientation", [1, 6, 8, 4])
def test_avif_is_read_upright(monkeypatch, brand, orientation):
    monkeypatch.setattr(decode, "_HAS_HEIC", False)
    exif = Image.Exif()
    exif[0x0112] = orientation
    flip = Image.Transpose.FLIP_TOP_BOTTOM
    turns = {6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90, 4: flip}
    stored = Image.fromarray(quadrants()).transpose(turns[orientation]) if orientation > 1 else quadrants()
    content = encode(Image.fromarray(quadrants()), "AVIF", quality=95, subsampling="4:4:4", exif=exif)
    assert content[4:12] == b"ftypavif"
    image = read_image(content[:8] + brand + content[12:])
    assert image.pixels.shape == np.asarray(stored).shape
    assert np.abs(image.pixels.astype(int) - stored).mean() < 3
    assert ".avif" in SUFFIXES


def test_transparent_avif_is_laid_on_white():
    image = read_image(encode(Image.new("RGBA", (8, 8), (0, 0, 255, 51)), "AVIF", quality=100))
    assert np.abs(image.pixels.astype(int) - (204, 204, 255)).max() <= 3 and (image.alpha == 51).all()


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
def test_a_palette_gives_its_colors(kind):
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


def test_transparent_grey_is_laid_on_white():
    image = Image.merge("LA", [Image.new("L", (4, 4), 0), Image.new("L", (4, 4), 51)])
    assert (read_image(encode(image, "PNG")).pixels == 204).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind):
    cmyk = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    assert np.abs(read_image(encode(cmyk, kind)).pixels.astype(int) - RED).max() <= 4


def test_a_ycck_jpeg_becomes_rgb():
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
