"""Files that cannot be read: broken, hostile, missing or too large. Each is named with a reason."""

import contextlib
import io
import os
import re
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from image_files import encode, png, quadrants, tiff
from PIL import Image
from skimage import data

from vision_app.core import images
from vision_app.core.errors import ImageError
from vision_app.core.images import read_image, read_size

KINDS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_file_cut_short_is_named(kind, part, tmp_path):
    path = tmp_path / "cut.img"
    content = encode(Image.fromarray(data.chelsea()), kind)
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ImageError, match=r"cut\.img: damaged, cut short or unsupported"):
        read_image(path)
    with pytest.raises(ImageError, match="damaged, cut short or unsupported"):
        read_image(path, target=100)


JPEGS = {
    "baseline": {}, "progressive": {"progressive": True}, "with restarts": {"restart_marker_rows": 1},
    "without subsampling": {"quality": 95, "subsampling": 0},
}  # fmt: skip


@pytest.mark.parametrize("target", [None, 100])
@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_a_jpeg_that_lacks_nothing_but_its_end_is_read(options, target):
    content = encode(Image.fromarray(data.chelsea()), "JPEG", **options)
    whole = read_image(content, target=target)
    for missing in (1, 2):
        image = read_image(content[:-missing], target=target)
        assert (image.pixels == whole.pixels).all() and (image.width, image.height) == (whole.width, whole.height)


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_a_jpeg_that_lacks_some_of_its_pixels_is_refused(options):
    content = encode(Image.fromarray(data.chelsea()), "JPEG", **options)
    scans = [match.start() for match in re.finditer(rb"\xff[\xc4\xda]", content)]  # where a progressive one may be cut
    assert len(scans) > 5 or "progressive" not in options
    cuts = [len(content) - missing for missing in (8, 20, 1000)] + [cut for cut in scans if cut > 300]
    for cut in cuts:
        with pytest.raises(ImageError, match="damaged, cut short or unsupported"):
            read_image(content[:cut])


@pytest.mark.parametrize(
    ("pixels", "size", "options"),
    [
        (data.chelsea(), (150, 100), {"restart_marker_blocks": 3}),
        (data.astronaut(), (96, 96), {"progressive": True, "restart_marker_blocks": 2}),
        (data.astronaut()[-200:], (96, 56), {"progressive": True, "restart_marker_blocks": 2}),
        (data.astronaut()[-200:], (96, 56), {"restart_marker_blocks": 1}),
    ],
)
def test_a_jpeg_that_lacks_blocks_behind_any_restart_marker_is_refused(pixels, size, options):
    content = encode(Image.fromarray(pixels).resize(size), "JPEG", **options)
    for missing in range(3, 80):
        with pytest.raises(ImageError, match="damaged, cut short or unsupported"):
            read_image(content[:-missing])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", KINDS)
