"""What training a style encoder means: its pictures, its teachers, its measure. The loop itself is `training.loop`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vision_app.core.errors import UsageError
from vision_app.released.write import describe
from vision_app.style.model.features import (
    CONTENT_LAYER,
    LAYERS,
    STYLE_LAYERS,
    VGG19,
    EncoderConfig,
    EncoderNetwork,
    load_encoder,
)
from vision_app.style.model.network import from_bytes
from vision_app.style.optimize.losses import gram_error
from vision_app.style.train.datasets import HELD_OUT, Photos, PhotoTask, Views, hold_out, list_photos, to_tensor
from vision_app.style.train.export import write_encoder
from vision_app.style.train.initial import distilled_encoder, identity, is_published
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import initialize
from vision_app.training.loop import fit
from vision_app.training.runs import check_run_folder


class Pictures(Views):
    """Crops of photos and, as every second one, styles made of them: (3, S, S) uint8 by (place, index of photo)."""

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        place, index = key
        random = random_numbers("encoder", self.seed, self.epoch, place)
        if place % 2:
            return to_tensor(self.photos.invented(self.size, random))
        return to_tensor(self.photos.crop(index, self.size, random))


class Teachers(nn.Module):
    """Says what features a picture should have: (B, 3, H, W) to those of every layer of `LAYERS`.

    Args:
        folder: of distilled encoders, see `start.distilled_encoder`: each layer's target comes from the encoder that
            was distilled for it; that of the content layer, for which none was, is the deepest encoder's own. A `.pth`
            file of torchvision's VGG-19 is its own teacher for all.
    """

    def __init__(self, path: Path):
        super().__init__()
        whole = path.is_file()
        encoders = [load_encoder(path)] if whole else [distilled_encoder(path, depth) for depth in range(1, 6)]
        self.encoders, self.whole = nn.ModuleList(encoders), whole

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the target of each layer."""
        if self.whole:
            return tuple(VGG19.widths[int(name[4]) - 1] for name in LAYERS)
        deepest = self.encoders[-1]
        heads = {name: head.out_channels for name, head in deepest.heads.items()}
        return tuple(heads.get(name) or deepest.convs[name].out_channels for name in LAYERS)

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if self.whole:
            return self.encoders[0](images)
        targets = {}
        for encoder, name in zip(self.encoders, STYLE_LAYERS, strict=True):
            targets |= encoder.teach(encoder(images, [name]))
        return targets | self.encoders[-1](images, [CONTENT_LAYER])


