"""Images come out upright and in their own size, also where they are decoded smaller."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import RED, encode, quadrants
from PIL import Image, ImageCms, ImageOps
from skimage import data

from vision_app.core import decode
from vision_app.core.errors import ImageError
from vision_app.core.images import read_image, read_size


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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_size_in_a_header_is_that_of_the_decoded_image(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(quadrants()).save(tmp_path / "a", kind, exif=exif)
    image = read_image(tmp_path / "a")
    assert read_size(tmp_path / "a") == (image.width, image.height)


@pytest.mark.parametrize("place", ["before its pixels", "behind its pixels"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_size_of_a_png_is_read_without_its_pixels(tmp_path, place, orientation, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.fromarray(quadrants()), "PNG", exif=exif)
    start, end = content.index(b"eXIf") - 4, content.index(b"IDAT") - 4
    assert start < end
    if place == "behind its pixels":
        content = content[:start] + content[end:-12] + content[start:end] + content[-12:]
    (tmp_path / "a.png").write_bytes(content)
    expected = read_image(content)
    monkeypatch.setattr(Image, "_getdecoder", None)  # whoever decodes fails
    assert read_size(tmp_path / "a.png") == (expected.width, expected.height) == ((64, 48), (48, 64))[orientation == 6]
    assert read_size(content) == read_size(tmp_path / "a.png")


def test_the_size_in_a_heic_header_is_that_of_the_decoded_image():
    pytest.importorskip("pi_heif")
    path = Path(__file__).parents[1] / "data" / "sideways.heic"
    image = read_image(path)
    assert read_size(path) == (image.width, image.height)


def test_a_header_that_cannot_be_read_is_named(tmp_path):
    for content in (b"", b"no image", b"\x89PNG\r\n\x1a\n"):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ImageError, match=r"a\.png: "):
            read_size(tmp_path / "a.png")
        with pytest.raises(ImageError, match=r"an upload: "):
            read_size(content, name="an upload")
    with pytest.raises(ImageError, match="no such file"):
        read_size(tmp_path / "none.png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "CMYK"), ("PNG", "L"), ("TIFF", "LA")]
)
def test_images_are_the_same_whole_and_in_strips(monkeypatch, kind, mode, orientation):
    image = Image.fromarray(data.coffee()[::4, ::4])
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    exif = Image.Exif()
    exif[0x0112] = orientation
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes() if mode == "RGBA" else None
    content = encode(image.convert(mode), kind, exif=exif, icc_profile=profile)
    whole = read_image(content)
    monkeypatch.setattr(decode, "STRIP", 1000)  # 6 or 7 rows
    strips = read_image(content)
    np.testing.assert_array_equal(strips.pixels, whole.pixels)
    assert (whole.alpha is None) == (mode not in ("RGBA", "LA"))
    np.testing.assert_array_equal(strips.alpha, whole.alpha)


@pytest.mark.slow
def test_a_large_image_takes_few_copies_of_itself(tmp_path):
    """Four bytes a pixel are Pillow's, three are the result; turned and transparent ones have some more."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("P", (6000, 4000)).save(tmp_path / "flat.png", exif=exif)
    image = Image.new("LA", (6000, 4000), (90, 100))
    image.save(tmp_path / "clear.png", exif=exif)
    code = """if True:
        import resource, sys
        from vision_app import read_image
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        read_image(sys.argv[2])
        before = peak()
        image = read_image(sys.argv[1])
        print((peak() - before) / image.width / image.height)
    """
    Image.new("LA", (9, 9)).save(tmp_path / "small.png")
    for name, most in (("flat.png", 5.5), ("clear.png", 9.5)):
        command = [sys.executable, "-c", code, str(tmp_path / name), str(tmp_path / "small.png")]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        assert float(found.stdout) < most, name
