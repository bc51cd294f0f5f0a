"""What the networks of styles learn from: crops of photos, and styles invented from them."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vision_app.batch.sources import list_inputs
from vision_app.core.errors import DataError, ImageError
from vision_app.core.images import SUFFIXES, read_image
from vision_app.style.train.synthetic_styles import invent
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig
from vision_app.training.sampling import batch_indices, batches_per_epoch

HELD_OUT = "photos held out"  # what model.json calls them
MEASURED = 48  # photos that are set apart to measure on when none are named
SMALLEST_PART = 0.6  # of a photo's short side that a crop shows


class Photos:
    """Photos to cut crops from.

    Attributes:
        paths: in a fixed order.
        name: of the folders that they come from.
    """

    def __init__(self, paths: Sequence[Path], name: str):
        self.paths, self.name = list(paths), name

    def __len__(self) -> int:
        return len(self.paths)

    def digest(self) -> str:
        """12 hexadecimal digits that change with the photos' names and sizes in bytes."""
        lines = "\n".join(f"{path.name} {path.stat().st_size}" for path in self.paths)
        return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()[:12]

    def crop(self, index: int, size: int, random: np.random.Generator) -> np.ndarray:
        """A random square of a photo, maybe mirrored, (size, size, 3) uint8.

        Raises:
            DataError: the photo cannot be read.
        """
        pixels = self._pixels(index)
        side = round(min(pixels.shape[:2]) * random.uniform(SMALLEST_PART, 1))
        top, left = (int(random.integers(0, length - side + 1)) for length in pixels.shape[:2])
        return _square(pixels[top : top + side, left : left + side], size)[:, :: random.choice([-1, 1])]

    def center(self, index: int, size: int) -> np.ndarray:
        """The largest square in the middle of a photo, (size, size, 3) uint8; errors are those of `crop`."""
        pixels = self._pixels(index)
        side = min(pixels.shape[:2])
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        return _square(pixels[top : top + side, left : left + side], size)

    def _pixels(self, index: int) -> np.ndarray:
        try:
            return read_image(self.paths[index]).pixels
        except ImageError as error:
            raise DataError(str(error)) from error

    def invented(self, size: int, random: np.random.Generator) -> np.ndarray:
        """A style made of two random photos, (size, size, 3) uint8; see `invent.invent`."""
        first, second = (self.crop(int(index), size, random) for index in random.integers(0, len(self), 2))
        return invent(np.ascontiguousarray(first), np.ascontiguousarray(second), random)


def list_photos(folders: Sequence[Path]) -> Photos:
    """The pictures in folders and the folders below, in the order of their paths.

    Raises:
        DataError: there is none.
    """
    inputs, _, _ = list_inputs(folders, suffixes=SUFFIXES, output=os.devnull, named=False)  # nothing is left out
    if not inputs:
        raise DataError(f"{', '.join(map(str, folders))}: no pictures of a known kind")
    return Photos([Path(item.file) for item in inputs], ", ".join(folder.name for folder in folders))


def hold_out(photos: Photos, seed: int) -> tuple[Photos, Photos]:
    """Sets up to `MEASURED` photos, a fifth of them at most, apart to measure on.

    Raises:
        DataError: there are fewer than five.
    """
    if len(photos) < 5:
        raise DataError(f"{photos.name}: {len(photos)} pictures, of which none can be set apart; give at least 5")
    order = random_numbers("held out", seed).permutation(len(photos))
    held = set(order[: min(MEASURED, len(photos) // 5)].tolist())
    parts = ([path for i, path in enumerate(photos.paths) if (i in held) == apart] for apart in (False, True))
    return tuple(Photos(paths, photos.name) for paths in parts)


class Views(Dataset):
    """What is made of photos for the samples of an epoch; see `PhotoTask`."""

    def __init__(self, photos: Photos, size: int, seed: int, epoch: int):
        self.photos, self.size, self.seed, self.epoch = photos, size, seed, epoch

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        """A tensor of uint8 by (place in the epoch, index of photo)."""
        raise NotImplementedError


class PhotoTask:
    """The part of a `training.loop.Task` that brings pictures made of photos.

    Args:
        photos, validation: to learn from and to measure on.
        size: of the square pictures, in pixels.
        about: more for model.json.
        workers: processes that cut and paint.
    """

    views: type[Views]

    def __init__(self, photos: Photos, validation: Photos, *, size: int, about: dict | None = None, workers: int = 1):
        self.photos, self.validation, self.size = photos, validation, size
        self.about, self.workers = about or {}, workers

    def batches_per_epoch(self, config: TrainConfig) -> int:
        return batches_per_epoch(len(self.photos), config)

    def pictures(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[Tensor]:
        """What `views` gives for each batch of an epoch, in 0..1; options as for `training.loop.Task.batches`.

        A place counts the samples of the epoch, so that what is drawn for a sample does not depend on processes or
        breaks.
        """
        parts = batch_indices(len(self.photos), config, epoch, rank=rank, world=world, start=start)
        begin = rank * min(config.batch_size, len(self.photos)) // world
        keys = [
            [(step * config.batch_size + begin + i, photo) for i, photo in enumerate(part)]
            for step, part in enumerate(parts, start)
        ]
        views = self.views(self.photos, self.size, config.seed, epoch)
        for batch in DataLoader(views, batch_sampler=keys, num_workers=self.workers):
            yield batch.float() / 255


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) uint8."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _square(pixels: np.ndarray, size: int) -> np.ndarray:
    shrinks = len(pixels) > size
    return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
