"""The classic method of style transfer, read top to bottom. Needs torch.

An image is optimized until it has the content's features and the style's Gram matrices (Gatys et al., 2016, "Image
style transfer using convolutional neural networks"), from coarse to fine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import LBFGS, Adam, Optimizer

from vision_app.core.errors import UsageError, VisionAppError
from vision_app.core.flags import flag
from vision_app.core.interrupt import Interrupt
from vision_app.core.tensors import set_learning_rate
from vision_app.style.checks import SMALLEST_SIDE, scaled, scaled_shape
from vision_app.style.model.features import EncoderNetwork
from vision_app.style.optimize.checkpoint import Checkpoint, fingerprint, restore
from vision_app.style.optimize.losses import Objective, as_batch, to_pixels, to_tensor
from vision_app.style.options import OptimizeConfig, StyleOptions
from vision_app.style.results import CostRow, Progress, Report
from vision_app.style.stylizer import Output

COARSEST = 256  # pixels: long side of the coarsest level, about
COARSEST_SHORT = 64  # pixels: minimum short side of a coarser level
HISTORY = 5  # steps that L-BFGS remembers; ten take twice the memory and gain one or two percent of the cost
FIRST_STEP = 1e-3  # of L-BFGS, which does not know the scale yet: mean change of a value in 0..1
RATE, LAST_RATE = 0.02, 0.002  # of Adam, falling linearly over each level


class DivergedError(VisionAppError):
    """A cost or an image is infinite or not a number."""


@dataclass(frozen=True)
class Level:
    """A size of the image and the iterations that are taken there.

    Attributes:
        shape: Rows and columns.
        begin: The first iteration.
        end: The iteration after the last.
    """

    shape: tuple[int, int]
    begin: int
    end: int


def optimize(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    encoder: EncoderNetwork,
    config: OptimizeConfig = OptimizeConfig(),
    *,
    weights: Sequence[float] | None = None,
    start: np.ndarray | None = None,
    report: Report | None = None,
    state: Path | None = None,
) -> Output:
    """Stylize an image, from coarse to fine; see `levels`.

    The same arguments give the same bytes on the same machine. Memory depends on the last size: with the released
    encoder about 1.1 kB per pixel besides torch itself, which is 2.7 GB in all at 1920 x 1080 and 5 GB at 2048 x 2048;
    for a network of VGG-19's widths about four times as much. A run that is stopped at a coarser level gives an
    enlarged image.

    Args:
        content: (H, W, 3) uint8.
        styles: (h, w, 3) uint8 each, of any sizes; larger ones are scaled down to the content's size.
        encoder: On the device to be used, its weights without gradients.
        config: Costs, optimizer and iterations.
        weights: Of the styles, 0 or more; None: equal.
        start: (h, w, 3) uint8 of the content's proportions, for `config.start` "fast" alone.
        report: Called after each iteration.
        state: A checkpoint file, from which a run that was stopped, interrupted or killed resumes exactly as if it had
            not been; deleted at the end.

    Raises:
        ImageError: An image is too small or too long.
        UsageError: Weights or an initial image do not fit, or `state` belongs to another run.
        DataError: `state` is not a checkpoint.
        DivergedError: The cost is not a number any more.
        KeyboardInterrupt: After Ctrl-C, when the state has been written.
    """
    if not styles:
        raise UsageError(f"{flag('style')}: at least one is needed")
    for name, pixels in (("content", content), *((f"style {i}", style) for i, style in enumerate(styles, 1))):
        scaled_shape(pixels.shape[1], pixels.shape[0], None, name)  # raises where it cannot be used
    if (start is not None) != (config.start == "fast"):
        raise UsageError(
            f"{flag('start')} {config.start}: an initial image belongs to {flag('start')} fast, and only there"
        )
    shares = StyleOptions(weights=None if weights is None else tuple(weights)).shares(len(styles))
    device = next(encoder.parameters()).device
    images = [content, *styles] if start is None else [content, *styles, start]
    checkpoint = Checkpoint(state, fingerprint(images, shares, encoder, config)) if state else None
    saved = checkpoint.read(device) if checkpoint else None
    image, rows, memory = saved or (None, [], {})
    stopped = False
    with Interrupt() as interrupt:
        for level in levels(content.shape[0], content.shape[1], config.iterations):
            if stopped or len(rows) >= level.end:
                continue
            targets = scaled(content, level.shape), [fit_style(style, level) for style in styles]
            objective = Objective(encoder, *targets, shares, config)
            if image is None:
                image = _first(content if start is None else start, config, level, device)
            image = _resized(image, level.shape).requires_grad_()
            optimizer = _optimizer(config, image)
            if len(rows) > level.begin:
                restore(optimizer, image, memory)
            while len(rows) < level.end and not stopped:
                set_learning_rate(optimizer, _rate(config, level, len(rows), image.numel()))
                rows.append(_step(objective, image, optimizer))
                _check(rows, image, config)
                told = report is not None and _report(report, rows, image, config)
                stopped = told and len(rows) < config.iterations
                if checkpoint and (checkpoint.due() or stopped or interrupt.asked):
                    checkpoint.write(image, optimizer, rows)
                if interrupt.asked:
                    raise KeyboardInterrupt
    if checkpoint and not stopped:
        checkpoint.remove()
    assert image is not None  # there is at least one level, of at least one iteration
    pixels = to_pixels(_resized(image, content.shape[:2]))
    return Output(pixels, tuple(rows), stopped)


def levels(height: int, width: int, iterations: int) -> tuple[Level, ...]:
    """Return sizes from about `COARSEST` pixels on the long side to the full one, each twice as large as the last.

    Each level takes half the iterations of the one before, for details need fewer and cost more. Where there are too
    few to give each level one, the coarsest are left out.

    Args:
        height: Of the full image, in pixels.
        width: Of the full image, in pixels.
        iterations: In all, 1 or more.
    """
    long, short = max(height, width), min(height, width)
    affordable = math.floor(math.log2(iterations + 1)) - 1
    halvings = min(round(math.log2(long / COARSEST)), math.floor(math.log2(short / COARSEST_SHORT)), affordable)
    divisors = [2**i for i in range(max(0, halvings), -1, -1)]
    ends = [iterations * total // sum(divisors) for total in accumulate(divisors, initial=0)]
    return tuple(
        Level((round(height / divisor), round(width / divisor)), begin, end)
        for divisor, (begin, end) in zip(divisors, pairwise(ends), strict=True)
    )


def fit_style(pixels: np.ndarray, level: Level) -> np.ndarray:
    """Return a style as large as the image at a level, so that strokes have the same size in both.

    A smaller one stays as it is: enlarged, it would teach blur.

    Args:
        pixels: (H, W, 3) uint8.
        level: Gives the size.

    Returns:
        (h, w, 3) uint8 of about as many pixels as the level has, no side under `SMALLEST_SIDE`.
    """
    height, width = pixels.shape[:2]
    factor = max(math.sqrt(math.prod(level.shape) / (height * width)), SMALLEST_SIDE / min(height, width))
    return scaled(pixels, (round(height * factor), round(width * factor))) if factor < 1 else pixels


def _first(pixels: np.ndarray, config: OptimizeConfig, level: Level, device: torch.device) -> Tensor:
    """Return the initial image, (H, W, 3): noise, or pixels scaled to the first level."""
    if config.start == "noise":
        generator = torch.Generator().manual_seed(config.seed)
        return torch.rand(*level.shape, 3, generator=generator).to(device)
    return to_tensor(scaled(pixels, level.shape), device)


def _resized(image: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return an image (h, w, 3) in another size, detached; the same values where the size is right."""
    image = image.detach()
    if tuple(image.shape[:2]) == shape:
        return image
    enlarged = F.interpolate(as_batch(image), shape, mode="bicubic", align_corners=False)
    return enlarged[0].permute(1, 2, 0).clamp(0, 1).contiguous()


