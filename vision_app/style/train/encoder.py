"""Training of the style encoder: its images, teachers and metrics; the loop is `training.loop`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vision_app.core.flags import check_range
from vision_app.released.write import describe
from vision_app.style.model.features import CONTENT_LAYER, LAYERS, STYLE_LAYERS, VGG19, EncoderNetwork, load_encoder
from vision_app.style.model.network import from_bytes
from vision_app.style.optimize.losses import gram_error
from vision_app.style.train.datasets import HELD_OUT, PhotoSamples, PhotoTask, split_photos, to_tensor
from vision_app.style.train.export import write_encoder
from vision_app.style.train.initial import identity, initial_encoder
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig
from vision_app.training.loop import fit
from vision_app.training.runs import check_run_folder


class EncoderSamples(PhotoSamples):
    """Crops of photos and, as every second one, styles made of them: (3, S, S) uint8."""

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        position, index = key
        random = random_numbers("encoder", self.seed, self.epoch, position)
        style = position % 2
        return to_tensor(self.photos.style(self.size, random) if style else self.photos.crop(index, self.size, random))


class Teachers(nn.Module):
    """Gives the target features of images.

    Args:
        path: A folder of five encoders `1` to `5`, each of so many blocks, as `tools/convert_style_weights.py` makes
            them: each style layer's target comes from the encoder that was distilled for it, that of the content layer
            from the deepest. Or a `.pth` file of torchvision's VGG-19, which is its own teacher for all layers.

    Raises:
        ModelError: One of them cannot be read.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.whole = path.is_file()
        paths = [path] if self.whole else [path / str(depth) for depth in range(1, len(STYLE_LAYERS) + 1)]
        self.encoders = nn.ModuleList(map(load_encoder, paths))

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the target of each layer."""
        if self.whole:
            return tuple(VGG19.widths[int(name[4]) - 1] for name in LAYERS)
        deepest: EncoderNetwork = self.encoders[-1]  # type: ignore[assignment]
        own = (deepest.config.widths[int(name[4]) - 1] for name in LAYERS)
        return tuple(head or width for head, width in zip(deepest.config.heads, own, strict=True))

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the targets of every layer of `LAYERS` for images (B, 3, H, W)."""
        if self.whole:
            return dict(self.encoders[0](images))
        targets: dict[str, Tensor] = {}
        for encoder, name in zip(self.encoders, STYLE_LAYERS, strict=True):
            targets |= encoder.teach(encoder(images, [name]))  # type: ignore[operator]
        return targets | dict(self.encoders[-1](images, [CONTENT_LAYER]))


@dataclass(eq=False)
class EncoderTask(PhotoTask):
    """A `training.task.TrainingTask`: the features of `network`, by its heads, become those of its teachers."""

    teachers: Teachers = field(kw_only=True)
    samples = EncoderSamples

    def batches(self, config: TrainConfig, epoch: int, **share: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images, (B, 3, S, S) in 0..1, and placeholders: the targets are computed from the images."""
        for images in self.images(config, epoch, **share):
            yield images, torch.zeros(len(images))

    def loss(
        self, images: Tensor, output: dict[str, Tensor], targets: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the mean `relative_error` over the layers times the images, their number, and the same by layer."""
        wanted, count = self.teachers.to(images.device)(images), torch.tensor(float(len(images)))
        errors = {name: relative_error(x.float(), wanted[name]) for name, x in self.network.teach(output).items()}
        parts = {name: error.detach() * len(images) for name, error in errors.items()}
        total = sum(errors.values(), torch.zeros((), device=images.device))
        return total / len(errors) * len(images), count, parts

    @torch.no_grad()
    def release(self, network: nn.Module, folder: Path) -> dict[str, float]:
        """Write a model folder and return how much of the teachers' features and Gram matrices it explains.

        Both are means over the layers of what was written: 1 is all, 0 no more than nothing.
        """
        assert isinstance(network, EncoderNetwork)
        write_encoder(network, folder, name=folder.parent.name, **self.about)
        network, teachers, features, grams = load_encoder(folder.resolve()), self.teachers.cpu(), [], []
        for index in range(len(self.validation)):
            image = from_bytes(torch.from_numpy(self.validation.center(index, self.size))[None])
            wanted, found = teachers(image), network.teach(network(image))
            features.append([float(relative_error(found[name], wanted[name])) for name in LAYERS])
            grams.append([float(gram_error(found[name], wanted[name])) for name in STYLE_LAYERS])
        errors = {f"error {name}": round(float(e), 4) for name, e in zip(LAYERS, np.mean(features, 0), strict=True)}
        measured = {"features": round(1 - float(np.mean(features)), 4), "gram": round(1 - float(np.mean(grams)), 4)}
        describe(folder, measured={HELD_OUT: measured | errors})
        return measured


def relative_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Return |found - wanted|^2 / |wanted|^2, a scalar."""
    return (found - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)


def train(
    data: Path | Sequence[Path],
    output: Path,
    config: TrainConfig,
    *,
    teacher: Path,
    initial: Path | None = None,
    size: int = 192,
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence[object] = (),
) -> dict[str, float]:
    """Train a style encoder to reproduce its teachers' features; see `training.loop.fit`.

    Args:
        data: Folders of photos; some are held out to measure on.
        output: Folder of the run.
        config: Settings of the loop.
        teacher: See `Teachers`.
        initial: See `initial.initial_encoder`.
        size: Side of the square crops, in pixels.
        workers: Worker processes that make samples.
        resume: Whether to resume a run in the folder.
        log: Called with one line at a time.
        callbacks: See `training.task.Callback`.

    Raises:
        VisionAppError: Before training starts; names the file or option.
    """
    check_range("size", size, 64, 1024)
    check_run_folder(output, resume)
    photos, validation = split_photos(data, config.seed, log)
    teachers = Teachers(teacher)
    torch.manual_seed(config.seed)
    network = initial_encoder(initial, teachers.widths)
    task = EncoderTask(network, photos, validation, teachers=teachers, size=size, workers=workers)
    inputs = task.describe(config, {"initial": identity(initial), "teacher": identity(teacher), "size": size})
    return fit(task, config, output, inputs=inputs, resume=resume, log=log, callbacks=callbacks)
