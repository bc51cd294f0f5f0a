"""What training a fast network means: its contents and styles, its losses, its measure; the loop is `training.loop`.

The losses are like those of Johnson et al., 2016, "Perceptual losses for real-time style transfer", but Gram matrices
count by the logarithm of their relative error, so that all styles count alike.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_app.core.images import write_image
from vision_app.style.model.features import STYLE_LAYERS, EncoderNetwork, load_encoder
from vision_app.style.model.network import STRIDE, FastNetwork, from_bytes
from vision_app.style.optimize.losses import gram_error
from vision_app.style.train.datasets import HELD_OUT, Photos, PhotoTask, Views, hold_out, list_photos, to_tensor
from vision_app.style.train.export import write_fast
from vision_app.style.train.initial import identity, starting_fast
from vision_app.style.train.options import FastOptions
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig
from vision_app.training.loop import fit
from vision_app.training.runs import check_run_folder

CONTENT_LAYERS = ("conv3_1", "conv4_1")
FINE_LAYERS = STYLE_LAYERS[:2]  # compared at full size; all layers are compared at half of it
NEAR = 0.01  # error of a Gram matrix below which coming nearer counts less and less
PLAIN = 8  # every so many samples, the style is the content itself, and the picture must stay what it is
MEASURED = 16  # pairs that a network is measured on
SHOWN = 8  # of them in the picture of a release


class Pairs(Views):
    """A content and a style by (place, index of photo): (2, 3, S, S) uint8."""

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        place, index = key
        random = random_numbers("style", self.seed, self.epoch, place)
        content = self.photos.crop(index, self.size, random)
        style = self.photos.invented(self.size, random) if place % PLAIN else content
        return torch.stack([to_tensor(content), to_tensor(style)])


class FastTask(PhotoTask):
    """A `training.loop.Task`.

    Args:
        network: to train.
        encoder: in whose features pictures are compared.
        photos, validation: to learn from and to measure on.
        **more: see `PhotoTask`.
    """

    views = Pairs
    with_targets = True

    def __init__(
        self,
        network: FastNetwork,
        encoder: EncoderNetwork,
        photos: Photos,
        validation: Photos,
        options: FastOptions = FastOptions(),
        **more,
    ):
        super().__init__(photos, validation, size=options.size, **more)
        self.network, self.encoder, self.options = network, encoder, options

    def batches(self, config: TrainConfig, epoch: int, **share) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of an epoch: contents (B, 3, S, S) and styles, as targets, of the same shape, in 0..1."""
        for pairs in self.pictures(config, epoch, **share):
            yield pairs.unbind(1)

    def loss(self, images: Tensor, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The weighted losses of a batch, the number of its pictures, and the parts."""
        options, contents, styles, pictures = self.options, images, targets.to(images.device), output.float()
        content, style = self.errors(pictures, contents, styles)
        plain = (contents == styles).flatten(1).all(1).float()  # (B,)
        parts = {
            "content": options.content * content,
            "style": options.style * style,
            "identity": options.identity * plain * (pictures - contents).abs().mean((1, 2, 3)),
            "lattice": options.lattice * lattice(pictures),
        }
        sums = {name: part.sum() for name, part in parts.items()}
        count = torch.tensor(float(len(images)), device=images.device)
        return sum(sums.values()), count, {name: part.detach() for name, part in sums.items()}

    def errors(self, pictures: Tensor, contents: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
        """How far pictures are from their contents and from their styles, (B,) each.

        Pictures are looked at from two distances: as they are in `FINE_LAYERS`, which see strokes, and at half the size
        in all layers, which is cheaper and sees twice as far. Gram matrices count by the logarithm of how far they are
        off: coming nearer by a tenth is worth as much for an easy style as for a hard one.

        Args:
            pictures, contents, styles: (B, 3, S, S) in 0..1.
        """
        encoder = self.encoder.to(pictures.device)
        with torch.no_grad():
            shapes, fine = encoder(F.avg_pool2d(contents, 2), CONTENT_LAYERS), encoder(styles, FINE_LAYERS)
            coarse = encoder(F.avg_pool2d(styles, 2), STYLE_LAYERS)
        near, far = encoder(pictures, FINE_LAYERS), encoder(F.avg_pool2d(pictures, 2), {*CONTENT_LAYERS, *STYLE_LAYERS})
        errors = [gram_error(near[name], fine[name]) for name in FINE_LAYERS]
        errors += [gram_error(far[name], coarse[name]) for name in STYLE_LAYERS]
        content = torch.stack([content_error(far[name], shapes[name]) for name in CONTENT_LAYERS])
        return content.mean(0), torch.log(NEAR + torch.stack(errors)).mean(0)

    @torch.no_grad()
    def release(self, network: FastNetwork, folder: Path) -> dict[str, float]:
        """Writes a model folder and measures the network on validation photos and styles made of them: the lower the
        loss, the better. Pictures of what it paints lie beside the model, in `samples.png`.
        """
        network, errors, rows = network.cpu().eval(), [], []
        for index in range(min(MEASURED, len(self.validation))):
            random = random_numbers("measured", index)
            pair = self.validation.center(index, self.size), self.validation.invented(self.size, random)
            content, style = (from_bytes(torch.from_numpy(np.ascontiguousarray(pixels))[None]) for pixels in pair)
            picture = network(content, style).clamp(0, 1)
            errors.append([float(error) for error in self.errors(picture, content, style)])
            rows.append(np.hstack([*pair, (picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)]))
        content_mean, style_mean = np.mean(errors, 0)
        cost = self.options.content * content_mean + self.options.style * style_mean
        measured = {"content": round(float(content_mean), 4), "style": round(float(style_mean), 4)}
        write_fast(network, folder, name=folder.parent.name, measured={HELD_OUT: measured}, **self.about)
        write_image(folder / "samples.png", np.vstack(rows[:SHOWN]))
        return {"quality": -round(float(cost), 4), **measured}


def content_error(found: Tensor, wanted: Tensor) -> Tensor:
    """How far features are apart once each channel has mean 0 and deviation 1, which styles change: (B,), 0 is equal.

    Args:
        found, wanted: (B, C, h, w).
    """
    found, wanted = (F.instance_norm(x) for x in (found, wanted))
    return (found - wanted).square().mean((1, 2, 3))


def lattice(pictures: Tensor, period: int = STRIDE, block: int = 16) -> Tensor:
    """How much of pictures repeats with the period of the network's grid, which no painter's strokes do: (B,).

    It is the variance of the means of each place in the period, over blocks of so many periods a side, once what
    changes slowly is taken away. A network that halves and doubles sizes leaves such dots in flat areas.

    Args:
        pictures: (B, 3, S, S), S a multiple of period * block.
    """
    size = period + 1
    slow = F.avg_pool2d(F.pad(pictures, (size // 2,) * 4, mode="reflect"), size, stride=1)
    places = F.pixel_unshuffle(pictures - slow, period)  # (B, 3 * period^2, S / period, S / period)
    means = F.avg_pool2d(places, block).unflatten(1, (pictures.shape[1], -1))  # (B, 3, period^2, blocks, blocks)
    return means.var(2, unbiased=False).mean((1, 2, 3))


def train(
    data: Sequence[Path],
    output: Path,
    config: TrainConfig,
    options: FastOptions = FastOptions(),
    *,
    initial: Path | None = None,
    encoder: Path = Path("style-encoder"),
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence = (),
) -> dict[str, float]:
    """Trains a fast network; see `training.loop.fit`.

    Args:
        data: folders of photos, which are contents and what styles are made of; some are set apart to measure on.
        initial: a fast network of ours, or the folder of MicroAST's published weights; by default it starts afresh.
        encoder: see `features.load_encoder`.
        workers: processes that cut and paint.
        callbacks: see `training.task.Callback`.

    Raises:
        DataError, ModelError, UsageError: before training starts, with the file or option named.
    """
    check_run_folder(output, resume)
    photos, validation = hold_out(list_photos(data), config.seed)
    log(f"{len(photos):,} photos to learn from, {len(validation)} to measure on")
    eye = load_encoder(encoder)
    torch.manual_seed(config.seed)
    network = starting_fast(initial, photos)
    inputs = {"initial": identity(initial), "encoder": identity(encoder)} | asdict(options)
    trained = {"photos": len(photos), **inputs, **asdict(config)}
    task = FastTask(network, eye, photos, validation, options, about={"trained": trained}, workers=workers)
    inputs["data"] = f"{photos.name} {photos.digest()}"
    return fit(task, config, output, inputs=inputs, resume=resume, log=log, callbacks=callbacks)
