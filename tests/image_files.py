"""Image files made for the tests, some of them written by hand."""

import io
import struct
import zlib

import numpy as np

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encode(image, kind, **options):
    """Return the bytes of a file that holds this picture."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def quadrants(width=64, height=48):
    """A picture with a different color in each quarter: red, green / blue, white."""
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    top, left = slice(None, height // 2), slice(None, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    pixels[top, left], pixels[top, right], pixels[bottom, left], pixels[bottom, right] = RED, GREEN, BLUE, WHITE
    return pixels


def png(width, height, depth, color_type, rows):
    """Return a PNG file written by hand, for depths that Pillow does not write.

    Args:
        width: Width in pixels, as the header states it.
        height: Height in pixels, as the header states it.
        depth: Bits a sample.
        color_type: 0 grey, 2 RGB, 4 grey with alpha, 6 RGBA.
        rows: The rows' bytes.
    """

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def png_from_samples(samples, color_type):
    """Return a 16-bit PNG of (H, W, C) samples."""
    height, width = samples.shape[:2]
    return png(width, height, 16, color_type, [row.astype(">u2").tobytes() for row in samples])


def tiff(samples, *, bits, sample_format=1, order="<", size=None):
    """Return an uncompressed TIFF of (H, W, C) samples, written by hand; `size` is a (height, width) to lie about."""
    height, width = size or samples.shape[:2]
    channels = samples.shape[2]
    tail = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    tags = {
        256: [width],
        257: [height],
        258: [bits] * channels,
        259: [1],  # no compression
        262: [2 if channels == 3 else 1],  # RGB or grey
        273: [8 + 2 + 10 * 12 + 4],  # the pixels follow the directory
        277: [channels],
        278: [height],
        279: [len(tail)],
        339: [sample_format] * channels,
    }
    directory = struct.pack(order + "H", len(tags))
    for tag, values in tags.items():
        field = values[0]
        if len(values) > 1:  # a list does not fit into its entry and goes to the end of the file
            field = tags[273][0] + len(tail)
            tail += struct.pack(f"{order}{len(values)}I", *values)
        directory += struct.pack(order + "HHII", tag, 4, len(values), field)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8) + directory + struct.pack(order + "I", 0) + tail
