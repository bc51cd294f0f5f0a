"""The options of training a fast style network. Imports nothing heavy."""

from dataclasses import dataclass

from vision_app.core.flags import check_ranges

RANGES = {
    "content": (0.0, 1e4), "style": (0.0, 1e4), "identity": (0.0, 1e4), "lattice": (0.0, 1e6), "size": (64, 1024),
}  # fmt: skip


@dataclass(frozen=True)
class FastOptions:
    """Settings of training a fast network besides those of `training.config.TrainConfig`.

    Attributes:
        content: Weight of the content's features.
        style: Weight of the style's Gram matrices.
        identity: Weight of changes where an image is its own style.
        lattice: Weight of patterns with a period of four pixels, see `fast.lattice`.
        size: Side of the square images, in pixels.

    Raises:
        UsageError: A value is out of its range; names the option and the nearest valid value.
    """

    content: float = 1.0
    style: float = 0.5
    identity: float = 2.0
    lattice: float = 200.0
    size: int = 256

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
