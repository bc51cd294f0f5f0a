"""How the kinds of image files are opened and decoded with Pillow; `images.read_image` puts it together."""

import io
import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import BinaryIO

import numpy as np

# Importing a plugin registers its format in Image.OPEN; no other format is ever tried on a file.
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,
    WebPImagePlugin,  # noqa: F401
)

from vision_app.core.color_profile import to_srgb
from vision_app.core.errors import ImageError
from vision_app.core.guarded_file import GuardedFile

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_HAS_HEIC = find_spec("pi_heif") is not None
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_ORIENTATION_TAG = 0x0112
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height
TURNED_BY_PILLOW = ("TIFF", "HEIF")  # whose size is that of the upright image from the start

STRIP = 2**20  # pixels that are converted at a time: a few copies of these are small, of a whole photo they are not
MAX_TILE = 4096 * 4096  # pixels of a tile of a TIFF; larger ones may be little larger than the image
_TILE_SIZE = (322, 323)  # tags: width, height

PILLOW_LIMIT = Image.MAX_IMAGE_PIXELS or float("inf")  # up to here Pillow neither warns nor refuses
_pillow_limit_lock = threading.Lock()

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = (b"IHDR", b"eXIf", b"tEXt", b"zTXt", b"iTXt")  # the chunks that tell size and orientation
_PNG_LARGEST, _PNG_CHUNKS = 10_000_000, 200_000  # bytes of such a chunk, and chunks that are looked at

_END = b"\xff\xd9"  # the marker at the end of a JPEG
_NOISES = [bytes((start + step * i * i) % 0xFF for i in range(300)) for start, step in ((0x55, 37), (0xA9, 59))]
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")  # the eight markers that come in turn
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd9]")  # with a segment behind it


def open_image(stream: BinaryIO, name: str, max_pixels: int, *, only_header: bool = False) -> Image.Image:
    """Read the header of a known kind of image; with `only_header`, its pixels need not be there afterwards.

    `Image.open` is not used: it would apply Pillow's global limit of pixels instead of ours.

    Raises:
        ImageError: It is none; names it.
    """
    prefix = stream.read(64)
    stream.seek(0)
    if not prefix:
        raise ImageError(name, "the file is empty")
    if only_header and prefix.startswith(_PNG):
        stream = _header_of_png(stream)
    if prefix[4:8] == b"ftyp":
        # The first brand may be a general one, of both formats; those that follow it tell them apart.
        brands = [prefix[i : i + 4] for i in (8, *range(16, min(int.from_bytes(prefix[:4]), 64), 4))]
        if any(brand in _AVIF_BRANDS for brand in brands):
            return _guarded(AvifImagePlugin.AvifImageFile, stream, name)
        if brands[0] in _HEIC_BRANDS:
            return _open_heic(stream, name)
    for kind in FORMATS:
        factory, accepts = Image.OPEN[kind]
        if accepts and accepts(prefix):
            try:
                return _guarded(factory, stream, name)
            except Image.DecompressionBombError:  # WebP and GIF ask Pillow's limit while they read the header
                stream.seek(0)
                with raised_pillow_limit(max_pixels):
                    return _guarded(factory, stream, name)
    raise ImageError(name, f"not an image of a known kind ({', '.join(FORMATS)}, AVIF, HEIC)")


