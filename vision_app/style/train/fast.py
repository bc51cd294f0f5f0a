"""Training of the fast network: its contents and styles, losses and metrics; the loop is `training.loop`.

The losses are like those of Johnson et al., 2016, "Perceptual losses for real-time style transfer", but Gram matrices
count by the logarithm of their relative error, so that all styles count alike.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.core.images import write_image
from vision_app.released.names import STYLE_ENCODER
from vision_app.style.model.features import STYLE_LAYERS, EncoderNetwork, load_encoder
from vision_app.style.model.network import STRIDE, FastNetwork, from_bytes
from vision_app.style.optimize.losses import gram_error
from vision_app.style.train.datasets import HELD_OUT, PhotoSamples, PhotoTask, split_photos, to_tensor
from vision_app.style.train.export import write_fast
from vision_app.style.train.initial import identity, initial_fast
from vision_app.style.train.options import FastOptions
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig
from vision_app.training.loop import fit
from vision_app.training.runs import check_run_folder

CONTENT_LAYERS = ("conv3_1", "conv4_1")
FINE_LAYERS = STYLE_LAYERS[:2]  # compared at full size; all layers are compared at half of it
NEAR = 0.01  # error of a Gram matrix below which further improvement counts less and less
PLAIN = 8  # every so many samples, the style is the content itself, and the image must not change
MEASURED = 16  # pairs that a network is measured on
SHOWN = 8  # of them in the image of a release


class PairSamples(PhotoSamples):
    """Pairs of a content and a style: (2, 3, S, S) uint8."""

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        position, index = key
        random = random_numbers("style", self.seed, self.epoch, position)
        content = self.photos.crop(index, self.size, random)
        style = self.photos.style(self.size, random) if position % PLAIN else content
        return torch.stack([to_tensor(content), to_tensor(style)])


@dataclass(eq=False)
class FastTask(PhotoTask):
    """A `training.task.TrainingTask`: images are compared in the features of `encoder`."""

    encoder: EncoderNetwork = field(kw_only=True)
    options: FastOptions = field(kw_only=True)
    samples = PairSamples
    with_targets = True

    def batches(self, config: TrainConfig, epoch: int, **share: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield contents (B, 3, S, S) and styles, as targets, of the same shape, in 0..1."""
        for pairs in self.images(config, epoch, **share):
            yield pairs[:, 0], pairs[:, 1]

    def loss(self, images: Tensor, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the weighted loss of a batch, the number of its images, and the parts of the loss."""
        options, contents, styles, results = self.options, images, targets.to(images.device), output.float()
        content, style = self.errors(results, contents, styles)
        plain = (contents == styles).flatten(1).all(1).float()  # (B,)
        parts = {
            "content": options.content * content,
            "style": options.style * style,
            "identity": options.identity * plain * (results - contents).abs().mean((1, 2, 3)),
            "lattice": options.lattice * lattice(results),
        }
        sums = {name: part.sum() for name, part in parts.items()}
        count, zero = torch.tensor(float(len(images)), device=images.device), torch.zeros((), device=images.device)
        return sum(sums.values(), zero), count, {name: part.detach() for name, part in sums.items()}

    def errors(self, results: Tensor, contents: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
        """Return the errors of results against their contents and their styles, (B,) each.

        Results are compared at two scales: at full size in `FINE_LAYERS`, which see strokes, and at half the size in
        all layers, which is cheaper and doubles the receptive field. Gram matrices count by the logarithm of their
        error: an improvement by a tenth is worth as much for an easy style as for a hard one.

        Args:
            results: (B, 3, S, S) in 0..1.
            contents: (B, 3, S, S) in 0..1.
            styles: (B, 3, S, S) in 0..1.
        """
        encoder = self.encoder.to(results.device)
        with torch.no_grad():
            shapes, fine = encoder(F.avg_pool2d(contents, 2), CONTENT_LAYERS), encoder(styles, FINE_LAYERS)
            coarse = encoder(F.avg_pool2d(styles, 2), STYLE_LAYERS)
        near, far = encoder(results, FINE_LAYERS), encoder(F.avg_pool2d(results, 2), {*CONTENT_LAYERS, *STYLE_LAYERS})
        errors = [gram_error(near[name], fine[name]) for name in FINE_LAYERS]
        errors += [gram_error(far[name], coarse[name]) for name in STYLE_LAYERS]
        content = torch.stack([content_error(far[name], shapes[name]) for name in CONTENT_LAYERS])
        return content.mean(0), torch.log(NEAR + torch.stack(errors)).mean(0)

    @torch.no_grad()
    def release(self, network: nn.Module, folder: Path) -> dict[str, float]:
        """Write a model folder and return the network's errors on validation photos and styles made of them.

        Some of its results are beside the model, in `samples.png`.
        """
        assert isinstance(network, FastNetwork)
        network, errors, rows = network.cpu().eval(), [], []
        for index in range(min(MEASURED, len(self.validation))):
            random = random_numbers("measured", index)
            pair = self.validation.center(index, self.size), self.validation.style(self.size, random)
            content, style = (from_bytes(torch.from_numpy(np.ascontiguousarray(pixels))[None]) for pixels in pair)
            result = network(content, style).clamp(0, 1)
            errors.append([float(error) for error in self.errors(result, content, style)])
            rows.append(np.hstack([*pair, (result[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)]))
        content_mean, style_mean = np.mean(errors, 0)
        cost = self.options.content * content_mean + self.options.style * style_mean
        measured = {"content": round(float(content_mean), 4), "style": round(float(style_mean), 4)}
        write_fast(network, folder, name=folder.parent.name, measured={HELD_OUT: measured}, **self.about)
        write_image(folder / "samples.png", np.vstack(rows[:SHOWN]))
        return {"quality": -round(float(cost), 4), **measured}


def content_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared difference of features with normalized channels, since styles change these: (B,).

    Args:
        found: (B, C, h, w).
        wanted: (B, C, h, w).
    """
    found, wanted = (F.instance_norm(x) for x in (found, wanted))
    return (found - wanted).square().mean((1, 2, 3))


def lattice(images: Tensor, period: int = STRIDE, block: int = 16) -> Tensor:
    """Return how much of images repeats with the period of the network's grid, which no brush strokes do: (B,).

    It is the variance of the means of each position in the period, over blocks of so many periods a side, of the image
    without its low frequencies. A network that halves and doubles sizes leaves such dots in flat areas.

    Args:
        images: (B, 3, S, S), S a multiple of period * block.
        period: Pixels.
        block: Periods a side.
    """
    size = period + 1
    slow = F.avg_pool2d(F.pad(images, (size // 2,) * 4, mode="reflect"), size, stride=1)
    positions = F.pixel_unshuffle(images - slow, period)  # (B, 3 * period^2, S / period, S / period)
    means = F.avg_pool2d(positions, block)
    means = means.reshape(len(images), images.shape[1], period**2, *means.shape[2:])
    return means.var(2, unbiased=False).mean((1, 2, 3))


def train(
    data: Path | Sequence[Path],
    output: Path,
    config: TrainConfig,
    options: FastOptions = FastOptions(),
    *,
    initial: Path | None = None,
    encoder: Path = Path(STYLE_ENCODER),
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence[object] = (),
) -> dict[str, float]:
    """Train a fast network; see `training.loop.fit`.

    Args:
        data: Folders of photos, for contents and to synthesize styles; some are held out to measure on.
        output: Folder of the run.
        config: Settings of the loop.
        options: Weights of the losses and size of the images.
        initial: See `initial.initial_fast`.
        encoder: See `features.load_encoder`.
        workers: Worker processes that make samples.
        resume: Whether to resume a run in the folder.
        log: Called with one line at a time.
        callbacks: See `training.task.Callback`.

    Raises:
        VisionAppError: Before training starts; names the file or option.
    """
    check_run_folder(output, resume)
    photos, validation = split_photos(data, config.seed, log)
    features = load_encoder(encoder)
    torch.manual_seed(config.seed)
    task = FastTask(
        initial_fast(initial), photos, validation, encoder=features, options=options, size=options.size, workers=workers
    )
    inputs = task.describe(config, {"initial": identity(initial), "encoder": identity(encoder)} | asdict(options))
    return fit(task, config, output, inputs=inputs, resume=resume, log=log, callbacks=callbacks)
