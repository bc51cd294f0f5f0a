"""Attacks on memory: images whose size in RAM has nothing to do with that of their file."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from peak_memory import peak

from attacks import Trial

LIMITS = {48: 1200, 100: 2000}  # MB of memory by megapixels
SHAPES = {48: [(8000, 6000), (48_000, 1000)], 100: [(10_000, 10_000), (1, 100_000), (100_000, 1000), (33, 3_000_000)]}
COPIES = 2
VERBS = (
    ["detect", "--workers", "2", "--output", "detections"],
    ["classify", "--workers", "2", "--output", "classes"],
    ["faces", "embed", "--workers", "2", "--output", "faces.npz"],
)


def large_images_in_small_files(folder: Path) -> Iterator[Trial]:
    """Images of 48 and 100 megapixels in a few kilobytes, two workers, under 1.2 and 2 GB."""
    for size, shapes in SHAPES.items():
        for width, height in shapes:
            files = [f"{width}x{height}-{copy}.png" for copy in range(COPIES)]
            for file in files:
                (folder / file).write_bytes(white_png(width, height))
            for words in VERBS:
                most, code = peak([*words, "--overwrite", *files], folder)
                name = f"{words[-1]} of {width} x {height}: {most:,.0f} MB, exit code {code}"
                yield Trial(name, code == 0 and most < LIMITS[size])


def white_png(width: int, height: int) -> bytes:
    """Return a PNG of black and white pixels, all of them white."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    stream, row = zlib.compressobj(), b"\0" + b"\xff" * ((width + 7) // 8)
    pixels = b"".join(stream.compress(row) for _ in range(height)) + stream.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
