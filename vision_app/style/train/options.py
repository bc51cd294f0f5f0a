"""The options of training a fast style network. Imports nothing heavy."""

from dataclasses import dataclass

from vision_app.core.flags import check_ranges

RANGES = {
    "content": (0.0, 1e4), "style": (0.0, 1e4), "identity": (0.0, 1e4), "lattice": (0.0, 1e6), "size": (64, 1024),
}  # fmt: skip


@dataclass(frozen=True)
class FastOptions:
    """What is particular to training a fast network; see `training.config.TrainConfig` for the rest.

    Attributes:
        content: weight of the content's features.
        style: weight of the style's Gram matrices.
        identity: weight of what changes where a picture is its own style.
        lattice: weight of what repeats every four pixels, see `lattice`.
        size: of the square pictures, in pixels.

    Raises:
        UsageError: a value is out of its range; the error names the option and the nearest valid value.
    """

    content: float = 1.0
    style: float = 0.5
    identity: float = 2.0
    lattice: float = 200.0
    size: int = 256

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
