"""The classic method of style transfer: a picture is optimized until it has the content's features and the style's
Gram matrices (Gatys et al., 2016, "Image style transfer using convolutional neural networks"). Needs torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import floor, log2, sqrt
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from vision_app.core.errors import UsageError, VisionAppError
from vision_app.core.flags import check_choice, check_ranges
from vision_app.core.interrupt import Interrupt
from vision_app.core.tensors import set_learning_rate
from vision_app.style.checks import SMALLEST_SIDE, scaled, scaled_shape
from vision_app.style.model.features import EncoderNetwork
from vision_app.style.optimize.checkpoint import Checkpoint, fingerprint, restore
from vision_app.style.optimize.losses import Objective, as_batch, to_picture, to_pixels
from vision_app.style.options import StyleOptions
from vision_app.style.results import Progress, Report, Stop

COARSEST = 256  # pixels that the long side of the smallest picture has, about
COARSEST_SHORT = 64  # pixels that the short side of a smaller picture keeps

STARTS = ("content", "noise", "fast")
OPTIMIZERS = ("lbfgs", "adam")
RANGES = {
    "alpha": (0.0, 1e6), "beta": (0.0, 1e9), "total_variation": (0.0, 1e6), "strength": (0.0, 1.0),
    "iterations": (1, 10_000), "seed": (0, 2**32 - 1),
}  # fmt: skip
HISTORY = 5  # steps that L-BFGS remembers; ten take twice the memory and gain one or two percent of the cost
FIRST_STEP = 1e-3  # of L-BFGS, which knows nothing of the scale yet: mean change of a value in 0..1
RATE, LAST_RATE = 0.02, 0.002  # of Adam, falling in a line over each size


class DivergedError(VisionAppError):
    """A cost or a picture that is infinite or no number."""


@dataclass(frozen=True)
class Level:
    """A size of the picture and which iterations are taken there.

    Attributes:
        height, width: pixels.
        begin, end: the first iteration and the one after the last.
    """

    height: int
    width: int
    begin: int
    end: int


@dataclass(frozen=True)
class OptimizeConfig:
    """What is minimized, J = alpha J_content + beta J_style + total_variation J_variation, and how.

    Attributes:
        alpha, beta: weights of content and style, whose costs are relative to their targets; only their ratio matters.
        total_variation: weight of the mean length of gradients, which keeps noise down.
        strength: how much of the style, 0 to 1: what the Gram matrices are to be, from the content's to the style's.
        iterations: evaluations of J and its gradient, over all sizes together.
        optimizer: "lbfgs" or "adam".
        start: "content", "noise", or "fast" for a given picture, which the fast path made.
        seed: of noise.

    Raises:
        UsageError: a value is out of its range or unknown; the error names the option and the nearest valid value.
    """

    alpha: float = 1.0
    beta: float = 100.0
    total_variation: float = 4.0
    strength: float = 1.0
    iterations: int = 150
    optimizer: str = "lbfgs"
    start: str = "content"
    seed: int = 0

    def __post_init__(self):
        check_ranges(self, RANGES)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("start", self.start, STARTS)
        if self.alpha == 0 and self.beta == 0:
            raise UsageError("--alpha 0 --beta 0: one of content and style must count")


@dataclass(frozen=True, eq=False)
class Optimized:
    """What came of it.

    Attributes:
        pixels: (H, W, 3) uint8, as large as the content unless it was stopped at a coarse size: then enlarged.
        costs: J before each iteration. It jumps where the size changes.
        content_cost, style_cost: parts of the last of these, each relative to its target.
        iterations: that were taken.
        stopped: whether a report ended it early.
    """

    pixels: np.ndarray
    costs: tuple[float, ...]
    content_cost: float
    style_cost: float
    iterations: int
    stopped: bool


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
) -> Optimized:
    """Repaints a picture, from coarse to fine; see `pyramid.levels`.

    The same arguments give the same bytes on the same machine. Memory follows from the last size: with the released
    encoder about 1.1 kB a pixel beside torch itself, which is 2.7 GB altogether at 1920 x 1080 and 5 GB at 2048 x 2048;
    for a network of VGG-19's widths about four times as much.

    Args:
        content: (H, W, 3) uint8.
        styles: (h, w, 3) uint8 each, of any sizes, seen no larger than the content.
        encoder: on the device to be used, its weights without gradients.
        weights: of the styles, from 0 on; equal by default.
        start: (h, w, 3) uint8 of the content's proportions, for `config.start` "fast" alone.
        report: called after each iteration.
        state: a file that is kept while this goes on, so that a run that was stopped, interrupted or killed goes on
            from there, exactly as if it had not been; removed at the end.

    Raises:
        ImageError: a picture is too small or too long.
        UsageError: weights or a start picture do not fit, or `state` is of another run.
        DataError: `state` is no checkpoint.
        DivergedError: the cost is no number any more.
        KeyboardInterrupt: after Ctrl-C, when the state has been written.
    """
    if not styles:
        raise UsageError("--style: at least one is needed")
    for name, pixels in (("content", content), *((f"style {i}", style) for i, style in enumerate(styles, 1))):
        scaled_shape(pixels.shape[1], pixels.shape[0], None, name)  # raises where it cannot be used
    if (start is not None) != (config.start == "fast"):
        raise UsageError(f"--start {config.start}: a picture to start from belongs to --start fast, and only there")
    shares = StyleOptions(weights=weights).shares(len(styles))
    device = next(encoder.parameters()).device
    checkpoint = state and Checkpoint(state, fingerprint(content, styles, shares, start, encoder, config))
    saved = checkpoint.read(device) if checkpoint and state.exists() else None
    picture, rows = (saved.picture, saved.rows) if saved else (None, [])
    stopped = False
    with Interrupt() as interrupt:
        for level in levels(*content.shape[:2], config.iterations):
            if stopped or len(rows) >= level.end:
                continue
            objective = _objective(content, styles, shares, encoder, config, level)
            if picture is None:
                picture = _first(content if start is None else start, config, level, device)
            picture = _enlarged(picture, level.height, level.width).requires_grad_()
            optimizer = _optimizer(config, picture)
            if len(rows) > level.begin:
                restore(optimizer, picture, saved.memory)
            while len(rows) < level.end and not stopped:
                set_learning_rate(optimizer, _rate(config, level, len(rows), picture.numel()))
                rows.append(_step(objective, picture, optimizer))
                _check(rows, picture, config)
                told = report is not None and _says_stop(report, rows, picture, config)
                stopped = told and len(rows) < config.iterations
                if checkpoint and (checkpoint.due() or stopped or interrupt.asked):
                    checkpoint.write(picture, optimizer, rows)
                if interrupt.asked:
                    raise KeyboardInterrupt
    if checkpoint and not stopped:
        checkpoint.remove()
    pixels = to_pixels(_enlarged(picture, *content.shape[:2]))
    return Optimized(pixels, tuple(row[0] for row in rows), *rows[-1][1:], iterations=len(rows), stopped=stopped)


def _objective(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    shares: Sequence[float],
    encoder: EncoderNetwork,
    config: OptimizeConfig,
    level: Level,
) -> Objective:
    """What the picture of one size is to be like."""
    return Objective(
        encoder,
        scaled(content, (level.height, level.width)),
        [fit_style(style, level) for style in styles],
        shares,
        strength=config.strength,
        alpha=config.alpha,
        beta=config.beta,
        gamma=config.total_variation,
    )


def _first(pixels: np.ndarray, config: OptimizeConfig, level: Level, device: torch.device) -> Tensor:
    """The picture to begin with, (H, W, 3): noise, or pixels made as large as the first level."""
    if config.start == "noise":
        generator = torch.Generator().manual_seed(config.seed)
        return torch.rand(level.height, level.width, 3, generator=generator).to(device)
    return to_picture(scaled(pixels, (level.height, level.width)), device)


def _enlarged(picture: Tensor, height: int, width: int) -> Tensor:
    """A picture (h, w, 3) in another size, without its history; the same one where the size is right."""
    picture = picture.detach()
    if picture.shape[:2] == (height, width):
        return picture
    enlarged = F.interpolate(as_batch(picture), (height, width), mode="bicubic", align_corners=False)
    return enlarged[0].permute(1, 2, 0).clamp(0, 1).contiguous()


def _optimizer(config: OptimizeConfig, picture: Tensor) -> Optimizer:
    """One step of it is one evaluation. L-BFGS goes its full step without a line search, which would take several."""
    if config.optimizer == "adam":
        return torch.optim.Adam([picture], betas=(0.9, 0.99))
    return torch.optim.LBFGS([picture], max_iter=1, history_size=HISTORY, tolerance_grad=0, tolerance_change=0)


def _rate(config: OptimizeConfig, level: Level, iteration: int, values: int) -> float:
    """What the optimizer's step is multiplied with in one iteration of a level, for a picture of so many values."""
    if config.optimizer == "adam":
        return RATE + (LAST_RATE - RATE) * (iteration - level.begin) / (level.end - level.begin)
    return FIRST_STEP * values if iteration == level.begin else 1.0  # torch divides the first one by |gradient|_1