def test_random_damage_gives_pixels_or_a_clear_error(kind):
    generator = np.random.default_rng(0)
    photo = Image.fromarray(data.chelsea()).resize((90, 60))
    content = np.frombuffer(encode(photo, kind), dtype=np.uint8)
    for _ in range(40):
        damaged = content.copy()
        damaged[generator.integers(0, len(content), 8)] = generator.integers(0, 256, 8)
        with contextlib.suppress(ImageError):
            image = read_image(damaged.tobytes(), max_pixels=1_000_000)
            assert image.pixels.shape == (image.height, image.width, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"\xff\xd8\xff", "damaged, cut short or unsupported"),
        (b"just some text", "not an image of a known kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known kind"),
        (b"%PDF-1.7\n", "not an image of a known kind"),
        (b"P6 1 1 255\n\0\0\0", "not an image of a known kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image of a known kind"),
    ],
)
def test_what_is_no_image_says_so(content, reason, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert caught.value.source == str(path)
    assert caught.value.reason.startswith(reason)


def test_paths_that_cannot_be_read_are_refused_with_the_reason(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg: no such file"):
        read_image(tmp_path / "gone.jpg")
    for read in (read_image, read_size):
        with pytest.raises(ImageError, match=r"^'': an empty path; give the path of an image$"):
            read("")
    with pytest.raises(ImageError, match="is a folder, not an image"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be opened"):
        read_image("a\0b.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="is not a regular file"):
        read_image(tmp_path / "pipe.jpg")


def test_a_file_without_permission_is_named(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(encode(Image.new("RGB", (2, 2)), "PNG"))
    path.chmod(0)
    as_root = os.geteuid() == 0
    try:
        if as_root:
            os.seteuid(65534)  # root may read everything
        with pytest.raises(ImageError, match=r"secret\.png: cannot be opened: Permission denied"):
            read_image(path)
    finally:
        if as_root:
            os.seteuid(0)


def bombs():
    """Small files whose headers claim 60,000 x 60,000 pixels (WebP: its largest, 16,383 x 16,383)."""
    small = Image.new("RGB", (8, 8))
    bmp, gif, jpeg = (bytearray(encode(small, kind)) for kind in ("BMP", "GIF", "JPEG"))
    bmp[18:26] = struct.pack("<ii", 60000, 60000)
    gif[6:10] = struct.pack("<HH", 60000, 60000)
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 60000, 60000)
    webp = bytearray(encode(small, "WEBP", lossless=True))
    webp[21:25] = struct.pack("<I", 16382 | 16382 << 14)
    return {
        "BMP": bytes(bmp),
        "GIF": bytes(gif),
        "JPEG": bytes(jpeg),
        "PNG": png(60000, 60000, 8, 2, [b""]),
        "TIFF": tiff(np.zeros((8, 8, 3), np.uint8), bits=8, size=(60000, 60000)),
        "WEBP": bytes(webp),
    }


BOMBS = bombs()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_by_its_header(kind, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a decoder was asked for")

    monkeypatch.setattr(Image, "_getdecoder", refuse)
    monkeypatch.setattr(Image.Image, "load", refuse)
    monkeypatch.setattr(Image.core, "new", refuse)
    with pytest.raises(ImageError, match=r"bomb: too large: .* the limit of 100,000,000 pixels"):
        read_image(BOMBS[kind], name="bomb")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", BOMBS)
def test_the_size_of_a_bomb_is_refused_too(kind, tmp_path):
    (tmp_path / "bomb").write_bytes(BOMBS[kind])
    with pytest.raises(ImageError, match=r"bomb: too large: .* the limit of 100,000,000 pixels"):
        read_size(tmp_path / "bomb")


@pytest.mark.parametrize("name", ["x.webp", "x.png", "x.jpg", "x.tif", "x.avif"])
def test_a_file_over_the_limit_of_bytes_is_refused_unread(name, tmp_path):
    with (tmp_path / name).open("wb") as file:
        file.truncate(3_000_000_000)
    reason = f"{name}: too large: 3,000,000,000 bytes are over the limit of 200,000,000"
    for read in (read_image, read_size):
        with pytest.raises(ImageError, match=reason):
            read(tmp_path / name)
    with (tmp_path / name).open("rb") as file, pytest.raises(ImageError, match=reason):
        read_image(file)


def test_the_limit_of_bytes_can_be_moved():
    content = encode(Image.new("RGB", (100, 50)), "PNG")
    assert read_image(content, max_bytes=len(content)).width == 100
    with pytest.raises(ImageError, match=rf"photo: too large: {len(content)} bytes are over the limit of 9"):
        read_image(io.BytesIO(content), max_bytes=9, name="photo")


def test_the_limit_counts_pixels_and_can_be_moved():
    content = encode(Image.new("RGB", (100, 50)), "PNG")
    assert read_image(content, max_pixels=5000).width == 100
    with pytest.raises(ImageError, match=r"photo\.png: too large: 100 x 50 is over the limit of 4,999 pixels"):
        read_image(content, max_pixels=4999, name="photo.png")


@pytest.fixture
def low_pillow_limit(monkeypatch):
    """Pillow warns from 1,000 pixels on and refuses from 2,000; the quadrants have 3,072."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(images, "PILLOW_LIMIT", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(encode(Image.fromarray(quadrants()), "PNG")))


@pytest.mark.usefixtures("low_pillow_limit")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_pillows_own_limit_neither_blocks_nor_changes(kind):
    content = encode(Image.fromarray(quadrants()), kind)
    assert read_image(content).pixels.shape == (48, 64, 3)
    with pytest.raises(ImageError, match="too large"):
        read_image(content, max_pixels=3071)
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.usefixtures("low_pillow_limit")
@pytest.mark.filterwarnings("error")
def test_several_threads_read_at_once_over_pillows_limit():
    contents = [encode(Image.fromarray(quadrants()), kind) for kind in ("PNG", "BMP", "TIFF", "GIF")]
    start = threading.Barrier(8)

    def read(worker):
        start.wait()
        return all((read_image(content).pixels == quadrants()).all() for content in contents[worker % 4 :] * 20)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))
    assert Image.MAX_IMAGE_PIXELS == 1000
