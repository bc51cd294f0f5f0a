"""What is told while a picture is being optimized. NumPy alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


class Stop(Exception):  # noqa: N818, it is a wish and no error
    """Raised in a report to end with the picture that there is."""


@dataclass(frozen=True)
class Progress:
    """How far it has come.

    Attributes:
        iteration: the one that was just taken, from 1 on.
        total: iterations altogether.
        size: width and height, in pixels, of the picture that is being worked on; coarse ones come first.
        cost: J, what is minimized, before this iteration.
        content_cost, style_cost: its parts without their weights, each relative to its target: 0 is equal.
        preview: gives the picture so far, (height, width, 3) uint8; to be called during the report.
    """

    iteration: int
    total: int
    size: tuple[int, int]
    cost: float
    content_cost: float
    style_cost: float
    preview: Callable[[], np.ndarray]


Report = Callable[[Progress], bool | None]
"""Called after every iteration; True, or raising `Stop`, ends with the picture that there is."""
