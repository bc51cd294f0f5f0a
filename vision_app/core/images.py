"""The one place that decodes and writes images.

Whatever the file holds, the program sees upright 8-bit sRGB: EXIF orientation and ICC profile are applied, 16-bit
values are divided by 256 (so a file that uses only 12 of its 16 bits comes out dark), palettes and CMYK are converted,
and transparent pixels are laid on white. Nothing is decoded before the header has told the size.
"""

import errno
import io
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from vision_app.core.decode import (
    PILLOW_LIMIT,
    SIDEWAYS,
    TURNED_BY_PILLOW,
    load,
    open_image,
    orientation,
    raised_pillow_limit,
    reduce,
    to_rgb,
    upright_pixels,
)
from vision_app.core.errors import ImageError, nearest
from vision_app.core.files import UnreadableFileError, atomic_write, open_regular
from vision_app.core.limits import MAX_IMAGE_BYTES, MAX_PIXELS
from vision_app.core.memory import reserve

SUFFIXES = frozenset(
    [
        ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif",
        ".heic", ".heif",  # also where they cannot be read, so that they are not passed over in silence
    ]
)  # fmt: skip
"""Suffixes, in lower case, of the files that a folder walk takes."""

WRITERS: dict[str, dict[str, Any]] = {
    ".jpg": {"format": "JPEG", "quality": 92},
    ".jpeg": {"format": "JPEG", "quality": 92},
    ".png": {"format": "PNG", "compress_level": 3},
    ".webp": {"format": "WEBP", "quality": 92},
}
"""What `Image.save` is told, by the suffix of the file to write."""


@dataclass(frozen=True, eq=False)
class RGBImage:
    """An upright image, possibly decoded at a reduced size.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, contiguous, covering exactly the full image; treat it as read-only.
        width: Width of the full image in pixels; boxes are reported in these.
        height: Height of the full image in pixels.
        alpha: (h, w) uint8 opacity of an image that is laid on white, or None for one that is opaque everywhere.
    """

    pixels: np.ndarray
    width: int
    height: int
    alpha: np.ndarray | None = None


ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | np.ndarray | Image.Image | RGBImage


