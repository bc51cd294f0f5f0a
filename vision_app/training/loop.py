"""The training loop, read top to bottom: batches, steps, averaged weights, measuring, checkpoints.

It knows nothing of the task: that is a `Task`, which makes batches, computes the loss, and releases and measures a
network. One step is in `step`, the folder of a run in `runs`.
"""

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vision_app.core.errors import DataError
from vision_app.core.interrupt import Interrupt
from vision_app.core.tensors import without_prefix
from vision_app.training import runs
from vision_app.training.config import TrainConfig
from vision_app.training.optimizers import optimizer_tensors, restore_optimizer
from vision_app.training.rates import learning_rate
from vision_app.training.runs import CHECKPOINT, Progress, check_run_folder
from vision_app.training.schedules import waited
from vision_app.training.step import NotANumberError, Stepper, make_fabric

WATCHED_STEPS = 3  # at the start of a run, shown to watchers
STEPS_A_LINE = 25


class Task(Protocol):
    """What is learned.

    A task may also have `validation_loss() -> float`, the mean loss of `network` over the validation data. It is called
    of a copy of the task whose network is the averaged one, in evaluation mode and without gradients. With
    `with_targets = True`, `network` is called with the images and their targets in training.
    """

    network: nn.Module

    def batches_per_epoch(self, config: TrainConfig) -> int: ...

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterable[tuple[Tensor, Sequence]]:
        """The (images, targets) of an epoch, a pure function of (seed, epoch).

        Args:
            rank, world: which process this is and how many there are; it gets samples rank * B // world to
                (rank + 1) * B // world of each batch of B.
            start: first step to give, without doing the work of those before it.

        Returns:
            Images (b, 3, H, W) in 0..1 and b targets, as a list or a tensor: anything that can be sliced.
        """

    def loss(self, images: Tensor, output: Tensor, targets: Sequence) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The sum of losses over these samples, the number of positives that it is to be divided by, and sums of the
        parts of the loss, for the log. The gradient is that of the whole batch's sum over the whole batch's number.
        """

    def release(self, network: nn.Module, folder: Path) -> dict[str, float]:
        """Writes a model folder and measures it on the validation data; the first metric decides which one is best.
        Without any metric, the newest one is.
        """


class Watcher(Protocol):
    """Looks on while a network is trained. All methods are optional; they are called in the first process alone."""

    def on_start(self, folder: Path, task: Task, config: TrainConfig) -> None: ...

    def on_batch(self, step: int, images: Tensor, targets: Sequence) -> None:
        """The first batches of a run."""

    def on_epoch(self, row: dict[str, float]) -> None:
        """A row of metrics.csv."""

    def on_end(self, folder: Path, rows: list[dict[str, str]]) -> None:
        """All rows of metrics.csv as they stand there."""


def fit(
    task: Task,
    config: TrainConfig,
    folder: Path,
    *,
    inputs: Mapping[str, Any] | None = None,
    resume: bool = False,
    log: Callable[[str], None] = print,
    watchers: Sequence[Watcher] = (),
) -> dict[str, float]:
    """Trains `task.network` and leaves in `folder`: config.json, metrics.csv, last.safetensors, and the model folders
    initial/ (before training), best/, last/ and top/epoch-N.

    A run that was stopped at any moment and is resumed goes on from its last checkpoint exactly as if it had not been
    stopped. Ctrl-C writes a checkpoint after the step that is being taken.

    Args:
        folder: of the run; must not hold another run unless it is resumed.
        inputs: what the run is made from beyond `config`, by option; a resumed run must be made from the same.
        log: called with one line at a time.

    Returns:
        The metrics of the best network.

    Raises:
        UsageError: the folder holds a run and `resume` is False, or the resumed run had another configuration.
        DataError: the loss is no number any more, memory ran out, or the checkpoint to resume from cannot be used.
        KeyboardInterrupt: after Ctrl-C.
    """
    check_run_folder(folder, resume)
    fabric = make_fabric(config)
    if not fabric.is_global_zero:
        log, watchers = silent, ()
    folder.mkdir(parents=True, exist_ok=True)
    step = Stepper(task, config, fabric, log)
    averaged = copy.deepcopy(step.network).eval().requires_grad_(False)
    settings = asdict(config) | dict(inputs or {})
    progress = Progress()
    if resume and (folder / CHECKPOINT).exists():
        progress = _restore(folder, settings, step, averaged)
        log(
            f"resuming after epoch {progress.epoch} of {config.epochs}"
            + f", step {progress.step}" * bool(progress.step)
        )
    elif resume:
        log(f"{folder} holds nothing to resume; a fresh run starts")
    fabric.barrier()  # every process has read the checkpoint before one writes the next
    if fabric.is_global_zero:
        runs.write_settings(folder, settings)
    _tell(watchers, "on_start", folder, task, config)

    per_epoch = task.batches_per_epoch(config)

    def rate(index: int) -> float:
        return learning_rate(config, index, per_epoch, [value for _, value in progress.measured])

    def save() -> None:
        if fabric.is_global_zero:
            _save(folder, settings, progress, step, averaged)

    if progress == Progress():
        log("before training: " + _pairs(_on_first(fabric, lambda: task.release(averaged, folder / "initial"))))
    with Interrupt() as interrupt:
        while progress.epoch < config.epochs and not _is_over(progress, config):
            step.network.train()
            started, first = time.monotonic(), progress.step
            share = {"rank": fabric.global_rank, "world": fabric.world_size}
            for images, targets in task.batches(config, progress.epoch, **share, start=first):
                index = progress.epoch * per_epoch + progress.step
                if index < WATCHED_STEPS:
                    _tell(watchers, "on_batch", index, images, targets)
                try:
                    sums = step(index, rate(index), images, targets, stop=interrupt.asked)
                except NotANumberError as error:
                    raise DataError(_advice(error, progress, folder)) from error
                _average(averaged, step.network, min(config.average, (index + 1) / (index + 10)))
                stop = sums.pop("stop") > 0
                progress.step += 1
                progress.sums = {name: progress.sums.get(name, 0.0) + value for name, value in sums.items()}
                if progress.step % STEPS_A_LINE == 0:
                    log(_line(progress, per_epoch, config, (time.monotonic() - started) / (progress.step - first)))
                if stop or (config.checkpoint_every and (index + 1) % config.checkpoint_every == 0):
                    save()
                if stop:
                    where = f"epoch {progress.epoch}, step {progress.step}"
                    log(f"stopped after {where}; the same command with --resume goes on")
                    raise KeyboardInterrupt
            row = {"epoch": progress.epoch + 1, "learning_rate": rate((progress.epoch + 1) * per_epoch - 1)}
            row |= _means(progress.sums)
            progress.epoch, progress.step, progress.sums = progress.epoch + 1, 0, {}
            if progress.epoch % config.validate_every == 0 or progress.epoch == config.epochs:
                row |= _measure(fabric, task, averaged, folder, progress, config.keep)
            log(
                f"epoch {progress.epoch}/{config.epochs} {_pairs(row, skip='epoch')} {time.monotonic() - started:.0f} s"
            )
            if fabric.is_global_zero:
                runs.append_metrics(folder, row)
            _tell(watchers, "on_epoch", row)
            save()
    if progress.epoch < config.epochs:
        log(f"ended after epoch {progress.epoch}: {config.patience} measurements brought nothing better")
    log(f"best model: {folder / 'best'} {_pairs(progress.best)}".rstrip())
    _tell(watchers, "on_end", folder, runs.read_metrics(folder))
    return progress.best


def _measure(
    fabric: Fabric, task: Task, averaged: nn.Module, folder: Path, progress: Progress, keep: int
) -> dict[str, float]:
    """Releases the averaged network as last/, and as best/ and into top/ if it is that good; returns the metrics."""

    def measure() -> tuple[dict[str, float], dict[str, float]]:
        losses = {}
        if hasattr(task, "validation_loss"):
            measured = copy.copy(task)
            measured.network = averaged
            with torch.no_grad(), fabric.autocast():
                losses["validation_loss"] = measured.validation_loss()
        return losses, task.release(averaged, folder / "last")

    losses, metrics = _on_first(fabric, measure)
    progress.measured.append((progress.epoch, next(iter(metrics.values()), float(progress.epoch))))
    if not waited([value for _, value in progress.measured]):
        progress.best = metrics
    if fabric.is_global_zero:
        runs.keep_models(folder, progress.measured, keep)
    return {**losses, **metrics}


def _is_over(progress: Progress, config: TrainConfig) -> bool:
    """Whether patience has run out."""
    return bool(config.patience) and waited([value for _, value in progress.measured]) >= config.patience


def _on_first(fabric: Fabric, work: Callable[[], Any]) -> Any:
    """What `work` returns in the first process, in all of them."""
    return fabric.broadcast(work() if fabric.is_global_zero else None)


def _tell(watchers: Sequence[Watcher], event: str, *words) -> None:
    for watcher in watchers:
        if hasattr(watcher, event):
            getattr(watcher, event)(*words)


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of weights and of batch norm's statistics."""
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _save(folder: Path, settings: dict, progress: Progress, step: Stepper, averaged: nn.Module) -> None:
    tensors = {
        "network": step.network.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizer": optimizer_tensors(step.optimizer),
    }
    scaler = step.fabric.strategy.precision.state_dict()
    runs.save(folder, progress, tensors, parts=step.parts, scaler=scaler, settings=settings)


