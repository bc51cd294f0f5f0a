"""What repainting a picture gives: a frozen value that knows nothing of files or networks."""

from dataclasses import dataclass

import numpy as np

from vision_app.results import rounded


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
