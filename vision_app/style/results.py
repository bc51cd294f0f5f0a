"""What stylizing an image gives: frozen values that know nothing of files or networks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vision_app.core.results import rounded

CostRow = tuple[float, float, float]
"""J, which "optimize" minimizes, before an iteration, and its unweighted content and style parts."""


@dataclass(frozen=True)
class Progress:
    """Progress of "optimize".

    Attributes:
        iteration: The one that was just taken, from 1.
        total: Number of iterations in all.
        size: Width and height of the current image in pixels; coarse sizes come first.
        cost: J, which is minimized, before this iteration.
        content_cost, style_cost: Unweighted parts of J, relative to their targets: 0 is equal.
        preview: Returns the current image, (height, width, 3) uint8; to be called during the report.
    """

    iteration: int
    total: int
    size: tuple[int, int]
    cost: float
    content_cost: float
    style_cost: float
    preview: Callable[[], np.ndarray]


Report = Callable[[Progress], bool | None]
"""Called after every iteration; True stops with the current image."""


@dataclass(frozen=True, eq=False)
class Stylized:
    """A stylized image.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, or (H, W, 4) RGBA with the opacity of a content that has transparency, read-only.
        content: Name of the content image.
        styles: Names of the styles, in the order given.
        method: "optimize", "fast" or "color".
        model: Name of the network, or None where there is none.
        notes: What is unusual about the images or was done without being asked, in words; see `checks`.
        iterations: Number of iterations that "optimize" took, otherwise None.
        cost: Last cost J of "optimize", otherwise None.
        stopped: Whether "optimize" was told to stop early.
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

    def __post_init__(self) -> None:
        pixels = np.asarray(self.pixels).view()
        pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)  # the dataclass is frozen

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values without the pixels, rounded so that two runs print the same text."""
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
