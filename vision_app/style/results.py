"""What repainting a picture gives: a frozen value that knows nothing of files or networks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vision_app.core.results import rounded


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


@dataclass(frozen=True, eq=False)
class Stylized:
    """A repainted picture.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, read-only.
        content: what the picture was called that was repainted.
        styles: names of the styles, in the order given.
        method: "optimize", "fast" or "color".
        model: name of the network, or None where there is none.
        notes: what is odd about the pictures or was done unasked, in words; see `checks`.
        iterations: of the method "optimize" the steps that were taken, otherwise None.
        cost: of the method "optimize" what was left of the cost J, otherwise None.
        stopped: whether "optimize" was told to end early.
    """

    pixels: np.ndarray
    content: str
    styles: tuple[str, ...]
    method: str
    model: str | None
    notes: tuple[str, ...] = ()
    iterations: int | None = None
    cost: float | None = None
    stopped: bool = False

    def __post_init__(self):
        pixels = np.asarray(self.pixels).view()
        pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)  # the dataclass is frozen

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    def to_dict(self) -> dict:
        """Plain JSON values without the pixels, rounded so that two runs print the same text."""
        return {
            "width": self.width,
            "height": self.height,
            "styles": list(self.styles),
            "method": self.method,
            "model": self.model,
            "iterations": self.iterations,
            "cost": None if self.cost is None else rounded(self.cost, 4),
            "stopped": self.stopped,
            "notes": list(self.notes),
        }
