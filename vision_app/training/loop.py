"""The training loop, read top to bottom: batches, loss, optimizer, averaged weights, validation, checkpoints.

It knows nothing of the task: that is a `Task`, which makes batches, computes the loss, and releases and measures a
network.
"""

import copy
import csv
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from vision_app.errors import DataError, UsageError, nearest
from vision_app.runtime import resolve
from vision_app.training import checkpoints
from vision_app.training.schedules import warmup_cosine

PRECISIONS = ("auto", "fp32", "bf16")
CHECKPOINT = "last.safetensors"


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained; the defaults are those of the released detector.

    Attributes:
        epochs: passes over the data.
        batch_size: samples a step.
        learning_rate: of AdamW after the warm-up.
        weight_decay: of AdamW, on convolution weights only.
        warmup_epochs: until the full learning rate.
        average: decay of the exponential moving average of the weights, which is what gets measured and released.
        clip: largest norm of the gradient.
        validate_every: epochs between measurements; the last epoch is always measured.
        seed: of data order, augmentation and initial weights.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "bf16" (autocast), "fp32", or "auto": bf16 where the processor computes in it, fp32 elsewhere, where
            bf16 is many times slower.
    """

    epochs: int = 16
    batch_size: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup_epochs: float = 0.5
    average: float = 0.998
    clip: float = 10.0
    validate_every: int = 4
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"

    def __post_init__(self):
        for name, low, high in (
            ("epochs", 1, 10_000), ("batch_size", 1, 4096), ("learning_rate", 1e-7, 10.0), ("weight_decay", 0.0, 10.0),
            ("warmup_epochs", 0.0, 10_000.0), ("average", 0.0, 1.0), ("clip", 1e-3, 1e6), ("validate_every", 1, 10_000),
            ("seed", 0, 2**32 - 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"--{name.replace('_', '-')} {value}: must lie between {low} and {high}")
        if self.precision not in PRECISIONS:
            guess = nearest(self.precision, PRECISIONS)
            hint = f"; did you mean {guess}?" if guess else ""
            raise UsageError(f"--precision {self.precision}: must be one of {', '.join(PRECISIONS)}{hint}")
        resolve(self.device, "torch")


class Task(Protocol):
    """What is learned."""

    network: nn.Module

    def batches_per_epoch(self, config: TrainConfig) -> int: ...

    def batches(self, config: TrainConfig, epoch: int) -> Iterable:
        """The (images, targets) of an epoch, a pure function of (seed, epoch)."""

    def loss(self, images: Tensor, output: Tensor, targets) -> tuple[Tensor, dict[str, float]]:
        """The loss to minimize and its parts, for the log."""

    def release(self, network: nn.Module, folder: Path) -> dict[str, float]:
        """Writes a model folder and measures it on the validation data; the first metric decides which one is best."""


def check_run_folder(folder: Path, resume: bool) -> None:
    """Raises UsageError if a run lies in `folder` that is not to be resumed; worth knowing before anything is read."""
    if (folder / CHECKPOINT).exists() and not resume:
        raise UsageError(f"--output {folder}: holds a run already; --resume continues it")


def fit(
    task: Task,
    config: TrainConfig,
    folder: Path,
    *,
    inputs: Mapping[str, str] | None = None,
    resume: bool = False,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Trains `task.network` and leaves in `folder`: config.json, metrics.csv, last.safetensors, and the
    model folders initial/ (before training), best/ and last/.

    A run that was stopped and is resumed goes on from its last whole epoch exactly as if it had not been stopped.

    Args:
        folder: of the run; must not hold another run unless it is resumed.
        inputs: what the run is made from beyond `config`, by option; a resumed run must be made from the same.
        log: called with one line at a time.

    Returns:
        The metrics of the best network.

    Raises:
        UsageError: the folder holds a run and `resume` is False, or the resumed run had another configuration.
        DataError: the loss is no number any more, or the checkpoint to resume from cannot be used.
    """
    check_run_folder(folder, resume)
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / CHECKPOINT

    device = torch.device(resolve(config.device, "torch")[0])
    network = task.network.to(device, memory_format=torch.channels_last)
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(_parameter_groups(network, config.weight_decay), lr=config.learning_rate)
    settings = asdict(config) | dict(inputs or {})
    first, best = 0, {}
    if resume and last.exists():
        first, best = _restore(last, network, averaged, optimizer, settings)
        log(f"resuming after epoch {first} of {config.epochs}")
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    mixed = config.precision == "bf16" or (config.precision == "auto" and _computes_bf16(device))
    per_epoch = task.batches_per_epoch(config)
    steps, warmup = config.epochs * per_epoch, max(1, int(config.warmup_epochs * per_epoch))
    if first == 0:
        metrics = task.release(averaged, folder / "initial")
        log("before training: " + _pairs(metrics))
    for epoch in range(first, config.epochs):
        network.train()
        started, sums = time.monotonic(), {}
        for i, (images, targets) in enumerate(task.batches(config, epoch)):
            step = epoch * per_epoch + i
            rate = config.learning_rate * warmup_cosine(step, steps, warmup)
            for group in optimizer.param_groups:
                group["lr"] = rate
            images = images.to(device).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                output = network(images)
            loss, parts = task.loss(images, output, targets)
            if not torch.isfinite(loss):
                raise DataError(f"the loss became {loss.item()} in epoch {epoch + 1}; try a smaller --learning-rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            optimizer.step()
            _average(averaged, network, min(config.average, (step + 1) / (step + 10)))
            for name, value in {"loss": loss.item(), **parts}.items():
                sums[name] = sums.get(name, 0.0) + value
            if (i + 1) % 25 == 0:
                log(_progress(epoch, i + 1, per_epoch, sums, started, config))
        row = {"epoch": epoch + 1, "learning_rate": rate, **{name: total / per_epoch for name, total in sums.items()}}
        if (epoch + 1) % config.validate_every == 0 or epoch + 1 == config.epochs:
            metrics = task.release(averaged, folder / "last")
            row |= metrics
            decisive = next(iter(metrics))
            if not best or metrics[decisive] > best[decisive]:
                best = metrics
                _replace_folder(folder / "best", folder / "last")
        log(f"epoch {epoch + 1}/{config.epochs} " + _pairs(row, skip="epoch") + f" {time.monotonic() - started:.0f} s")
        _append(folder / "metrics.csv", row)
        _save(last, network, averaged, optimizer, epoch + 1, best, settings)
    return best


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()  # torch has no public name for it


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay pulls on convolution weights, not on biases and norms (He et al., 2019, "Bag of tricks")."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of weights and of batch norm's statistics."""
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _replace_folder(folder: Path, source: Path) -> None:
    """Makes `folder` a copy of `source`, never a mixture of old and new files."""
    temporary, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, temporary)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _save(path, network, averaged, optimizer, epoch, best, settings) -> None:
    tensors = {
        **checkpoints.with_prefix("network", network.state_dict()),
        **checkpoints.with_prefix("averaged", averaged.state_dict()),
        **checkpoints.with_prefix("optimizer", checkpoints.optimizer_tensors(optimizer)),
    }
    checkpoints.save(path, tensors, {"epoch": epoch, "best": best, "settings": settings})


