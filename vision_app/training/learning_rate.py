"""The learning rate of a run: at each step, as a plot, and the search for a good one."""

import csv
import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from vision_app.core.errors import DataError, UsageError
from vision_app.core.figures import new_figure, save_figure
from vision_app.core.files import atomic_write
from vision_app.training.config import TrainConfig
from vision_app.training.progress import Progress
from vision_app.training.schedules import factor, plateau
from vision_app.training.task import TrainingTask

SEARCHED = (1e-6, 10.0)  # learning rates
STEPS = 100  # of the search, and of an epoch in the plot of a schedule
SMOOTHING = 0.9  # of the loss, an exponential moving average
DIVERGED = 4.0  # loss over the lowest before


def learning_rate(config: TrainConfig, index: int, per_epoch: int, measured: Sequence[float] = ()) -> float:
    """Return the learning rate of a step.

    Args:
        config: Says the peak and the schedule.
        index: Of the step in the whole run.
        per_epoch: Steps an epoch.
        measured: Metrics so far, higher is better; "plateau" depends on them.
    """
    warmup = int(config.warmup_epochs * per_epoch)
    total = config.epochs * per_epoch
    slope = factor(config.schedule, index, total, warmup, min_ratio=config.min_lr_ratio, cycles=config.cycles)
    if config.schedule == "plateau":
        slope *= plateau(measured, config.plateau_patience, config.min_lr_ratio)
    return config.learning_rate * slope


def plot_schedule(config: TrainConfig, path: Path) -> None:
    """Plot the learning rate over the epochs of a run as PNG; "plateau" as if every validation were an improvement.

    Raises:
        UsageError: The file exists already, or its folder does not.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--plot-schedule {path}: its folder does not exist")
    if os.path.lexists(path):
        raise UsageError(f"--plot-schedule {path}: exists already and will not be overwritten; choose another name")
    rates = [learning_rate(config, index, STEPS) for index in range(config.epochs * STEPS)]
    figure = new_figure(800, 400)
    axes = figure.add_subplot(xlabel="epoch", ylabel="learning rate", title=config.schedule)
    axes.plot(np.arange(len(rates)) / STEPS, rates)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def find_learning_rate(
    task: TrainingTask, config: TrainConfig, folder: Path, *, log: Callable[[str], None] = print
) -> float:
    """Train with a learning rate that rises from step to step until the loss diverges, and suggest one (Smith, 2017).

    Args:
        task: What is learned.
        config: All but the learning rate and its schedule counts.
        folder: Gets learning_rates.csv and learning_rates.png; it may become the folder of a run afterwards.
        log: Takes lines of progress.

    Returns:
        The suggested learning rate.

    Raises:
        DataError: The loss fell at no learning rate.
    """
    from vision_app.training.step import NotANumberError, Stepper, make_fabric

    fabric = make_fabric(config)
    step, rates, losses = Stepper(task, config, fabric, log), np.geomspace(*SEARCHED, STEPS).tolist(), []
    step.network.train()
    share = {"rank": fabric.global_rank, "world": fabric.world_size}
    batches = (batch for epoch in count() for batch in task.batches(config, epoch, **share))
    log(f"searching for a learning rate: up to {STEPS} steps from {SEARCHED[0]:g} to {SEARCHED[1]:g}")
    progress = Progress(STEPS, every=10)
    for index, (rate, (images, targets)) in enumerate(zip(rates, batches, strict=False)):
        try:
            sums = step(index, rate, images, targets)
        except NotANumberError:
            break
        losses.append(sums["loss"] / max(sums["positives"], 1))
        smooth = smoothed(losses)
        if left := progress.left(index + 1):
            log(f"step {index + 1}/{STEPS} learning rate {rate:.2g} loss {smooth[-1]:.4g}, {left}")
        if smooth[-1] > DIVERGED * min(smooth):
            break
    rates, suggested = rates[: len(losses)], suggest(rates[: len(losses)], smoothed(losses))
    if fabric.is_global_zero:
        _write(folder, rates, losses, suggested)
        log(f"plotted in {folder / 'learning_rates.png'}")
    if suggested is None:
        raise DataError(
            f"the loss fell at no learning rate between {SEARCHED[0]:g} and {SEARCHED[1]:g}; try another --optimizer"
        )
    return suggested


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return exponential moving averages of losses, bias-corrected as Adam corrects its means."""
    mean, means = 0.0, []
    for index, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        means.append(mean / (1 - SMOOTHING**index))
    return means


def suggest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return a tenth of the learning rate with the lowest smoothed loss, to two digits; None if the loss never falls.

    That is as fast as it goes, with some distance from where it diverges.
    """
    lowest = int(np.argmin(losses)) if losses else 0
    return float(f"{rates[lowest] / 10:.1e}") if lowest else None


def _write(folder: Path, rates: Sequence[float], losses: Sequence[float], suggested: float | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    smooth = smoothed(losses)
    with (
        atomic_write(folder / "learning_rates.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("learning_rate", "loss", "smoothed_loss"))
        writer.writerows(zip(rates, losses, smooth, strict=True))
    figure = new_figure(800, 400)
    axes = figure.add_subplot(xlabel="learning rate", ylabel="loss", xscale="log")
    axes.plot(rates, losses, alpha=0.3, label="loss")
    axes.plot(rates, smooth, label="smoothed")
    if suggested is not None:
        axes.axvline(suggested, color="black", linestyle="--", label=f"suggested: {suggested:g}")
    if smooth:
        axes.set_ylim(0, 2 * max(smooth[: max(1, int(np.argmin(smooth)))]))
    axes.legend()
    save_figure(figure, folder / "learning_rates.png")
