"""Which parts of a photo a face detector looks at, and how large: faces from 20 pixels to those that fill the photo."""

import math
from dataclasses import dataclass

SEEN = 16  # pixels that a face must have in the network's input to be found
FRAMED = 0.46  # size of the small copy of a photo that lies in a frame, as a share of the network's own size
FRAME = 32  # pixels of gray around it, on each side
LARGEST = 1280  # longest side of the network's input for a closer look; what needs more is looked at in tiles


@dataclass(frozen=True)
class View:
    """A part of a photo.

    Attributes:
        left, top, right, bottom: the part, in whole pixels of the photo.
        size: length that the part's long side has in the network's input.
        frame: pixels of gray around the part in the input, on each side.
        largest: side in pixels of the photo up to which faces in this view count.
    """

    left: int
    top: int
    right: int
    bottom: int
    size: int
    frame: int = 0
    largest: float = math.inf


def views(width: int, height: int, size: int, smallest: float) -> list[View]:
    """The looks at one photo.

    The whole photo; a small copy in a frame of gray, where a face that fills the photo, or is cut off by its edges, is
    like any other; and where faces of the wanted size are too small in the first look, a closer one, in tiles if the
    network's input became larger than `LARGEST`. Of a closer look, faces count up to twice the smallest that the first
    look finds: parts of larger ones are taken for faces there. Tiles overlap so far that each face lies whole in one.

    Args:
        width, height: the photo's, in pixels.
        size: the network's own, of the long side of its input.
        smallest: side in pixels of the smallest face to be found.
    """
    long_side, scale = max(width, height), SEEN / smallest
    looks = [View(0, 0, width, height, size), View(0, 0, width, height, round(FRAMED * size), FRAME)]
    if scale * long_side >= size + 16:  # sizes are rounded to multiples of 32
        overlap = 2 * SEEN * long_side / size
        side = LARGEST / scale
        for top, bottom in _spans(height, side, overlap):
            for left, right in _spans(width, side, overlap):
                closer = math.ceil(scale * max(right - left, bottom - top))
                looks.append(View(left, top, right, bottom, closer, largest=overlap))
    return looks


def _spans(length: int, most: float, overlap: float) -> list[tuple[int, int]]:
    """Overlapping parts of a length, all equally long: as few as cover it and are no longer than `most`."""
    count = max(1, math.ceil((length - overlap) / max(most - overlap, 1)))
    part = (length + (count - 1) * overlap) / count
    starts = [i * (part - overlap) for i in range(count)]
    return [(math.floor(start), min(length, math.ceil(start + part))) for start in starts]
