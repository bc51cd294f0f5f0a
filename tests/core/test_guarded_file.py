"""Small files that take long to decode: refused by what is counted in them, or by processor time."""

import io
import struct
import time

import numpy as np
import pytest
from image_files import encode, png, quadrants
from PIL import Image

from vision_app.core import guarded_file
from vision_app.core.errors import ImageError
from vision_app.core.images import read_image, read_size


def progressive_jpeg(side, scans):
    """Return a gray JPEG with empty scans, of which each makes the decoder walk over every block."""

    def segment(marker, content):
        return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content

    def table(kind, counts, symbols):
        return segment(0xC4, bytes([kind << 4, *counts, *[0] * 14, *symbols]))

    blocks = ((side + 7) // 8) ** 2
    first = segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes((blocks + 7) // 8)
    bits, left = "", blocks
    while left > 0:  # runs of blocks that end at once
        run = min(left, 32767)
        bits += "0" + format(run - 16384, "014b") if run >= 16384 else "10" * run
        left -= run
    bits += "1" * (-len(bits) % 8)
    empty = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + int(bits, 2).to_bytes(len(bits) // 8).replace(
        b"\xff", b"\xff\0"
    )
    tables = segment(0xDB, b"\0" + bytes([1] * 64)) + table(0, [1, 1], [0, 1]) + table(1, [1, 1], [0xE0, 0])
    frame = segment(0xC2, bytes([8]) + struct.pack(">HH", side, side) + bytes([1, 1, 0x11, 0]))
    return b"\xff\xd8" + tables + frame + first + empty * scans + b"\xff\xd9"


def tiled_tiff(side, tile):
    """Return a black TIFF of one tile, which may be much larger than it."""
    content = encode(Image.new("L", (8, 8)), "TIFF", compression="tiff_adobe_deflate")
    assert content[:2] == b"II"
    entries = [(256, side), (257, side), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile), (323, tile)]
    entries += [(324, 8 + 2 + 12 * 10 + 4), (325, 100)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, 10) + directory + bytes(104)


def test_a_progressive_jpeg_with_a_few_scans_is_read():
    assert (read_image(progressive_jpeg(64, 40)).pixels == 128).all()
    photo = encode(Image.fromarray(quadrants()), "JPEG", progressive=True)
    plain = encode(Image.fromarray(quadrants()), "JPEG")
    assert (read_image(photo).pixels == read_image(plain).pixels).all()


@pytest.mark.parametrize("scans", [501, 3000, 30_000])
def test_a_jpeg_with_many_scans_is_refused_soon(scans):
    content, start = progressive_jpeg(2000, scans), time.process_time()
    with pytest.raises(ImageError, match=r"^x\.jpg: more than 500 scans; re-save it$"):
        read_image(content, name="x.jpg")
    assert time.process_time() - start < 5


def test_sequential_scans_count_too():
    """libjpeg decodes a JPEG that begins with a scan of one component of three in the same way."""
    jpeg = encode(Image.fromarray(quadrants()), "JPEG", subsampling=0)
    scan = jpeg.index(b"\xff\xda")
    alone = jpeg[:scan] + (b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + b"\0" * 40) * 600 + b"\xff\xd9"
    with pytest.raises(ImageError, match="more than 500 scans"):
        read_image(alone)


def test_processor_time_counts_only_beyond_what_is_ordinary(monkeypatch):
    monkeypatch.setattr(guarded_file, "DECODE_SECONDS", 0)
    assert read_image(progressive_jpeg(64, 49)).width == 64
    with pytest.raises(ImageError, match="takes more than 0 s to decode; re-save it"):
        read_image(progressive_jpeg(64, 60)[:-2] + bytes(100_000) + b"\xff\xd9")
    monkeypatch.setattr(guarded_file, "MAX_PIXELS", 100)
    with pytest.raises(ImageError, match="takes more than 0 s to decode"):
        read_image(encode(Image.fromarray(quadrants()), "PNG"))


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff" + bytes(2_000_000),
        b"\xff\xd8" + b"\xff" * 2_000_000,
        png(8, 8, 8, 0, [bytes(8)] * 8)[:33] + b"\0\0\0\0abCd\x78\x06\xe9\xb3" * 400_000,
    ],
    ids=["junk in a JPEG", "filling in a JPEG", "chunks of a PNG"],
)  # fmt: skip
def test_a_header_of_many_pieces_is_refused(content, monkeypatch):
    monkeypatch.setattr(guarded_file, "MAX_PIECES", 100_000)
    with pytest.raises(ImageError, match="more than 100,000 chunks or segments before the pixel data; re-save it"):
        read_image(content)


@pytest.mark.parametrize(("side", "tile", "is_refused"), [(64, 4096, False), (64, 4112, True), (64, 25_000, True)])
def test_a_tile_much_larger_than_its_tiff_is_refused(tmp_path, side, tile, is_refused):
    (tmp_path / "x.tif").write_bytes(tiled_tiff(side, tile))
    if not is_refused:
        assert read_size(tmp_path / "x.tif") == (side, side)
        return
    for read in (read_size, read_image):
        with pytest.raises(ImageError, match=r"x\.tif: has tiles that are larger than the image; re-save it"):
            read(tmp_path / "x.tif")


def test_a_large_tiff_of_one_tile_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr("vision_app.core.decode.MAX_TILE", 100)
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(tmp_path / "x.tif", tile=(208, 208))
    stream = io.BytesIO((tmp_path / "x.tif").read_bytes())
    assert read_image(stream).width == 200 == read_size(tmp_path / "x.tif")[0]
