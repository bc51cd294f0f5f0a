"""Which faces form a batch: P people with K photos each, filled up with others."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, zip_longest

import numpy as np

from vision_app.core.errors import DataError, UsageError
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig


@dataclass(frozen=True, eq=False)
class PeopleBatches:
    """Makes the batches of an epoch.

    Args:
        labels: (N,) people, -1 where they are unknown.
        people: P, at most, in a batch, of those with two photos or more; 0 without triplets.
        photos: K, at most, of each of them.

    Raises:
        DataError: Triplets are wanted and there are fewer than two people, or nobody with two photos.
    """

    labels: np.ndarray
    people: int
    photos: int

    def __post_init__(self) -> None:
        known = np.unique(self.labels[self.labels >= 0])
        if self.people and len(known) < 2:
            raise DataError(f"{len(known)} people with a name: learning to tell them apart takes two")
        if self.people and not len(self.groups):
            raise DataError("nobody has two photos: learning what stays the same takes two of a person")

    @cached_property
    def groups(self) -> list[np.ndarray]:
        """Indices of the photos of each person with two or more."""
        order = np.argsort(self.labels, kind="stable")
        order = order[self.labels[order] >= 0]
        groups = np.split(order, np.flatnonzero(np.diff(self.labels[order])) + 1)
        return [group for group in groups if len(group) > 1]

    @cached_property
    def others(self) -> np.ndarray:
        """Indices of all other faces."""
        return np.setdiff1d(np.arange(len(self.labels)), np.concatenate([np.zeros(0, int), *self.groups]))

    def check(self, config: TrainConfig) -> None:
        """Raise UsageError if P people with K photos are more than a batch."""
        if self.people * self.photos > config.batch_size:
            raise UsageError(
                f"--people {self.people}: with --photos {self.photos} each they are more than --batch-size "
                f"{config.batch_size}; the nearest valid value is {config.batch_size // self.photos}"
            )

    def batches_per_epoch(self, config: TrainConfig) -> int:
        """Return how many batches hold as many faces as there are; at least one."""
        return max(1, len(self.labels) // config.batch_size)

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> list[list[tuple[int, int]]]:
        """Return one process's part of each batch of an epoch, a pure function of (seed, epoch).

        In a batch of B, P people, drawn in turn, have K photos each, and the rest is filled up with other faces, each
        of them at most once an epoch, then with more photos of people with several. All parts of a batch hold about
        as many people, so that processes can share it. Arguments are those of `training.task.TrainingTask.batches`.

        Returns:
            For each batch (place in the epoch, index of the face) pairs. The place seeds the face's augmentation, as
            one face may come twice.

        Raises:
            DataError: There are fewer faces than processes.
            UsageError: See `check`.
        """
        self.check(config)
        size, count = min(config.batch_size, len(self.labels)), self.batches_per_epoch(config)
        if size < world:
            raise DataError(f"{world} processes cannot share {size} faces; use fewer --devices")
        generator = random_numbers("people", config.seed, epoch)
        batches = [
            [generator.permutation(self.groups[person])[: self.photos] for person in people]
            for people in self._in_turn(count, generator)
        ]
        missing = [size - sum(map(len, batch)) for batch in batches]
        filling = np.split(self._filling(sum(missing), generator), np.cumsum(missing)[:-1])
        shares = []
        for i in range(start, count):
            between = np.array_split(filling[i], max(1, len(batches[i])))  # the filling is spread between the people
            mixed = chain(*zip_longest(batches[i], between, fillvalue=np.zeros(0, int)))
            batch = np.concatenate(list(mixed)).astype(int).tolist()
            first, end = rank * len(batch) // world, (rank + 1) * len(batch) // world
            shares.append([(i * size + place, batch[place]) for place in range(first, end)])
        return shares

    def _in_turn(self, count: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield batches of different people, each of whom has a turn before anyone has another."""
        people, waiting = min(self.people, len(self.groups)), np.zeros(0, int)
        for _ in range(count):
            if len(waiting) < people:
                again = generator.permutation(len(self.groups))
                here = np.isin(again, waiting)
                waiting = np.concatenate([waiting, again[~here], again[here]])
            yield waiting[:people]
            waiting = waiting[people:]

    def _filling(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Return so many faces in random order: the others, then those of the people, as evenly as possible."""
        chosen = generator.permutation(self.others)[:count]
        while len(chosen) < count:
            more = generator.permutation(np.concatenate(self.groups))
            chosen = np.append(chosen, more[: count - len(chosen)])
        return generator.permutation(chosen)