def read_image(
    source: ImageSource,
    *,
    target: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_IMAGE_BYTES,
    name: str | None = None,
) -> RGBImage:
    """Decode an image into upright 8-bit RGB.

    Args:
        source: A path, the bytes of a file, an open binary file (read from its start), an image of Pillow, a uint8
            array of shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, or an RGBImage, which is returned as it
            is.
        target: The caller needs no more than this many pixels on the long side. A JPEG is then decoded at 1/2, 1/4
            or 1/8 of its size where that leaves at least `target` pixels; other formats are decoded in full.
        max_pixels: Largest width x height that is decoded.
        max_bytes: Largest file that is read.
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
    if isinstance(source, Image.Image):
        name = name or str(getattr(source, "filename", "") or "<image>")
        return _decode(source, name, None, max_pixels)  # in full, for it stays as it is
    if isinstance(source, str | os.PathLike):
        name = name or os.fsdecode(source)
        with open_file(Path(source), name, max_bytes) as stream:
            return _decode(stream, name, target, max_pixels)
    content: object = source
    default_name = "<bytes>"
    if not isinstance(source, bytes | bytearray | memoryview) and hasattr(source, "read"):
        default_name = str(getattr(source, "name", "<file>"))
        content = _content(source, name or default_name, max_bytes)
    if not isinstance(content, bytes | bytearray | memoryview):
        kind = f"{type(source).__module__}.{type(source).__qualname__}".removeprefix("builtins.")
        raise ImageError(
            name or f"<{kind}>", f"expected a path, bytes, a binary file, an array or an image, got {kind}"
        )
    _check_bytes(len(content), name or default_name, max_bytes)
    return _decode(io.BytesIO(content), name or default_name, target, max_pixels)


def read_size(source: str | os.PathLike[str] | bytes, *, name: str | None = None) -> tuple[int, int]:
    """Return the width and height of an upright image from its file's header, without decoding it.

    Args:
        source: A path, or the bytes of a file.
        name: What errors call it; the path by default.

    Raises:
        ImageError: As `read_image`, as far as the header tells.
    """
    name = name or ("<bytes>" if isinstance(source, bytes) else os.fsdecode(source))
    with io.BytesIO(source) if isinstance(source, bytes) else open_file(Path(source), name) as stream:
        try:
            image = open_image(stream, name, MAX_PIXELS, only_header=True)
            width, height = image.size
            _check_pixels(width, height, name, MAX_PIXELS)
            turned = orientation(image) in SIDEWAYS and image.format not in TURNED_BY_PILLOW
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageError(name, f"too large: over the limit of {MAX_PIXELS:,} pixels") from error
        except MemoryError as error:
            raise ImageError(name, "not enough memory to read its header") from error
        except Exception as error:  # a damaged header can make a plugin raise anything
            raise ImageError(name, f"damaged, cut short or unsupported ({_reason(error)})") from error
    return (height, width) if turned else (width, height)


def write_image(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Write an image under a temporary name beside `path`, then move it into place.

    Args:
        path: Target; its suffix decides the format (.jpg, .jpeg, .png or .webp in any case).
        pixels: (H, W, 3) uint8 RGB, or (H, W, 4) RGBA.

    Raises:
        ImageError: The suffix is unknown or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        guess = nearest(path.suffix, WRITERS)
        hint = f"did you mean {guess}?" if guess else f"choose from {', '.join(WRITERS)}"
        raise ImageError(str(path), f"cannot write images with the suffix {path.suffix!r}; {hint}")
    try:
        with atomic_write(path) as temporary:
            save_image(pixels, temporary, path.suffix)
    except OSError as error:
        raise ImageError(str(path), f"cannot be written: {_reason(error)}") from error


def save_image(pixels: np.ndarray, target: Path | BinaryIO, suffix: str) -> None:
    """Save (H, W, 3) or (H, W, 4) uint8 in the format of a suffix in `WRITERS`; a JPEG is laid on white."""
    options, image = WRITERS[suffix.lower()], Image.fromarray(pixels)
    if options["format"] == "JPEG" and image.mode == "RGBA":
        image, _ = to_rgb(image)
    image.save(target, **options)


def _content(stream: BinaryIO, name: str, max_bytes: int) -> bytes:
    """Read an open file from its start."""
    try:
        if stream.seekable():
            _check_bytes(stream.seek(0, os.SEEK_END), name, max_bytes)
            stream.seek(0)
        return stream.read()
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise ImageError(name, f"cannot be read: {_reason(error)}") from error


def _check_bytes(size: int, name: str, limit: int) -> None:
    if size > limit:
        raise ImageError(name, f"too large: {size:,} bytes are over the limit of {limit:,}")


def _check_pixels(width: int, height: int, name: str, limit: int) -> None:
    if width * height > limit:
        raise ImageError(name, f"too large: {width} x {height} is over the limit of {limit:,} pixels")


def open_file(path: Path, name: str, max_bytes: int = MAX_IMAGE_BYTES) -> BinaryIO:
    """Open a regular file; devices and pipes are refused, since reading one may never end.

    Args:
        path: The file.
        name: What errors call it.
        max_bytes: Larger files are refused.

    Raises:
        ImageError: It is missing, of another kind, too large or must not be read.
    """
    if not name:
        raise ImageError("''", "an empty path; give the path of an image")
    try:
        return open_regular(path, max_bytes)
    except FileNotFoundError as error:
        raise ImageError(name, "no such file") from error
    except IsADirectoryError as error:
        raise ImageError(name, "is a folder, not an image") from error
    except UnreadableFileError as error:
        raise ImageError(name, "is not a regular file" if error.errno == errno.EINVAL else str(error)) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ImageError(name, f"cannot be opened: {_reason(error)}") from error


def _from_array(array: np.ndarray, name: str) -> RGBImage:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        wanted = "a uint8 array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        raise ImageError(name, f"expected {wanted}, got {array.dtype} of shape {array.shape}")
    if array.size == 0:
        raise ImageError(name, f"the array is empty: its shape is {array.shape}")
    if channels == 3:
        return RGBImage(np.ascontiguousarray(array), array.shape[1], array.shape[0])
    pixels, alpha = upright_pixels(Image.fromarray(array if channels == 4 else array.reshape(array.shape[:2])))
    return RGBImage(pixels, array.shape[1], array.shape[0], alpha)


def _decode(source: BinaryIO | Image.Image, name: str, target: int | None, max_pixels: int) -> RGBImage:
    """Decode an image: open by its first bytes, check the size, decode, turn upright, convert to RGB."""
    try:
        image = source if isinstance(source, Image.Image) else open_image(source, name, max_pixels)
        width, height = image.size
        _check_pixels(width, height, name, max_pixels)
        if image.mode in ("I", "F"):
            raise ImageError(name, "32-bit pixels have no known range; save it with 8 or 16 bits a channel")
        reduced = None if target is None else reduce(image, target)
        # A progressive JPEG is in memory at full size, as coefficients, while it is decoded at a reduced one.
        reserve(width * height if "progressive" in image.info else image.width * image.height)
        with raised_pillow_limit(max_pixels) if width * height > PILLOW_LIMIT else nullcontext():
            image = load(image, source, name, target)
        turn = orientation(image)  # after loading: Pillow has turned TIFF and HEIC upright by now
        if reduced and reduced[2:] != image.size:  # the last column and row reach past the edge of the image
            image = image.resize(image.size, Image.Resampling.BICUBIC, box=reduced)
        pixels, alpha = upright_pixels(image, turn)
        pixels.flags.writeable = False
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
    elif turn in SIDEWAYS:
        width, height = height, width
    return RGBImage(pixels, width, height, alpha)


def _reason(error: Exception) -> str:
    """Return what went wrong, without the file's name and number that the system adds."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
