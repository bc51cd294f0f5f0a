"""One step of training, on one device or many: gradients of a whole batch, regularization, clipping, optimizers."""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor, nn
from torch.optim import Optimizer

from vision_app.core.child_process import end_with_parent
from vision_app.core.errors import DataError, UsageError
from vision_app.core.tensors import set_learning_rate
from vision_app.released.execution import Execution
from vision_app.training.config import TrainConfig
from vision_app.training.task import TrainingTask

BETA_2 = 0.999  # of Adam variants
CLASSES: dict[str, Callable[..., Optimizer]] = {
    "adagrad": torch.optim.Adagrad, "rmsprop": torch.optim.RMSprop, "adadelta": torch.optim.Adadelta,
    "adam": torch.optim.Adam, "adamax": torch.optim.Adamax, "nadam": torch.optim.NAdam, "adamw": torch.optim.AdamW,
}  # fmt: skip
OutOfMemory = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
SMALLEST_SCALE = 2.0**-10  # of fp16's loss; halved down to here, from 65536, no gradient will ever be finite
OUT_OF_MEMORY_ON_CPU = ("not enough memory", "DefaultCPUAllocator")


class Autocast(MixedPrecision):
    """Fabric's mixed precision, which converts all inputs of a network, but frozen dataclasses among them fail."""

    def convert_input(self, data: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        """Convert the arguments that are tensors; other targets stay as they are, in full precision."""
        (arguments, named), convert = data, super().convert_input
        return tuple(convert(x) if isinstance(x, Tensor) else x for x in arguments), named


class NotANumberError(DataError):
    """A loss or gradient that is infinite or not a number."""


def make_fabric(config: TrainConfig) -> Fabric:
    """Launch processes on their devices with the configured precision; under `torchrun`, join those that it started.

    Raises:
        UsageError: There are more processes than samples in a batch, or than devices that were named.
    """
    device = torch.device(Execution(config.device, "torch").resolved().device)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", config.devices))
    nodes = max(1, int(os.environ.get("WORLD_SIZE", local)) // local)
    if local * nodes > config.batch_size:
        raise UsageError(f"--batch-size {config.batch_size}: must be at least the number of processes, {local * nodes}")
    if device.index is not None and local > 1:
        raise UsageError(f"--device {config.device}: is one device for {local} processes; use --device {device.type}")
    precisions: dict[str, Literal["16-mixed", "bf16-mixed"]] = {"bf16": "bf16-mixed", "fp16": "16-mixed"}
    mixed = precisions.get(_precision(config.precision, device))
    fabric = Fabric(
        accelerator=device.type,
        devices=local if device.index is None else [device.index],
        num_nodes=nodes,
        strategy="ddp" if local * nodes > 1 else "auto",
        plugins=Autocast(mixed, device.type) if mixed else None,
    )
    fabric.launch()
    if fabric.local_rank:  # of the processes that the first one started, or torchrun
        end_with_parent()
    return fabric


def _precision(name: str, device: torch.device) -> str:
    if name != "auto":
        return name
    return "bf16" if bf16_is_fast(device) else "fp32"


def bf16_is_fast(device: torch.device) -> bool:
    """Return whether a device computes in bf16; others only imitate it, many times slower."""
    cpu = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)  # torch has no public name for it
    return bool(torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu())


class Stepper:
    """Takes steps with a task's network.

    Attributes:
        network: The bare module, whatever wraps it for many processes.
        optimizer: The bare optimizer.
        parts: Gradient-accumulation steps of this process; doubled when memory runs out.
    """

    def __init__(self, task: TrainingTask, config: TrainConfig, fabric: Fabric, log: Callable[[str], None] = print):
        self.task, self.config, self.fabric, self.log = task, config, fabric, log
        self.network = task.network.to(fabric.device, memory_format=torch.channels_last)
        if fabric.world_size > 1 and fabric.device.type == "cuda":  # it knows no other device
            nn.SyncBatchNorm.convert_sync_batchnorm(self.network)  # type: ignore[no-untyped-call]
        self.optimizer = build_optimizer(
            config.optimizer,
            self.network,
            config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self.parts = config.accumulate
        self._model, self._optimizer = fabric.setup(self.network, self.optimizer)

    def __call__(
        self, index: int, rate: float, images: Tensor, targets: Any, *, stop: bool = False
    ) -> dict[str, float]:
        """Take a step.

        Every random choice in it is a function of (seed, index, process), so that no random state has to be kept.

        Args:
            index: Of the step in the whole run.
            rate: Learning rate.
            images: This process's share of the batch.
            targets: Likewise.
            stop: Whether this process wants to end the run.

        Returns:
            Sums over the whole batch of all processes: "loss", "positives", the parts of the loss, "samples", how many
            there were, and "stop", how many processes want to end the run.

        Raises:
            NotANumberError: Loss or gradient are not finite; the weights have not changed. In fp16, where such a
                gradient is skipped and the loss scaled down, only when that has been repeated too often.
            DataError: Memory ran out.
        """
        sums = self._gradients_in_memory(index, images, targets)
        sums |= {"samples": torch.tensor(float(len(images))), "stop": torch.tensor(float(stop))}
        totals = torch.stack([value.to(self.fabric.device, torch.float64) for value in sums.values()])
        totals = torch.as_tensor(self.fabric.all_reduce(totals, reduce_op="sum"))
        # Processes average their gradients; what is wanted is the gradient of sum / number of positives.
        positives = totals[list(sums).index("positives")].clamp(min=1)
        factor = (self.config.batch_size * self.fabric.world_size / positives).float()
        for parameter in self.network.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
        clipped = self.fabric.clip_gradients(
            self._model, self._optimizer, max_norm=self.config.clip, error_if_nonfinite=False
        )
        *numbers, norm = torch.cat([totals, torch.as_tensor(clipped)[None]]).tolist()
        values: dict[str, float] = dict(zip(sums, numbers, strict=True))
        scaler = self.fabric.strategy.precision.state_dict()  # of fp16, or empty
        skipped = bool(scaler) and not math.isfinite(norm)  # by the scaler, which lowers its scale then
        hopeless = skipped and scaler["scale"] < SMALLEST_SCALE
        for what, value in {"loss": values["loss"], "gradient": 0.0 if skipped and not hopeless else norm}.items():
            if not math.isfinite(value):
                raise NotANumberError(f"the {what} became {value}")
        set_learning_rate(self.optimizer, rate)
        self._optimizer.step()
        if self.config.l1 and not skipped:
            shrink(weights(self.network), rate * self.config.l1)
        return values

    def _gradients_in_memory(self, index: int, images: Tensor, targets: Any) -> dict[str, Tensor]:
        """Call `_gradients` with as many parts as it takes; several processes must agree and take what was asked."""
        while True:
            try:
                return self._gradients(index, images, targets)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if self.fabric.world_size > 1 or self.parts >= len(images):
                    wanted = "smaller images" if self.parts >= len(images) else f"--accumulate {2 * self.parts}"
                    raise DataError(f"memory ran out; try {wanted} or a smaller --batch-size") from error
            self.parts *= 2
            self.log(f"memory ran out; gradients are accumulated over {self.parts} parts of each batch from now on")
            if self.fabric.device.type == "cuda":
                torch.cuda.empty_cache()

    def _gradients(self, index: int, images: Tensor, targets: Any) -> dict[str, Tensor]:
        """Leave the gradient of sum of losses / batch size in the weights and return the sums."""
        seeds = np.random.SeedSequence((self.config.seed, index, self.fabric.global_rank))
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        self._optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        bounds = [len(images) * i // self.parts for i in range(self.parts + 1)]
        for start, end in pairwise(bounds):
            if start == end:
                continue
            part = images[start:end].to(self.fabric.device, memory_format=torch.channels_last)
            if self.config.adversarial:  # clean and perturbed samples count alike
                part.requires_grad_()
                self._backward(part, targets[start:end], sums, synchronize=False)
                assert part.grad is not None
                part = adversarial(part.detach(), part.grad, self.config.adversarial)
            self._backward(part, targets[start:end], sums, synchronize=end == len(images))
        return sums

    def _backward(self, images: Tensor, targets: Any, sums: dict[str, Tensor], *, synchronize: bool) -> None:
        """Add the gradient and the sums of some samples; the last ones of a step synchronize the processes."""
        with self.fabric.no_backward_sync(self._model, enabled=not synchronize):
            with_targets = getattr(self.task, "with_targets", False)
            output = self._model(images, targets) if with_targets else self._model(images)
            loss, positives, parts = self.task.loss(images, output, targets)
            self.fabric.backward(loss / self.config.batch_size)
        for name, value in {"loss": loss, "positives": positives, **parts}.items():
            sums[name] = sums.get(name, 0.0) + torch.as_tensor(value).detach()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, OutOfMemory) or any(words in str(error) for words in OUT_OF_MEMORY_ON_CPU)


@torch.no_grad()
def shrink(weights: Iterable[Tensor], amount: float) -> None:
    """Move weights towards zero by `amount`, in place, and no further than zero: sign(w) max(|w| - amount, 0).

    After each step of gradient descent with `amount` = rate x l1, this minimizes loss + l1 sum |w| (proximal gradient;
    Parikh and Boyd, 2014, section 6.5.2), with weight decay besides the elastic net (Zou and Hastie, 2005). Weights
    that do not matter become exactly 0, which they do not when the penalty is part of the gradient.
    """
    for weight in weights:
        weight.copy_(torch.nn.functional.softshrink(weight, amount))


def adversarial(images: Tensor, gradient: Tensor, epsilon: float) -> Tensor:
    """Return fast gradient sign examples (Goodfellow et al., 2015): each pixel moved to where it hurts most.

    Args:
        images: (B, C, H, W) in 0..1.
        gradient: Of the loss with respect to the images, at any scale.
        epsilon: Change of a pixel.
    """
    return (images + epsilon * gradient.sign()).clamp(0, 1).detach()


def weights(network: nn.Module) -> list[nn.Parameter]:
    """Return what is regularized: trainable weights, not biases and norms (He et al., 2019, "Bag of tricks")."""
    return [p for p in network.parameters() if p.requires_grad and p.ndim > 1]


def build_optimizer(name: str, network: nn.Module, rate: float, *, momentum: float, weight_decay: float) -> Optimizer:
    """Return an optimizer of the trainable parameters of a network.

    Args:
        name: One of `config.OPTIMIZERS`.
        network: Its weights decay, its biases and norms do not.
        rate: Learning rate.
        momentum: Of "momentum" and "nesterov", beta 1 of Adam variants; the others have none.
        weight_decay: "adamw" decays the weights themselves (Loshchilov and Hutter, 2019), the others add it to the
            gradient.
    """
    rest = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": weights(network), "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    if name in ("sgd", "momentum", "nesterov"):
        return torch.optim.SGD(groups, rate, 0.0 if name == "sgd" else momentum, nesterov=name == "nesterov")
    betas = {"betas": (momentum, BETA_2)} if "adam" in name else {}
    return CLASSES[name](groups, rate, **betas)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer as flat tensors named `index.name`."""
    entries = optimizer.state_dict()["state"].items()
    return {f"{i}.{name}": value for i, entry in entries for name, value in entry.items() if value is not None}


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` returned; learning rates stay those of `optimizer`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, entry in optimizer.state.items():
        for name, value in entry.items():
            if value.shape == parameter.shape:  # laid out as its weight, or a GPU cannot step all at once
                entry[name] = torch.empty_like(parameter).copy_(value)
