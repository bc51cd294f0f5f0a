"""How a large picture is worked on in parts, so that memory does not grow with it. NumPy only."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np


@dataclass(frozen=True)
class Span:
    """A stretch of a picture's rows or columns, in pixels.

    Attributes:
        start, stop: what is worked on.
        first, last: what is kept of it, `start` <= `first` and `last` <= `stop`.
    """

    start: int
    stop: int
    first: int
    last: int


def spans(length: int, tile: int, overlap: int, multiple: int) -> list[Span]:
    """Stretches that cover a length, what is kept of them side by side.

    Args:
        length: pixels, from 1 on.
        tile: longest stretch, at least 2 `overlap` + `multiple`.
        overlap: pixels beside what is kept that it depends on, as far as the picture has them.
        multiple: stretches start at multiples of this.

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
    pixels: np.ndarray, paint: Callable[[np.ndarray], np.ndarray], *, tile: int, overlap: int, multiple: int
) -> np.ndarray:
    """Paints a picture tile by tile.

    Args:
        pixels: (H, W, 3) uint8.
        paint: (h, w, 3) uint8 to (h, w, 3) uint8.
        tile, overlap, multiple: see `spans`.

    Returns:
        (H, W, 3) uint8, what `paint` would make of the whole where a pixel depends on none further than `overlap` away.
    """
    result = np.empty_like(pixels)
    rows, columns = (spans(length, tile, overlap, multiple) for length in pixels.shape[:2])
    for down, across in product(rows, columns):
        part = paint(np.ascontiguousarray(pixels[down.start : down.stop, across.start : across.stop]))
        result[down.first : down.last, across.first : across.last] = part[_kept(down), _kept(across)]
    return result


def _kept(span: Span) -> slice:
    """Where in a stretch lies what is kept of it."""
    return slice(span.first - span.start, span.last - span.start)
