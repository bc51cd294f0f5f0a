"""Which photos are looked at when: the order of an epoch, cut into batches and shared among processes."""

from vision_app.core.errors import DataError
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig


def batches_per_epoch(photos: int, config: TrainConfig) -> int:
    """How many whole batches the photos give; at least one, which may be smaller."""
    return max(1, photos // config.batch_size)


def shares(
    photos: int, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
) -> list[list[int]]:
    """One process's part of each batch of an epoch, as indices of photos; options as for `training.loop.Task.batches`.

    Raises:
        DataError: there are fewer photos than processes.
    """
    if photos < world:
        raise DataError(f"{world} processes cannot share {photos} photos; take fewer --devices")
    order, size = random_numbers("order", config.seed, epoch).permutation(photos), config.batch_size
    batches = [order[i * size : (i + 1) * size].tolist() for i in range(start, batches_per_epoch(photos, config))]
    return [batch[rank * len(batch) // world : (rank + 1) * len(batch) // world] for batch in batches]