class EncoderTask(PhotoTask):
    """A `training.loop.Task`.

    Args:
        network: to train, with heads for the teachers.
        teachers: what it learns from.
        photos, validation: to learn from and to measure on.
        **more: see `PhotoTask`.
    """

    views = Pictures

    def __init__(self, network: EncoderNetwork, teachers: Teachers, photos: Photos, validation: Photos, **more):
        super().__init__(photos, validation, **more)
        self.network, self.teachers = network, teachers

    def batches(self, config: TrainConfig, epoch: int, **share) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of an epoch, (B, 3, S, S) in 0..1; the targets are the teachers' and nothing comes with them."""
        for pictures in self.pictures(config, epoch, **share):
            yield pictures, torch.zeros(len(pictures))

    def loss(
        self, images: Tensor, output: dict[str, Tensor], targets: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The mean over the layers of `relative_error`, times the pictures; their number; the same by layer."""
        wanted, count = self.teachers.to(images.device)(images), torch.tensor(float(len(images)))
        errors = {name: relative_error(x.float(), wanted[name]) for name, x in self.network.teach(output).items()}
        parts = {name: error.detach() * len(images) for name, error in errors.items()}
        return sum(errors.values()) / len(errors) * len(images), count, parts

    @torch.no_grad()
    def release(self, network: EncoderNetwork, folder: Path) -> dict[str, float]:
        """Writes a model folder and measures what was written: how much of the teachers' features it explains, the mean
        over the layers (1 is all, 0 no more than nothing), and the same of Gram matrices.
        """
        write_encoder(network, folder, name=folder.parent.name, **self.about)
        network, teachers, features, grams = load_encoder(folder.resolve()), self.teachers.cpu(), [], []
        for index in range(len(self.validation)):
            image = from_bytes(torch.from_numpy(self.validation.center(index, self.size))[None])
            wanted, found = teachers(image), network.teach(network(image))
            features.append([float(relative_error(found[name], wanted[name])) for name in LAYERS])
            grams.append([float(gram_error(found[name], wanted[name])) for name in STYLE_LAYERS])
        layers = {name: round(float(error), 4) for name, error in zip(LAYERS, np.mean(features, 0), strict=True)}
        measured = {"features": round(1 - float(np.mean(features)), 4), "gram": round(1 - float(np.mean(grams)), 4)}
        describe(folder, measured={HELD_OUT: measured | {f"error {name}": error for name, error in layers.items()}})
        return measured


def relative_error(found: Tensor, wanted: Tensor) -> Tensor:
    """|found - wanted|^2 / |wanted|^2, a scalar."""
    return (found - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)


def train(
    data: Sequence[Path],
    output: Path,
    config: TrainConfig,
    *,
    teacher: Path,
    initial: Path | None = None,
    size: int = 192,
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence = (),
) -> dict[str, float]:
    """Trains a style encoder to see what its teachers see; see `training.loop.fit`.

    Args:
        data: folders of photos; some are set apart to measure on.
        teacher: see `Teachers`.
        initial: an encoder of ours, or a folder of distilled encoders, of which the deepest is taken; by default the
            network starts afresh.
        size: of the square crops, in pixels.
        workers: processes that cut and paint.
        callbacks: see `training.task.Callback`.

    Raises:
        DataError, ModelError, UsageError: before training starts, with the file or option named.
    """
    if not 64 <= size <= 1024:
        raise UsageError(f"--size {size}: must lie between 64 and 1024; the nearest is {64 if size < 64 else 1024}")
    check_run_folder(output, resume)
    photos, validation = hold_out(list_photos(data), config.seed)
    log(f"{len(photos):,} photos to learn from, {len(validation)} to measure on")
    teachers = Teachers(teacher)
    torch.manual_seed(config.seed)
    network = starting_encoder(initial, teachers)
    inputs = {"initial": identity(initial), "teacher": identity(teacher), "size": size}
    trained = {"photos": len(photos), **inputs, **asdict(config)}
    task = EncoderTask(
        network, teachers, photos, validation, size=size, about={"trained": trained}, workers=workers
    )  # fmt: skip
    inputs["data"] = f"{photos.name} {photos.digest()}"
    return fit(task, config, output, inputs=inputs, resume=resume, log=log, callbacks=callbacks)


def starting_encoder(initial: Path | None, teachers: Teachers) -> EncoderNetwork:
    """The network that training starts from, with heads for its teachers.

    A head that is missing begins as the identity where that fits, since what starts from a teacher sees what it sees.

    Raises:
        DataError, ModelError: `initial` is neither an encoder of ours nor a folder of distilled ones.
    """
    config = EncoderConfig(heads=teachers.widths)
    if initial is None:
        network = EncoderNetwork(config)
        initialize(network, "he")
        return network
    start = distilled_encoder(initial) if is_published(initial) else load_encoder(initial)
    network = EncoderNetwork(replace(start.config, heads=teachers.widths))
    network.convs.load_state_dict(start.convs.state_dict())
    network.mean.copy_(start.mean)
    network.deviation.copy_(start.deviation)
    for name, head in network.heads.items():
        if name in start.heads and start.heads[name].out_channels == head.out_channels:
            head.load_state_dict(start.heads[name].state_dict())
        elif head.in_channels == head.out_channels:
            nn.init.dirac_(head.weight)
            nn.init.zeros_(head.bias)
    return network.requires_grad_(True)