def _guarded(factory: Callable[..., Image.Image], stream: BinaryIO, name: str) -> Image.Image:
    """Open a file as one kind of image, such that its decoding cannot take for ever.

    Raises:
        ImageError: A TIFF has tiles that are larger than it is; or see `GuardedFile`.
    """
    file = GuardedFile(stream, name)
    image = factory(file, "")
    file.opened(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tile = math.prod(image.tag_v2.get(tag, 0) for tag in _TILE_SIZE)
        if tile > max(MAX_TILE, 1.25 * image.width * image.height):
            raise ImageError(name, "has tiles that are larger than the image; re-save it")
    return image


def _open_heic(stream: BinaryIO, name: str) -> Image.Image:
    if not _HAS_HEIC:
        raise ImageError(name, "HEIC needs an extra: pip install pi-heif")
    from pi_heif import HeifImageFile

    image: Image.Image = HeifImageFile(stream)
    return image


def reduce(image: Image.Image, target: int) -> tuple[float, float, float, float] | None:
    """Let a JPEG be decoded at the smallest of 1/2, 1/4, 1/8 that keeps `target` pixels on the long side.

    Returns:
        Where the image lies in the reduced pixels, from 0, 0 to its size over the divisor, which need not be whole
        numbers: libjpeg rounds the size up. None: the image will be decoded in full.
    """
    width, height = image.size
    for divisor in (8, 4, 2):
        if max(width, height) // divisor >= target:
            drafted = image.draft(None, (max(1, width // divisor), max(1, height // divisor)))
            return drafted[1] if drafted else None  # None: no JPEG
    return None


def load(image: Image.Image, source: BinaryIO | Image.Image, name: str, target: int | None) -> Image.Image:
    """Decode the pixels of an image that was opened from a source; return it, or what takes its place.

    A JPEG whose rows can all be decoded is taken without the marker at its end, too. What is missing is told by
    decoding it again, with the marker and different data before it, which change the pixels where blocks are missing.
    """
    try:
        image.load()
        return image
    except OSError:
        if isinstance(source, Image.Image) or not isinstance(image, JpegImagePlugin.JpegImageFile):
            raise
        source.seek(0)
        content = source.read().removesuffix(_END[:1])
        ended = _ended(content, b"", name, target)
        if not _has_all_scans(content):
            raise
        if not all(_are_equal(_ended(content, tail, name, target), ended) for tail in _more(content)):
            raise
        return ended


def _more(content: bytes) -> Iterator[bytes]:
    """Yield data with which the last scan of a JPEG might go on, through the parts after further restart markers."""
    markers = _RESTART.findall(content, content.rfind(b"\xff\xda"))
    following = markers[-1][1] - 0xD0 + 1 if markers else 0
    for noise in _NOISES:
        yield b"".join(noise + bytes((0xFF, 0xD0 + (following + i) % 8)) for i in range(16))


def _ended(content: bytes, tail: bytes, name: str, target: int | None) -> Image.Image:
    """Decode a JPEG with more data and the marker behind its own."""
    image = _guarded(JpegImagePlugin.JpegImageFile, io.BytesIO(content + tail + _END), name)
    if target is not None:
        reduce(image, target)
    image.load()
    return image


def _are_equal(a: Image.Image, b: Image.Image) -> bool:
    """Return whether two images of one size and mode have equal pixels."""
    return all(a.crop(box).tobytes() == b.crop(box).tobytes() for box in _strips(a.size))


def _has_all_scans(content: bytes) -> bool:
    """Return whether a JPEG has the scans that bring every coefficient of every component in full (ITU-T T.81)."""
    components, place = 0, 0
    missing: dict[tuple[int, int], int] = {}  # lowest bits by component and coefficient
    while marker := _MARKER.search(content, place):
        place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])
        segment = content[marker.end() + 2 : place]
        if marker[0][1] in (0xC0, 0xC1, 0xC2):
            components = segment[5]
        elif marker[0][1] == 0xDA:
            count = segment[0]
            first, last, approximation = segment[1 + 2 * count : 4 + 2 * count]
            of_scan = [(segment[1 + 2 * i], k) for i in range(count) for k in range(first, last + 1)]
            missing |= dict.fromkeys(of_scan, approximation & 15)
    return len(missing) == 64 * components and not any(missing.values())


def _header_of_png(stream: BinaryIO) -> BinaryIO:
    """Return what tells the size and the orientation of a PNG, whose EXIF block may be behind its pixels."""
    header = [stream.read(8)]
    for _ in range(_PNG_CHUNKS):
        start = stream.read(8)
        length = int.from_bytes(start[:4])
        if start[4:] in _PNG_HEADER and length <= _PNG_LARGEST:
            header.append(start + stream.read(length + 4))
        elif start[4:] in (b"", b"IEND"):
            break
        else:
            stream.seek(length + 4, os.SEEK_CUR)
    return io.BytesIO(b"".join([*header, b"\0\0\0\0IDAT"]))


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; a damaged EXIF block counts as upright. Nothing is decoded for it."""
    try:
        value: int = Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
    except Exception:  # the pixels are fine, and the parser of a damaged block can raise anything
        return 1
    return value


def _strips(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes of whole rows, left, top, right, bottom, of `STRIP` pixels or a little more."""
    width, height = size
    rows = -(-STRIP // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)


def upright_pixels(image: Image.Image, turn: int = 1) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn a decoded image of any mode upright and convert it with `to_rgb`, a strip at a time.

    Args:
        image: The image; it stays as it is.
        turn: EXIF orientation (EXIF 2.32, section 4.6.4).

    Returns:
        (H, W, 3) uint8, laid on white, and its opacity, (H, W) uint8; None where it is opaque.
    """
    width, height = image.size if turn not in SIDEWAYS else image.size[::-1]
    pixels, alpha = np.empty((height, width, 3), np.uint8), None
    for box in _strips(image.size):
        rows = slice(box[1], box[3])
        part, opacity = to_rgb(image if box[2:] == image.size and not box[1] else image.crop(box))
        _as_stored(pixels, turn)[rows] = np.asarray(part)
        if opacity is not None:
            alpha = np.full((height, width), 255, np.uint8) if alpha is None else alpha
            _as_stored(alpha, turn)[rows] = opacity
    return pixels, alpha


def _as_stored(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Return a view of the pixels of an upright image, (H, W, ...), as a file of an EXIF orientation stores them."""
    flipped = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
    rows, columns = flipped.get(turn, (1, 1))
    view = pixels[::rows, ::columns]
    return view.swapaxes(0, 1) if turn in SIDEWAYS else view


def to_rgb(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Convert a decoded image of any mode to RGB, its colors to sRGB.

    Returns:
        The image laid on white, and its opacity, (H, W) uint8; None where it is opaque.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        # The high byte, as Pillow does with the 16-bit values of color images.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if profile:
        image = to_srgb(image, profile)
    if not image.has_transparency_data:
        return image.convert("RGB"), None
    image = image.convert("RGBA")
    alpha = np.asarray(image.getchannel("A"))
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB"), alpha if alpha.min() < 255 else None


@contextmanager
def raised_pillow_limit(max_pixels: int) -> Iterator[None]:
    """Raise Pillow's limit of pixels, which is global, while one image over it is opened or decoded.

    Such images come here one at a time. Smaller ones, which other threads read meanwhile, are under the limit before,
    during and after.
    """
    with _pillow_limit_lock:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None if before is None else max(before, max_pixels)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
