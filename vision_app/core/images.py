"""The one place that decodes and writes images.

Whatever the file holds, the program sees upright 8-bit RGB: EXIF orientation is applied, 16-bit values are divided by
256 (so a file that uses only 12 of its 16 bits comes out dark), palettes and CMYK are converted, and transparent pixels
are laid on white. Nothing is decoded before the header has told the size.
"""

import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# Importing a plugin registers its format in Image.OPEN; no other format is ever tried on a file.
from PIL import (
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from vision_app.core.errors import ImageError, nearest
from vision_app.core.files import atomic_write
from vision_app.core.limits import MAX_PIXELS

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")

_HAS_HEIC = find_spec("pi_heif") is not None
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"]
    + ([".heic", ".heif"] if _HAS_HEIC else [])
)
"""Suffixes, in lower case, of the files that a folder walk takes."""

WRITERS: dict[str, dict[str, Any]] = {
    ".jpg": {"format": "JPEG", "quality": 92},
    ".jpeg": {"format": "JPEG", "quality": 92},
    ".png": {"format": "PNG", "compress_level": 3},
    ".webp": {"format": "WEBP", "quality": 92},
}
"""What `Image.save` is told, by the suffix of the file to write."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {  # EXIF orientation -> what turns the stored pixels upright (EXIF 2.32, section 4.6.4)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height
_TURNED_BY_PILLOW = ("TIFF", "HEIF")  # whose size is that of the upright image from the start

_PILLOW_LIMIT = Image.MAX_IMAGE_PIXELS or float("inf")  # up to here Pillow neither warns nor refuses
_pillow_limit_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class RGBImage:
    """An upright image, possibly decoded at a reduced size.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, contiguous, covering exactly the full image; treat it as read-only.
        width: Width of the full image in pixels; boxes are reported in these.
        height: Height of the full image in pixels.
    """

    pixels: np.ndarray
    width: int
    height: int


ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | np.ndarray | RGBImage


def read_image(
    source: ImageSource, *, target: int | None = None, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> RGBImage:
    """Decode an image into upright 8-bit RGB.

    Args:
        source: A path, the bytes of a file, an open binary file (read from its start), a uint8 array of shape
            (H, W), (H, W, 3) RGB or (H, W, 4) RGBA, or an RGBImage, which is returned as it is.
        target: The caller needs no more than this many pixels on the long side. A JPEG is then decoded at 1/2, 1/4
            or 1/8 of its size where that leaves at least `target` pixels; other formats are decoded in full.
        max_pixels: Largest width x height that is decoded.
        name: What errors call the source; the path by default.

    Returns:
        The image. Without `target`, `pixels` has the shape (height, width, 3).

    Raises:
        ImageError: The source is missing, empty, damaged, too large, of another type or no image of a known kind.
    """
    if isinstance(source, RGBImage):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, name or "<array>")
    if isinstance(source, str | os.PathLike):
        name = name or os.fsdecode(source)
        with open_file(Path(source), name) as stream:
            return _decode(stream, name, target, max_pixels)
    content: object = source
    default_name = "<bytes>"
    if not isinstance(source, bytes | bytearray | memoryview) and hasattr(source, "read"):
        default_name = str(getattr(source, "name", "<file>"))
        content = _content(source, name or default_name)
    if not isinstance(content, bytes | bytearray | memoryview):
        kind = f"{type(source).__module__}.{type(source).__qualname__}".removeprefix("builtins.")
        raise ImageError(name or f"<{kind}>", f"expected a path, bytes, a binary file or an array, got {kind}")
    return _decode(io.BytesIO(content), name or default_name, target, max_pixels)


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the width and height of an upright image from its file's header, without decoding it.

    Raises:
        ImageError: As `read_image`, as far as the header tells.
    """
    name = os.fsdecode(path)
    with open_file(Path(path), name) as stream:
        try:
            image = _open(stream, name, MAX_PIXELS)
            width, height = image.size
            turned = _orientation(image) in _SIDEWAYS and image.format not in _TURNED_BY_PILLOW
        except ImageError:
            raise
        except Exception as error:  # a damaged header can make a plugin raise anything
            raise ImageError(name, f"damaged, cut short or unsupported ({_reason(error)})") from error
    return (height, width) if turned else (width, height)


