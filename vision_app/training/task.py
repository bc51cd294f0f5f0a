"""What the training loop asks of a task, and what it tells callbacks."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from vision_app.training.config import TrainConfig


class TrainingTask(Protocol):
    """What is learned.

    A task may also have `validation_loss() -> float`, the mean loss of `network` over the validation data. It is called
    on a copy of the task whose network is the EMA network, in evaluation mode and without gradients. With
    `with_targets = True`, `network` is called with the images and their targets in training.
    """

    network: Any  # an nn.Module, of a class that each task knows better

    def batches_per_epoch(self, config: TrainConfig) -> int:
        """Return the number of steps of an epoch."""

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterable[tuple[Tensor, Any]]:
        """Yield the (images, targets) of an epoch, a pure function of (seed, epoch).

        Args:
            config: Says the batch size and the seed.
            epoch: Counted from 0.
            rank: Of this process; it gets samples rank * B // world to (rank + 1) * B // world of each batch of B.
            world: Number of processes.
            start: First step to yield, without the work of those before it.

        Yields:
            Images (b, 3, H, W) in 0..1 and b targets, as a list or a tensor: anything that can be sliced.
        """

    def loss(self, images: Tensor, output: Any, targets: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the sum of losses over these samples, the number of positives to divide it by, and sums to log.

        The gradient is that of the whole batch's sum over the whole batch's number of positives.
        """

    def release(self, network: Any, folder: Path) -> dict[str, float]:
        """Write a model folder and return its metrics on the validation data.

        The first metric decides which network is best. Without any metric, the newest one is.
        """


class Callback(Protocol):
    """Is told how the run in a folder goes. All methods are optional; they are called in the first process only."""

    def on_start(self, folder: Path, task: TrainingTask, config: TrainConfig) -> None:
        """Act before the first step."""

    def on_batch(self, folder: Path, step: int, images: Tensor, targets: Any) -> None:
        """Take one of the first batches of a run."""

    def on_epoch(self, folder: Path, row: Mapping[str, float]) -> None:
        """Take a new row of metrics.csv."""

    def on_end(self, folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
        """Take all rows of metrics.csv, as text."""