def _step(objective: Objective, picture: Tensor, optimizer: Optimizer) -> tuple[float, float, float]:
    """Moves the picture once, within 0..1; returns J before that and its parts of content and style."""
    costs = objective(picture)
    picture.grad = torch.autograd.grad(costs.total, picture)[0].contiguous()
    optimizer.step(lambda: costs.total.detach())
    with torch.no_grad():
        picture.clamp_(0, 1)
    return tuple(cost.item() for cost in costs)


def _check(rows: Sequence[tuple[float, ...]], picture: Tensor, config: OptimizeConfig) -> None:
    if not all(map(math.isfinite, rows[-1])) or not picture.isfinite().all():
        raise DivergedError(
            f"the cost became {rows[-1][0]} in iteration {len(rows)} of {config.iterations}; "
            "use --optimizer adam, or smaller --alpha and --beta"
        )


def _says_stop(
    report: Report, rows: Sequence[tuple[float, float, float]], picture: Tensor, config: OptimizeConfig
) -> bool:
    """Reports the last iteration; returns whether that is to be the last one."""
    height, width = picture.shape[:2]
    try:
        return bool(
            report(Progress(len(rows), config.iterations, (width, height), *rows[-1], lambda: to_pixels(picture)))
        )
    except Stop:
        return True


