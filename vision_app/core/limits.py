"""Limits that hold everywhere. The command line shows some of them before anything heavy is imported."""

from dataclasses import dataclass

MAX_PIXELS = 100_000_000
"""Images with more pixels are refused unless the caller raises the limit."""

MAX_IMAGE_BYTES = 200_000_000
"""Files of images with more bytes are refused unless the caller raises the limit."""

MAX_BYTES = 2_000_000_000
"""Other files with more bytes, such as annotations and weights, are refused."""

MAX_SETTINGS_BYTES = 2_000_000
"""So are files that people write by hand and that take long to read: YAML, `model.json`, settings."""

DECODE_SECONDS = 60
"""Processor time for decoding one image beyond fixed limits of pixels and scans; no ordinary file depends on it.

It counts for JPEG, PNG, TIFF, GIF and BMP; limits of pixels and bytes bound the others, see `core.guarded_file`.
"""


@dataclass(frozen=True)
class ReadLimits:
    """Limits that `read_image` takes by name."""

    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_IMAGE_BYTES