def write_image(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Write an image under a temporary name beside `path`, then move it into place.

    Args:
        path: Target; its suffix decides the format (.jpg, .jpeg, .png or .webp in any case).
        pixels: (H, W, 3) uint8 RGB.

    Raises:
        ImageError: The suffix is unknown or the file cannot be written.
    """
    path = Path(path)
    options = WRITERS.get(path.suffix.lower())
    if options is None:
        guess = nearest(path.suffix, WRITERS)
        hint = f"did you mean {guess}?" if guess else f"choose from {', '.join(WRITERS)}"
        raise ImageError(str(path), f"cannot write images with the suffix {path.suffix!r}; {hint}")
    try:
        with atomic_write(path) as temporary:
            Image.fromarray(pixels).save(temporary, **options)
    except OSError as error:
        raise ImageError(str(path), f"cannot be written: {_reason(error)}") from error


def _content(stream: BinaryIO, name: str) -> bytes:
    """Read an open file from its start."""
    try:
        if stream.seekable():
            stream.seek(0)
        return stream.read()
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise ImageError(name, f"cannot be read: {_reason(error)}") from error


def open_file(path: Path, name: str) -> BinaryIO:
    """Open a regular file; devices and pipes are refused, since reading one may never end.

    Args:
        path: The file.
        name: What errors call it.

    Raises:
        ImageError: It is missing, of another kind or must not be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(name, "is a folder, not an image")
        if not stat.S_ISREG(mode):
            raise ImageError(name, "is not a regular file")
        return path.open("rb")
    except FileNotFoundError as error:
        raise ImageError(name, "no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ImageError(name, f"cannot be opened: {_reason(error)}") from error


def _from_array(array: np.ndarray, name: str) -> RGBImage:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and channels not in (3, 4)):
        wanted = "a uint8 array of shape (H, W), (H, W, 3) or (H, W, 4)"
        raise ImageError(name, f"expected {wanted}, got {array.dtype} of shape {array.shape}")
    if array.size == 0:
        raise ImageError(name, f"the array is empty: its shape is {array.shape}")
    pixels = np.ascontiguousarray(array) if channels == 3 else np.asarray(_to_rgb(Image.fromarray(array)))
    return RGBImage(pixels, array.shape[1], array.shape[0])


def _decode(stream: BinaryIO, name: str, target: int | None, max_pixels: int) -> RGBImage:
    """Decode an image file: open by its first bytes, check the size, decode, turn upright, convert to RGB."""
    try:
        image = _open(stream, name, max_pixels)
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError(name, f"too large: {width} x {height} is over the limit of {max_pixels:,} pixels")
        if image.mode in ("I", "F"):
            raise ImageError(name, "32-bit pixels have no known range; save it with 8 or 16 bits a channel")
        reduced = None if target is None else _reduce(image, target)
        with _raised_pillow_limit(max_pixels) if width * height > _PILLOW_LIMIT else nullcontext():
            image.load()
        orientation = _orientation(image)  # after loading: Pillow has turned TIFF and HEIC upright by now
        if reduced and reduced[2:] != image.size:  # the last column and row reach past the edge of the image
            image = image.resize(image.size, Image.Resampling.BICUBIC, box=reduced)
        if orientation in _UPRIGHT:
            image = image.transpose(_UPRIGHT[orientation])
        pixels = np.asarray(_to_rgb(image))  # (h, w, 3)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(name, f"too large: over the limit of {max_pixels:,} pixels") from error
    except MemoryError as error:
        raise ImageError(name, "not enough memory to decode it") from error
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise ImageError(name, f"damaged, cut short or unsupported ({_reason(error)})") from error
    if not reduced:
        height, width = pixels.shape[:2]
    elif orientation in _SIDEWAYS:
        width, height = height, width
    return RGBImage(pixels, width, height)


def _open(stream: BinaryIO, name: str, max_pixels: int) -> Image.Image:
    """Read the header of a known kind of image.

    `Image.open` is not used: it would apply Pillow's global limit of pixels instead of ours.
    """
    prefix = stream.read(16)
    stream.seek(0)
    if not prefix:
        raise ImageError(name, "the file is empty")
    if prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIC_BRANDS:
        if not _HAS_HEIC:
            raise ImageError(name, "HEIC needs an extra: pip install 'vision-app[heic]'")
        from pi_heif import HeifImageFile

        image: Image.Image = HeifImageFile(stream)
        return image
    for kind in FORMATS:
        factory, accepts = Image.OPEN[kind]
        if accepts and accepts(prefix):
            try:
                return factory(stream, "")
            except Image.DecompressionBombError:  # WebP and GIF ask Pillow's limit while they read the header
                stream.seek(0)
                with _raised_pillow_limit(max_pixels):
                    return factory(stream, "")
    raise ImageError(name, f"not an image of a known kind ({', '.join(FORMATS)}, HEIC)")


def _reduce(image: Image.Image, target: int) -> tuple[float, float, float, float] | None:
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


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; a damaged EXIF block counts as upright."""
    try:
        orientation: int = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # the pixels are fine, and the parser of a damaged block can raise anything
        return 1
    return orientation


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image of any mode to RGB."""
    if image.mode.startswith("I;16"):
        # The high byte, as Pillow does with the 16-bit values of color images.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


@contextmanager
def _raised_pillow_limit(max_pixels: int) -> Iterator[None]:
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


def _reason(error: Exception) -> str:
    """Return what went wrong, without the file's name and number that the system adds."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