def levels(height: int, width: int, iterations: int) -> tuple[Level, ...]:
    """Sizes from about 256 pixels on the long side to the full one, each twice as large as the one before.

    Each level takes half the iterations of the one before, for details need fewer and cost more. Where there are too
    few to give each level one, the coarsest are left out.

    Args:
        height, width: of the picture, in pixels.
        iterations: altogether, 1 or more.
    """
    long, short = max(height, width), min(height, width)
    enough = floor(log2(iterations + 1)) - 1
    halvings = max(0, min(round(log2(long / COARSEST)), floor(log2(short / COARSEST_SHORT)), enough))
    divisors = [2**i for i in range(halvings, -1, -1)]
    ends = [iterations * total // sum(divisors) for total in accumulate(divisors, initial=0)]
    return tuple(
        Level(round(height / divisor), round(width / divisor), begin, end)
        for divisor, (begin, end) in zip(divisors, pairwise(ends), strict=True)
    )


def fit_style(pixels: np.ndarray, level: Level) -> np.ndarray:
    """A style as large as the picture that is to have it, so that strokes have the same size in both.

    A smaller one stays as it is: enlarged, it would teach blur.

    Args:
        pixels: (H, W, 3) uint8.

    Returns:
        (h, w, 3) uint8 of about as many pixels as the level has, no side under 32.
    """
    height, width = pixels.shape[:2]
    factor = max(sqrt(level.height * level.width / (height * width)), SMALLEST_SIDE / min(height, width))
    return scaled(pixels, (round(height * factor), round(width * factor))) if factor < 1 else pixels
