"""Tiling of large images, so that memory does not grow with them. NumPy only."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np


@dataclass(frozen=True)
class Span:
    """A range of an image's rows or columns, in pixels.

    Attributes:
        start: First pixel of the tile.
        stop: Pixel after the last of the tile.
        first: First pixel that is kept of the result, at least `start`.
        last: Pixel after the last that is kept, at most `stop`.
    """

    start: int
    stop: int
    first: int
    last: int


def spans(length: int, tile: int, overlap: int, multiple: int) -> list[Span]:
    """Return spans that cover a length, their kept parts side by side.

    Args:
        length: Pixels, 1 or more.
        tile: Maximum length of a span, at least 2 `overlap` + `multiple`.
        overlap: Pixels of context around the kept part, as far as the image has them.
        multiple: Spans start at multiples of this.

    Returns:
        As few as possible, of equal lengths but for the last one, which may be up to `multiple` - 1 shorter.
    """
    if length <= tile:
        return [Span(0, length, 0, length)]
    inner, most = length - 2 * overlap, (tile - 2 * overlap) // multiple
    count = -(-inner // (most * multiple))
    tile = 2 * overlap + multiple * -(-inner // (count * multiple))  # no longer than so many need to be
    last = -(-(length - tile) // multiple)  # where the last one starts, in multiples
    starts = [multiple * (last * k // (count - 1)) for k in range(count)]
    stops = [min(start + tile, length) for start in starts]
    # Two neighbors share at least 2 overlaps and part in the middle of what they share.
    cuts = [0, *((start + stop) // 2 for start, stop in zip(starts[1:], stops, strict=False)), length]
    return [Span(*ends) for ends in zip(starts, stops, cuts, cuts[1:], strict=False)]


def in_tiles(
    pixels: np.ndarray, function: Callable[[np.ndarray], np.ndarray], *, tile: int, overlap: int, multiple: int
) -> np.ndarray:
    """Apply a function to an image tile by tile.

    Args:
        pixels: (H, W, 3) uint8.
        function: (h, w, 3) uint8 to (h, w, 3) uint8.
        tile: See `spans`.
        overlap: See `spans`.
        multiple: See `spans`.

    Returns:
        (H, W, 3) uint8, the same as in one piece where a pixel depends on none further than `overlap` away.
    """
    result = np.empty_like(pixels)
    rows, columns = (spans(length, tile, overlap, multiple) for length in pixels.shape[:2])
    for row, column in product(rows, columns):
        part = function(np.ascontiguousarray(pixels[row.start : row.stop, column.start : column.stop]))
        kept = (slice(span.first - span.start, span.last - span.start) for span in (row, column))
        result[row.first : row.last, column.first : column.last] = part[tuple(kept)]
    return result