def _restore(path, network, averaged, optimizer, settings) -> tuple[int, dict[str, float]]:
    tensors, state = checkpoints.load(path)
    for key, value in settings.items():
        was = state.get("settings", {}).get(key)
        if was != value:
            raise UsageError(f"--{key.replace('_', '-')} {value}: the run to resume was started with {was}")
    try:
        network.load_state_dict(checkpoints.without_prefix("network", tensors))
        averaged.load_state_dict(checkpoints.without_prefix("averaged", tensors))
    except RuntimeError as error:
        raise DataError(f"{path}: belongs to another network ({error})") from error
    checkpoints.restore_optimizer(optimizer, checkpoints.without_prefix("optimizer", tensors))
    return state["epoch"], state["best"]


def _append(path: Path, row: dict[str, float]) -> None:
    """Adds a row to a CSV file, whose header grows with new columns, and drops what is there of later epochs."""
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
    rows = [r for r in rows if int(r["epoch"]) < row["epoch"]] + [row]
    columns = list(dict.fromkeys(key for r in rows for key in r))
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def _progress(epoch, done, per_epoch, sums, started, config) -> str:
    seconds = time.monotonic() - started
    left = (per_epoch * (config.epochs - epoch) - done) * seconds / done
    means = _pairs({name: total / done for name, total in sums.items()})
    rate = done * config.batch_size / seconds
    where = f"epoch {epoch + 1}/{config.epochs} step {done}/{per_epoch}"
    return f"{where} {means} {rate:.1f} images/s, {left / 60:.0f} min left"


def _pairs(values: dict[str, float], skip: str = "") -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in values.items() if name != skip)
