"""The training loop, read top to bottom: batches, steps, EMA weights, validation, checkpoints.

It knows nothing of what is learned: that is a `TrainingTask`. One step is in `step`, the folder of a run in `runs`.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from lightning_fabric import Fabric
from torch import nn

from vision_app.core.errors import DataError
from vision_app.core.files import atomic_write
from vision_app.core.interrupt import Interrupt
from vision_app.core.tensors import without_prefix
from vision_app.core.text import format_rate
from vision_app.training import runs
from vision_app.training.config import TrainConfig
from vision_app.training.learning_rate import learning_rate
from vision_app.training.runs import CHECKPOINT, SETTINGS, RunState
from vision_app.training.schedules import waited
from vision_app.training.step import NotANumberError, Stepper, make_fabric, optimizer_tensors, restore_optimizer
from vision_app.training.task import TrainingTask

SHOWN_STEPS = 3  # at the start of a run, for callbacks
STEPS_A_LINE, SECONDS_A_LINE = 25, 30  # whichever is over first
Result = TypeVar("Result")


def fit(
    task: TrainingTask,
    config: TrainConfig,
    folder: Path,
    *,
    inputs: Mapping[str, Any] | None = None,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence[object] = (),
) -> dict[str, float]:
    """Train `task.network` and leave a run in `folder`.

    That is: config.json, metrics.csv, last.safetensors, and the model folders initial/ (before training), best/, last/
    and top/epoch-N. A run that was interrupted at any moment resumes from its last checkpoint exactly as if it had not
    been interrupted. Ctrl-C writes a checkpoint after the current step.

    A resumed run may have more epochs than before, finished or not. From there on it is what it would be with so many
    epochs from the start: schedules that depend on the length of the run take up the learning rate that the longer run
    has at this step, which for falling ones is higher than where the shorter run ended.

    Args:
        task: What is learned.
        config: How.
        folder: Of the run; `runs.check_run_folder` says whether it may be written.
        inputs: What the run is made from beyond `config`, by option; a resumed run must be made from the same.
        resume: Whether to resume a run in the folder.
        log: Called with one line at a time.
        callbacks: Objects with any of the methods of `task.Callback`.

    Returns:
        The metrics of the best network.

    Raises:
        UsageError: The resumed run had another configuration, or more epochs.
        DataError: The loss is not a number any more, memory ran out, or the checkpoint to resume from cannot be used.
        KeyboardInterrupt: After Ctrl-C.
    """
    fabric = make_fabric(config)
    if not fabric.is_global_zero:
        log, callbacks = silent, ()
    folder.mkdir(parents=True, exist_ok=True)
    step = Stepper(task, config, fabric, log)
    ema = copy.deepcopy(step.network).eval().requires_grad_(False)
    settings = asdict(config) | dict(inputs or {})
    state = RunState()
    if resume and (folder / CHECKPOINT).exists():
        state = _restore(folder, settings, step, ema)
        log(f"resuming after epoch {state.epoch} of {config.epochs}" + f", step {state.step}" * bool(state.step))
    elif resume:
        log(f"{folder} contains nothing to resume; a new run starts")
    fabric.barrier()  # every process has read the checkpoint before one writes the next
    if fabric.is_global_zero:
        with atomic_write(folder / SETTINGS) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    _tell(callbacks, "on_start", folder, task, config)

    per_epoch = task.batches_per_epoch(config)

    def rate(index: int) -> float:
        return learning_rate(config, index, per_epoch, state.metrics)

    def save() -> None:
        if fabric.is_global_zero:
            tensors = {
                "network": step.network.state_dict(),
                "averaged": ema.state_dict(),
                "optimizer": optimizer_tensors(step.optimizer),
            }
            scaler = fabric.strategy.precision.state_dict()
            runs.save(folder, state, tensors, parts=step.parts, scaler=scaler, settings=settings)

    if state == RunState():
        measured = _pairs(_on_first(fabric, lambda: task.release(ema, folder / "initial")))
        if measured:
            log(f"before training: {measured}")
    with Interrupt() as interrupt:
        while state.epoch < config.epochs and waited(state.metrics) < (config.patience or math.inf):
            step.network.train()
            started, first = time.monotonic(), state.step
            said = started
            share = {"rank": fabric.global_rank, "world": fabric.world_size}
            for images, targets in task.batches(config, state.epoch, **share, start=first):
                index = state.epoch * per_epoch + state.step
                if index < SHOWN_STEPS:
                    _tell(callbacks, "on_batch", folder, index, images, targets)
                try:
                    sums = step(index, rate(index), images, targets, stop=interrupt.asked)
                except NotANumberError as error:
                    raise DataError(_advice(error, state, folder)) from error
                _update_ema(ema, step.network, min(config.ema_decay, (index + 1) / (index + 10)))
                stop = sums.pop("stop") > 0
                state.step += 1
                state.sums = {name: state.sums.get(name, 0.0) + value for name, value in sums.items()}
                now = time.monotonic()
                if state.step % STEPS_A_LINE == 0 or now - said > SECONDS_A_LINE:
                    said = now
                    log(_line(state, per_epoch, config, (now - started) / (state.step - first)))
                if stop or (config.checkpoint_every and (index + 1) % config.checkpoint_every == 0):
                    save()
                if stop:
                    where = f"epoch {state.epoch}, step {state.step}"
                    log(f"interrupted after {where}; the same command with --resume continues")
                    raise KeyboardInterrupt
            row = {"epoch": state.epoch + 1, "learning_rate": rate((state.epoch + 1) * per_epoch - 1)}
            row |= _means(state.sums)
            state.epoch, state.step, state.sums = state.epoch + 1, 0, {}
            if state.epoch % config.validate_every == 0 or state.epoch == config.epochs:
                row |= _validate(fabric, task, ema, folder, state, config.keep)
            values = {name: value for name, value in row.items() if name != "epoch"}
            log(f"epoch {state.epoch}/{config.epochs} {_pairs(values)} {time.monotonic() - started:.0f} s")
            if fabric.is_global_zero:
                runs.append_metrics(folder, row)
            _tell(callbacks, "on_epoch", folder, row)
            save()
    if state.epoch < config.epochs:
        log(f"stopped after epoch {state.epoch}: no improvement in {config.patience} validations")
    log(f"best model: {folder / 'best'} {_pairs(state.best)}".rstrip())
    _tell(callbacks, "on_end", folder, runs.read_metrics(folder))
    return state.best


def _validate(
    fabric: Fabric, task: TrainingTask, ema: nn.Module, folder: Path, state: RunState, keep: int
) -> dict[str, float]:
    """Release the EMA network as last/, and as best/ and into top/ if it is that good; return the metrics."""

    def measure() -> tuple[dict[str, float], dict[str, float]]:
        losses: dict[str, float] = {}
        if hasattr(task, "validation_loss"):
            measured = copy.copy(task)
            measured.network = ema
            with torch.no_grad(), fabric.autocast():
                losses["validation_loss"] = measured.validation_loss()
        return losses, task.release(ema, folder / "last")

    losses, metrics = _on_first(fabric, measure)
    state.measured.append((state.epoch, next(iter(metrics.values()), float(state.epoch))))
    if not waited(state.metrics):
        state.best = metrics
    if fabric.is_global_zero:
        runs.keep_models(folder, state.measured, keep)
    return {**losses, **metrics}


def _on_first(fabric: Fabric, work: Callable[[], Result]) -> Result:
    """Return what `work` returns in the first process, in all of them."""
    return cast(Result, fabric.broadcast(work() if fabric.is_global_zero else None))


def _tell(callbacks: Sequence[object], event: str, *words: object) -> None:
    for callback in callbacks:
        if hasattr(callback, event):
            getattr(callback, event)(*words)


@torch.no_grad()
def _update_ema(ema: nn.Module, network: nn.Module, decay: float) -> None:
    """Update the exponential moving average of weights and of batch norm's statistics."""
    for mean, value in zip(ema.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _restore(folder: Path, settings: dict[str, Any], step: Stepper, ema: nn.Module) -> RunState:
    state, tensors, saved = runs.load(folder, settings)
    try:
        step.network.load_state_dict(without_prefix("network", tensors))
        ema.load_state_dict(without_prefix("averaged", tensors))
    except RuntimeError as error:
        raise DataError(f"{folder / CHECKPOINT}: belongs to another network ({error})") from error
    restore_optimizer(step.optimizer, without_prefix("optimizer", tensors))
    step.fabric.strategy.precision.load_state_dict(saved["scaler"])
    step.parts = saved["parts"]
    return state


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    """Return losses a positive, and positives a sample."""
    sums = dict(sums)
    positives, samples = sums.pop("positives"), sums.pop("samples")
    return {name: total / max(positives, 1) for name, total in sums.items()} | {"positives": positives / samples}


def _advice(error: NotANumberError, state: RunState, folder: Path) -> str:
    left = f"; {folder / CHECKPOINT} has the state before" if (folder / CHECKPOINT).exists() else ""
    return f"{error} in epoch {state.epoch + 1}, step {state.step + 1}{left}; try a smaller --learning-rate"


def _line(state: RunState, per_epoch: int, config: TrainConfig, seconds: float) -> str:
    """Return a line of progress, at so many seconds a step."""
    left = per_epoch * (config.epochs - state.epoch) - state.step
    where = f"epoch {state.epoch + 1}/{config.epochs} step {state.step}/{per_epoch}"
    speed = format_rate(state.sums["samples"] / state.step, seconds)
    return f"{where} {_pairs(_means(state.sums))} {speed}, {left * seconds / 60:.0f} min left"


def _pairs(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in values.items())


def silent(line: str) -> None:
    """Log nothing, as all processes but the first."""
