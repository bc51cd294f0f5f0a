"""The order of an epoch, cut into batches and divided among processes."""

from vision_app.core.errors import DataError
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig


def batches_per_epoch(images: int, config: TrainConfig) -> int:
    """Return how many whole batches the images give; at least one, which may be smaller."""
    return max(1, images // config.batch_size)


def batch_indices(
    images: int, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
) -> list[list[int]]:
    """Return one process's part of each batch of an epoch, as indices of images; see `TrainingTask.batches`.

    Raises:
        DataError: There are fewer images than processes.
    """
    if images < world:
        raise DataError(f"{world} processes cannot share {images} photos; use fewer --devices")
    order, size = random_numbers("order", config.seed, epoch).permutation(images), config.batch_size
    batches = [order[i * size : (i + 1) * size].tolist() for i in range(start, batches_per_epoch(images, config))]
    return [batch[rank * len(batch) // world : (rank + 1) * len(batch) // world] for batch in batches]
