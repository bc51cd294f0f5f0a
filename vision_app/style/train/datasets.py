"""What style networks are trained on: crops of photos, and styles synthesized from them."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vision_app.batch.sources import list_inputs
from vision_app.core.child_process import end_with_parent
from vision_app.core.errors import DataError, ImageError
from vision_app.core.images import SUFFIXES, read_image, read_size
from vision_app.core.several import several_paths
from vision_app.style.train.synthetic_styles import synthesize
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig
from vision_app.training.sampling import batch_indices, batches_per_epoch

HELD_OUT = "photos held out"  # the key in model.json
VALIDATION_PHOTOS = 48  # at most
MIN_CROP = 0.6  # of a photo's short side


class PhotoSet:
    """Photos to cut crops from.

    Attributes:
        paths: In a fixed order.
        name: Of the folders that they come from.
    """

    def __init__(self, paths: Sequence[Path], name: str):
        self.paths, self.name = list(paths), name

    def __len__(self) -> int:
        return len(self.paths)

    def digest(self) -> str:
        """Return 12 hexadecimal digits that change with the photos' names and sizes in bytes."""
        lines = "\n".join(f"{path.name} {path.stat().st_size}" for path in self.paths)
        return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()[:12]

    def crop(self, index: int, size: int, random: np.random.Generator) -> np.ndarray:
        """Return a random square of a photo, maybe mirrored, (size, size, 3) uint8.

        Raises:
            DataError: The photo cannot be read.
        """
        pixels = self._pixels(index)
        side = round(min(pixels.shape[:2]) * random.uniform(MIN_CROP, 1))
        top, left = (int(random.integers(0, length - side + 1)) for length in pixels.shape[:2])
        return _square(pixels, top, left, side, size)[:, :: random.choice([-1, 1])]

    def center(self, index: int, size: int) -> np.ndarray:
        """Return the largest square in the middle of a photo, (size, size, 3) uint8; errors are those of `crop`."""
        pixels = self._pixels(index)
        side = min(pixels.shape[:2])
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        return _square(pixels, top, left, side, size)

    def style(self, size: int, random: np.random.Generator) -> np.ndarray:
        """Return a style made of two random photos, (size, size, 3) uint8; see `synthetic_styles.synthesize`."""
        first, second = (self.crop(int(index), size, random) for index in random.integers(0, len(self), 2))
        return synthesize(np.ascontiguousarray(first), np.ascontiguousarray(second), random)

    def _pixels(self, index: int) -> np.ndarray:
        try:
            return read_image(self.paths[index]).pixels
        except ImageError as error:
            raise DataError(str(error)) from error


def list_photos(folders: Path | Sequence[Path]) -> PhotoSet:
    """Return the images in folders and the folders below, in the order of their paths.

    Raises:
        DataError: There is none.
        ImageError: One of them is a HEIC file, for which the decoder is not installed, or which is damaged.
    """
    folders = several_paths(folders)
    inputs, *_ = list_inputs(folders, suffixes=SUFFIXES, output=os.devnull, named=False)  # no output is left out
    if not inputs:
        raise DataError(f"{', '.join(map(str, folders))}: no images of a known format")
    for item in inputs:
        if item.file.lower().endswith((".heic", ".heif")):
            read_size(item.file)
    return PhotoSet([Path(item.file) for item in inputs], ", ".join(folder.name for folder in folders))


def hold_out(photos: PhotoSet, seed: int) -> tuple[PhotoSet, PhotoSet]:
    """Split photos into those to train on and up to `VALIDATION_PHOTOS`, a fifth of them at most, to measure on.

    Raises:
        DataError: There are fewer than five.
    """
    if len(photos) < 5:
        raise DataError(f"{photos.name}: {len(photos)} images, too few to hold any out; give at least 5")
    order = random_numbers("held out", seed).permutation(len(photos))
    held = set(order[: min(VALIDATION_PHOTOS, len(photos) // 5)].tolist())
    train, validation = ([path for i, path in enumerate(photos.paths) if (i in held) == out] for out in (False, True))
    return PhotoSet(train, photos.name), PhotoSet(validation, photos.name)


class PhotoSamples(Dataset[Tensor]):
    """The samples of an epoch, made of photos; see `PhotoTask`."""

    def __init__(self, photos: PhotoSet, size: int, seed: int, epoch: int):
        self.photos, self.size, self.seed, self.epoch = photos, size, seed, epoch

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        raise NotImplementedError  # a tensor of uint8 by (position in the epoch, index of photo)


@dataclass(eq=False)
class PhotoTask:
    """The part of a `training.task.TrainingTask` that makes samples of photos.

    Attributes:
        network: What is trained.
        photos: To train on.
        validation: To measure on.
        size: Side of the square images, in pixels.
        workers: Worker processes that make samples.
        about: More for model.json.
    """

    network: Any
    photos: PhotoSet
    validation: PhotoSet
    size: int = field(kw_only=True)
    workers: int = field(default=1, kw_only=True)
    about: dict[str, Any] = field(default_factory=dict, init=False)
    samples: ClassVar[type[PhotoSamples]]

    def batches_per_epoch(self, config: TrainConfig) -> int:
        """See `TrainingTask.batches_per_epoch`."""
        return batches_per_epoch(len(self.photos), config)

    def images(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[Tensor]:
        """Yield what `samples` gives for each batch of an epoch, in 0..1; see `TrainingTask.batches`.

        Random numbers are drawn by a sample's position in the epoch, so that it does not depend on processes or
        interruptions.
        """
        parts = batch_indices(len(self.photos), config, epoch, rank=rank, world=world, start=start)
        begin = rank * min(config.batch_size, len(self.photos)) // world
        keys = [
            [(step * config.batch_size + begin + i, photo) for i, photo in enumerate(part)]
            for step, part in enumerate(parts, start)
        ]
        samples = self.samples(self.photos, self.size, config.seed, epoch)
        for batch in DataLoader(samples, batch_sampler=keys, num_workers=self.workers, worker_init_fn=end_with_parent):
            yield batch.float() / 255

    def describe(self, config: TrainConfig, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Note for model.json what the network is trained from; return what a resumed run must share, by option."""
        self.about = {"trained": {"photos": len(self.photos), **inputs, **asdict(config)}}
        return {**inputs, "data": f"{self.photos.name} {self.photos.digest()}"}


def split_photos(folders: Path | Sequence[Path], seed: int, log: Callable[[str], None]) -> tuple[PhotoSet, PhotoSet]:
    """List photos, hold some out and log their numbers; see `list_photos` and `hold_out`."""
    photos, validation = hold_out(list_photos(folders), seed)
    log(f"{len(photos):,} photos to train on, {len(validation)} to measure on")
    return photos, validation


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Convert (H, W, 3) uint8 to (3, H, W) uint8."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _square(pixels: np.ndarray, top: int, left: int, side: int, size: int) -> np.ndarray:
    """Cut out a square and resize it, (size, size, 3)."""
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(pixels[top : top + side, left : left + side], (size, size), interpolation=method)
