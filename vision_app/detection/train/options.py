"""The options of training a detector. Imports nothing heavy."""

from dataclasses import dataclass

from vision_app.core.errors import UsageError, unknown
from vision_app.core.flags import check_ranges

INPUT_SIZE = 416
RANGES = {
    "stretch": (1.0, 4.0), "mosaic": (0.0, 1.0), "close_epochs": (0, 10_000), "label_smoothing": (0.0, 0.5),
    "dropout": (0.0, 0.9),
}  # fmt: skip


@dataclass(frozen=True)
class DetectionOptions:
    """What is particular to training a detector; see `training.config.TrainConfig` for the rest.

    Attributes:
        size: Side of the network's input in pixels, a multiple of 32.
        stretch: How far the short side of an image may be stretched beyond the long one's scale, 1 to 4; see
            `letterbox.letterbox_shape`.
        backbone: A name in `yolo.LAYOUTS`; by default that of what training starts from, or "csp".
        initialize: How fresh weights are drawn, "he" or "xavier".
        transfer: Which part of a pretrained network is trained; see `training.initialize.set_trainable`.
        mosaic: Probability that a scene is made of four images.
        close_epochs: The last ones, without mosaic.
        multi_scale: Whether each batch is resized to a random size from 0.7 `size` on.
        label_smoothing: Part of each class target that is spread over all classes.
        dropout: Probability that a channel in front of the class layer is dropped.

    Raises:
        UsageError: A value is unknown or out of its range; names the option and the nearest valid value.
    """

    size: int = INPUT_SIZE
    stretch: float = 1.5
    backbone: str | None = None
    initialize: str = "he"
    transfer: str = "all"
    mosaic: float = 0.7
    close_epochs: int = 3
    multi_scale: bool = True
    label_smoothing: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        from vision_app.detection.model.yolo import LAYOUTS
        from vision_app.training.initialize import INITIALIZATIONS, TRANSFER

        if self.size % 32 or not 32 <= self.size <= 2048:
            nearest = min(max(round(self.size / 32), 1), 64) * 32
            wanted = "must be a multiple of 32 between 32 and 2048"
            raise UsageError(f"--size {self.size}: {wanted}; the nearest valid value is {nearest}")
        check_ranges(self, RANGES)
        for name, choices in (("initialize", INITIALIZATIONS), ("transfer", TRANSFER), ("backbone", tuple(LAYOUTS))):
            if (value := getattr(self, name)) is not None and value not in choices:
                raise UsageError(f"--{name}: " + unknown("choice", str(value), choices))
