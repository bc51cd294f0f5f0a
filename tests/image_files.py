"""Image files made for the tests, some of them written by hand."""

import io
import itertools
import struct
import zlib

import numpy as np

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encode(image, kind, **options):
    """Return the bytes of a file that holds this image."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def quadrants(width=64, height=48):
    """An image with a different color in each quarter: red, green / blue, white."""
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


def icc_profile(space, tags):
    """Return an ICC profile of version 2 for the colors of a display or printer, written by hand.

    Args:
        space: "RGB ", "GRAY" or "CMYK".
        tags: The content of each tag by its name; the white point is that of D50.
    """
    white = _xyz(0.9642, 1.0, 0.8249)
    table, body = b"", b""
    tags = {"wtpt": white, "cprt": b"text\0\0\0\0none\0", "desc": _description("by hand")} | tags
    for name, content in tags.items():
        place = 128 + 4 + 12 * len(tags) + len(body)
        table += name.encode() + struct.pack(">II", place, len(content))
        body += content + bytes(-len(content) % 4)
    header = bytearray(128)
    header[0:4] = struct.pack(">I", 132 + len(table) + len(body))
    header[8:12] = b"\x02\x40\0\0"
    header[12:24] = (
        (b"prtr" if space == "CMYK" else b"mntr") + space.encode() + (b"Lab " if space == "CMYK" else b"XYZ ")
    )
    header[36:40], header[68:80] = b"acsp", white[8:]
    return bytes(header) + struct.pack(">I", len(tags)) + table + body


def rgb_profile(gamma=1.8):
    """Return a profile with the primaries of ProPhoto, far wider than sRGB's."""
    primaries = {"r": (0.7977, 0.2880, 0.0), "g": (0.1352, 0.7119, 0.0), "b": (0.0313, 0.0001, 0.8249)}
    tags = {f"{name}XYZ": _xyz(*xyz) for name, xyz in primaries.items()}
    return icc_profile("RGB ", tags | {f"{name}TRC": _curve(gamma) for name in primaries})


def heic_with_profile(content, profile):
    """Return a HEIC file of one image with an ICC profile instead of the description of its colors by numbers."""
    old = content.index(b"colr") - 4
    box = b"colrprof" + profile
    box = struct.pack(">I", len(box) + 4) + box
    end = old + int.from_bytes(content[old : old + 4])
    grown = bytearray(content[:old] + box + content[end:])
    sizes = [content.index(kind) - 4 for kind in (b"meta", b"iprp", b"ipco")]  # the boxes around it
    items = content.index(b"iloc") + 12  # 18 bytes each, of which bytes 4 to 7 are a place in the file
    places = [items + 4 + 18 * i for i in range(int.from_bytes(content[items - 2 : items]))]
    for place in sizes + places:
        value = int.from_bytes(content[place : place + 4]) + len(box) - (end - old)
        grown[place : place + 4] = struct.pack(">I", value)
    return bytes(grown)


def gray_profile(gamma=1.0):
    """Return a profile of gray levels; by default they are proportional to the light."""
    return icc_profile("GRAY", {"kTRC": _curve(gamma)})


def cmyk_profile():
    """Return a profile of a printer whose four inks are gray: each of C, M and Y takes a third of the lightness."""
    ramp = bytes(range(256))
    corners = itertools.product((0, 1), repeat=4)
    lab = b"".join(bytes((round(255 * (1 - k) * (1 - (c + m + y) / 3)), 128, 128)) for c, m, y, k in corners)
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + 4 * ramp + lab + 3 * ramp
    return icc_profile("CMYK", {"A2B0": table})


def _xyz(*values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _description(text):
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text.encode() + bytes(1 + 4 + 4 + 2 + 1 + 67)