def _restore(folder: Path, settings: dict, step: Stepper, averaged: nn.Module) -> Progress:
    progress, tensors, state = runs.load(folder, settings)
    try:
        step.network.load_state_dict(without_prefix("network", tensors))
        averaged.load_state_dict(without_prefix("averaged", tensors))
    except RuntimeError as error:
        raise DataError(f"{folder / CHECKPOINT}: belongs to another network ({error})") from error
    restore_optimizer(step.optimizer, without_prefix("optimizer", tensors))
    step.fabric.strategy.precision.load_state_dict(state["scaler"])
    step.parts = state["parts"]
    return progress


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    """Losses a positive, and positives a sample."""
    sums = dict(sums)
    positives, samples = sums.pop("positives"), sums.pop("samples")
    return {name: total / max(positives, 1) for name, total in sums.items()} | {"positives": positives / samples}


def _advice(error: NotANumberError, progress: Progress, folder: Path) -> str:
    left = f"; {folder / CHECKPOINT} holds the state before" if (folder / CHECKPOINT).exists() else ""
    where = f"in epoch {progress.epoch + 1}, step {progress.step + 1}"
    return f"{error} {where}{left}; try a smaller --learning-rate"


def _line(progress: Progress, per_epoch: int, config: TrainConfig, seconds: float) -> str:
    """A line of progress, at so many seconds a step."""
    left = per_epoch * (config.epochs - progress.epoch) - progress.step
    where = f"epoch {progress.epoch + 1}/{config.epochs} step {progress.step}/{per_epoch}"
    speed = progress.sums["samples"] / progress.step / seconds
    return f"{where} {_pairs(_means(progress.sums))} {speed:.1f} images/s, {left * seconds / 60:.0f} min left"


def _pairs(values: Mapping[str, float], skip: str = "") -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in values.items() if name != skip)


def silent(line: str) -> None:
    """The log of all processes but the first."""
