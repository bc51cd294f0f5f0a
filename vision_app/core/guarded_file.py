"""A limit on the work that the file of an image may ask for, whatever its size in pixels.

What is counted decides alone for nearly all files: they are refused for too many pieces or scans, or read to their end.
Between the two lie files that no camera or tool is known to write, and only there processor time decides.
"""

import time
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from vision_app.core.errors import ImageError
from vision_app.core.limits import DECODE_SECONDS, MAX_PIXELS

MAX_PIECES = 1_000_000  # reads before the pixels begin, a few for each piece of the file
MAX_SCANS = 500  # of a JPEG, those of its thumbnails included
ORDINARY_READS = 1_000_000
ORDINARY_SCANS = 50  # the usual progressive JPEG has 10
_STEP = 4096  # bytes at once where processor time counts, so that it is looked at often


class GuardedFile:
    """A file that Pillow reads, which raises an error instead of being read on when its image takes too much work.

    Processor time, that of this thread, counts for images over `MAX_PIXELS` and from `ORDINARY_SCANS` or
    `ORDINARY_READS` on; for no others, so that results of ordinary files never depend on it.

    Decoders of WebP, AVIF and HEIC read the whole file before they begin, so that no time stops them. Limits of pixels
    and bytes do: the slowest files that could be made took 0.29 s of processor time per megapixel (AVIF; WebP 0.09)
    and 0.08 s per megabyte, which is less than half a minute at `MAX_PIXELS` and `MAX_IMAGE_BYTES`.

    Args:
        stream: The file.
        name: What errors call it.
    """

    def __init__(self, stream: BinaryIO, name: str):
        self._stream, self._name = stream, name
        self._start = time.thread_time()
        self._reads = self._scans = 0
        self._last = b""
        self._most_reads: float = MAX_PIECES
        self._is_large = self._has_scans = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # seek, tell and what else files have

    def opened(self, image: Image.Image) -> None:
        """Take the image whose header was read: its pixels are read from now on."""
        self._reads, self._most_reads = 0, float("inf")
        self._is_large = image.width * image.height > MAX_PIXELS
        if isinstance(image, JpegImageFile):
            # What was read last is the header of the first scan, which begins with its number of components.
            self._has_scans = "progressive" in image.info or self._last[:1] < bytes([image.layers])

    def read(self, size: int = -1) -> bytes:
        """Read as a file does, or less where processor time counts.

        Raises:
            ImageError: It takes too much work.
        """
        self._reads += 1
        if self._reads > self._most_reads:
            raise ImageError(
                self._name, f"more than {MAX_PIECES:,} chunks or segments before the pixel data; re-save it"
            )
        is_strange = self._is_large or self._reads > ORDINARY_READS or self._scans > ORDINARY_SCANS
        if is_strange and time.thread_time() - self._start > DECODE_SECONDS:
            raise ImageError(self._name, f"takes more than {DECODE_SECONDS} s to decode; re-save it")
        content = self._stream.read(min(size, _STEP) if self._scans > ORDINARY_SCANS and size > _STEP else size)
        if self._has_scans:
            self._scans += _count_scans(self._last[-1:] + content)
            if self._scans > MAX_SCANS:
                raise ImageError(self._name, f"more than {MAX_SCANS} scans; re-save it")
        self._last = content
        return content


def _count_scans(content: bytes) -> int:
    """Return how many markers in front of a scan there are; `bytes.count` takes ten times as long."""
    values = np.frombuffer(content, np.uint8)
    return int(np.count_nonzero((values[:-1] == 0xFF) & (values[1:] == 0xDA)))
