"""From coarse to fine: large shapes are found in a small picture, where an iteration is cheap, and refined."""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import floor, log2, sqrt

import numpy as np

from vision_app.style.checks import SMALLEST_SIDE, scaled

COARSEST = 256  # pixels that the long side of the smallest picture has, about
COARSEST_SHORT = 64  # pixels that the short side of a smaller picture keeps


@dataclass(frozen=True)
class Level:
    """A size of the picture and which iterations are taken there.

    Attributes:
        height, width: pixels.
        begin, end: the first iteration and the one after the last.
    """

    height: int
    width: int
    begin: int
    end: int


def levels(height: int, width: int, iterations: int) -> tuple[Level, ...]:
    """Sizes from about 256 pixels on the long side to the full one, each twice as large as the one before.

    Each level takes half the iterations of the one before, for details need fewer and cost more. Where there are too
    few to give each level one, the coarsest are left out.

    Args:
        height, width: of the picture, in pixels.
        iterations: altogether, 1 or more.
    """
    long, short = max(height, width), min(height, width)
    enough = floor(log2(iterations + 1)) - 1
    halvings = max(0, min(round(log2(long / COARSEST)), floor(log2(short / COARSEST_SHORT)), enough))
    divisors = [2**i for i in range(halvings, -1, -1)]
    ends = [iterations * total // sum(divisors) for total in accumulate(divisors, initial=0)]
    return tuple(
        Level(round(height / divisor), round(width / divisor), begin, end)
        for divisor, (begin, end) in zip(divisors, pairwise(ends), strict=True)
    )


def fit_style(pixels: np.ndarray, level: Level) -> np.ndarray:
    """A style as large as the picture that is to have it, so that strokes have the same size in both.

    A smaller one stays as it is: enlarged, it would teach blur.

    Args:
        pixels: (H, W, 3) uint8.

    Returns:
        (h, w, 3) uint8 of about as many pixels as the level has, no side under 32.
    """
    height, width = pixels.shape[:2]
    factor = max(sqrt(level.height * level.width / (height * width)), SMALLEST_SIDE / min(height, width))
    return scaled(pixels, (round(height * factor), round(width * factor))) if factor < 1 else pixels