def _optimizer(config: OptimizeConfig, image: Tensor) -> Optimizer:
    """Return an optimizer of one evaluation per step; L-BFGS does without a line search, which would take several."""
    if config.optimizer == "adam":
        return Adam([image], betas=(0.9, 0.99))
    return LBFGS([image], max_iter=1, history_size=HISTORY, tolerance_grad=0, tolerance_change=0)


def _rate(config: OptimizeConfig, level: Level, iteration: int, values: int) -> float:
    """Return the learning rate of one iteration of a level, for an image of so many values."""
    if config.optimizer == "adam":
        return RATE + (LAST_RATE - RATE) * (iteration - level.begin) / (level.end - level.begin)
    return FIRST_STEP * values if iteration == level.begin else 1.0  # torch divides the first one by |gradient|_1


def _step(objective: Objective, image: Tensor, optimizer: Optimizer) -> CostRow:
    """Move the image once, within 0..1; return the costs before that."""
    costs = objective(image)
    image.grad = torch.autograd.grad(costs.total, image)[0].contiguous()
    optimizer.step(lambda: float(costs.total.detach()))
    with torch.no_grad():
        image.clamp_(0, 1)
    return costs.total.item(), costs.content.item(), costs.style.item()


def _check(rows: Sequence[CostRow], image: Tensor, config: OptimizeConfig) -> None:
    if not all(map(math.isfinite, rows[-1])) or not image.isfinite().all():
        raise DivergedError(
            f"the cost became {rows[-1][0]} in iteration {len(rows)} of {config.iterations}; "
            "use --optimizer adam, or smaller --alpha and --beta"
        )


def _report(report: Report, rows: Sequence[CostRow], image: Tensor, config: OptimizeConfig) -> bool:
    """Report the last iteration; return whether it was asked to stop there."""
    size = image.shape[1], image.shape[0]
    return bool(report(Progress(len(rows), config.iterations, size, *rows[-1], preview=lambda: to_pixels(image))))
