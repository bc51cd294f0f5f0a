"""Which parts of a photo a face detector searches, and at what scale: faces from 20 pixels to those that fill it."""

import math
from dataclasses import dataclass

MIN_INPUT_SIZE = 16  # pixels that a face must have in the network's input to be found
FRAMED_SCALE = 0.46  # size of the small copy of a photo inside a frame, as a share of the network's own size
FRAME = 32  # pixels of gray around it, on each side
MAX_INPUT = 1280  # longest side of the network's input at a larger scale; what needs more is split into tiles
MAX_OVERLAP = 0.25  # of two tiles, as a share of the longest side of a tile
MAX_TILES = 300  # of a photo


@dataclass(frozen=True)
class Tile:
    """A part of a photo.

    Attributes:
        left, top, right, bottom: The part, in whole pixels of the photo.
        size: Length of the part's long side in the network's input.
        frame: Pixels of gray around the part in the input, on each side.
        largest: Side in pixels of the photo of the largest face that counts in this tile.
    """

    left: int
    top: int
    right: int
    bottom: int
    size: int
    frame: int = 0
    largest: float = math.inf


def make_tiles(width: int, height: int, size: int, smallest: float) -> list[Tile]:
    """Return the tiles of one photo.

    The whole photo; a small copy in a gray frame, where a face that fills the photo, or is cut off by its edges, is
    like any other; and where the smallest faces are too small for the first, the photo at a larger scale, in several
    tiles if the network's input became larger than `MAX_INPUT`. There, faces count up to twice the smallest that the
    first tile finds: parts of larger ones are mistaken for faces. Tiles overlap so far that each face lies whole in
    one. In a photo so large that they would overlap by more than `MAX_OVERLAP`, faces count up to the size of that
    overlap, and larger ones at scales in between; of one that would need more than `MAX_TILES`, the smallest faces are
    left out.

    Args:
        width: Of the photo in pixels.
        height: Of the photo in pixels.
        size: The network's own, of the long side of its input.
        smallest: Side in pixels of the smallest face to be found.
    """
    long_side, scale = max(width, height), MIN_INPUT_SIZE / smallest
    tiles = [Tile(0, 0, width, height, size), Tile(0, 0, width, height, round(FRAMED_SCALE * size), FRAME)]
    if scale * long_side < size + 16:  # sizes are rounded to multiples of 32
        return tiles
    least = MIN_INPUT_SIZE * long_side / size
    while (count := len(larger := _larger_tiles(width, height, least, scale))) > MAX_TILES - len(tiles):
        scale *= min(0.95, math.sqrt(MAX_TILES / count))
    return tiles + larger


def _larger_tiles(width: int, height: int, least: float, scale: float) -> list[Tile]:
    """Return the tiles at a scale, and before them those at the scales between it and that of the whole photo.

    Args:
        width: Of the photo in pixels.
        height: Of the photo in pixels.
        least: Side in pixels of the smallest face that is found in the whole photo.
        scale: Pixels of the network's input per pixel of the photo.
    """
    ratio = least * scale / MIN_INPUT_SIZE
    steps = math.ceil(math.log(ratio) / math.log(MAX_OVERLAP * MAX_INPUT / (2 * MIN_INPUT_SIZE)))
    tiles = []
    for left_out in range(steps - 1, -1, -1):
        now = scale / ratio ** (left_out / steps)
        side = MAX_INPUT / now
        overlap = 2 * least if steps == 1 else MAX_OVERLAP * side
        for top, bottom in _spans(height, side, overlap):
            for left, right in _spans(width, side, overlap):
                size = math.ceil(now * max(right - left, bottom - top))
                tiles.append(Tile(left, top, right, bottom, size, largest=overlap))
    return tiles


def _spans(length: int, most: float, overlap: float) -> list[tuple[int, int]]:
    """Split a length into overlapping parts of equal length: as few as cover it and are no longer than `most`."""
    count = max(1, math.ceil((length - overlap) / (most - overlap)))
    part = (length + (count - 1) * overlap) / count
    starts = [i * (part - overlap) for i in range(count)]
    return [(math.floor(start), min(length, math.ceil(start + part))) for start in starts]
