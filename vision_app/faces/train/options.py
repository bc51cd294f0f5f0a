"""The options of training a face embedder. Imports nothing heavy."""

from dataclasses import dataclass

from vision_app.core.errors import UsageError, unknown
from vision_app.core.flags import check_ranges

LOSSES = {"triplet": ("triplet",), "teacher": ("teacher",), "both": ("triplet", "teacher")}
RANGES = {
    "margin": (0.0, 2.0), "triplet_weight": (0.0, 1000.0), "relations": (0.0, 1000.0), "people": (1, 2048),
    "photos": (2, 2048), "freeze_blocks": (0, 1000),
}  # fmt: skip


@dataclass(frozen=True)
class FaceOptions:
    """Options of training a face embedder; see `training.config.TrainConfig` for the rest.

    Attributes:
        loss: "triplet", "teacher" or "both"; by default both, or triplet without a teacher.
        miner: A name in `triplets.MINERS`.
        distance: A name in `triplets.DISTANCES`.
        margin: By which a negative must be further away, in units of the distance.
        triplet_weight: Of the triplet loss.
        relations: Weight of the similarities between faces, see `teacher.teacher_loss`.
        people, photos: See `samplers.PeopleBatches`.
        freeze_blocks: Blocks of the network to freeze, from the input on; with one or more, the stem is frozen too.

    Raises:
        UsageError: A value is unknown or out of its range; the error names the option and the nearest valid value.
    """

    loss: str | None = None
    miner: str = "semi-hard"
    distance: str = "squared"
    margin: float = 0.2
    triplet_weight: float = 1.0
    relations: float = 10.0
    people: int = 12
    photos: int = 4
    freeze_blocks: int = 0

    def __post_init__(self) -> None:
        from vision_app.faces.train.triplets import DISTANCES, MINERS

        check_ranges(self, RANGES)
        for name, choices in (("loss", LOSSES), ("miner", MINERS), ("distance", DISTANCES)):
            if (value := getattr(self, name)) is not None and value not in choices:
                raise UsageError(f"--{name}: " + unknown("choice", value, choices))
