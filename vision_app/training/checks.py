"""Sanity checks before a long run: does a loss have the gradient that it claims, can a network learn one batch?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vision_app.core.tensors import set_learning_rate

GRADIENT_BOUND = 1e-6  # far above what rounding leaves in float64, far below any slip in a formula
STEP = 1e-6
CLIP = 10.0  # of the gradient's norm


@dataclass(frozen=True)
class Check:
    """The result of a check: its name, whether it passed, and why, in one line."""

    name: str
    passed: bool
    found: str

    def __str__(self) -> str:
        return f"{self.name}: {'ok' if self.passed else 'FAILED'}, {self.found}"


def gradient_errors(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[float]:
    """Compare the gradients of a function with central differences, (f(x + h) - f(x - h)) / 2h with h = 1e-6.

    What the function detaches is a constant to its gradient, and so it keeps its value at `inputs` while these are
    moved: a loss with matches, weights or targets made from its own predictions can be checked as a whole.

    Args:
        function: Of the inputs, to a scalar or a vector of T values. It must be smooth around the inputs, which is so
            almost everywhere, for random inputs.
        inputs: float64 tensors.

    Returns:
        For each value |a - n| / (|a| + |n|), with a and n the gradients by backpropagation and by differences over all
        inputs together, from 0 (equal, or both zero) to 1. To be compared with GRADIENT_BOUND.
    """
    constants = _Constants()
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    with constants:
        values = function(*leaves).reshape(-1)  # (T,)
    if not values.requires_grad:
        raise ValueError("the function does not depend on its inputs")
    analytic = torch.stack([_flat_gradient(value, leaves) for value in values])  # (T, E)
    moved = [tensor.detach().clone() for tensor in inputs]
    columns = []
    for tensor in moved:
        flat = tensor.view(-1)
        for i, center in enumerate(flat.tolist()):
            sides = []
            for side in (center + STEP, center - STEP):
                flat[i] = side
                with constants.replayed(), torch.no_grad():
                    sides.append(function(*moved).reshape(-1))
            flat[i] = center
            columns.append((sides[0] - sides[1]) / (2 * STEP))
    numeric = torch.stack(columns, dim=1)  # (T, E)
    scale = analytic.norm(dim=1) + numeric.norm(dim=1)
    errors: list[float] = ((analytic - numeric).norm(dim=1) / scale.clamp(min=1e-300)).tolist()
    return errors


def _flat_gradient(value: Tensor, leaves: Sequence[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


class _Constants(TorchFunctionMode):
    """Records what is detached in the first call of a function, and answers with the same in later calls."""

    def __init__(self) -> None:
        super().__init__()
        self._values: list[Tensor] = []
        self._replayed: Iterator[Tensor] | None = None

    def replayed(self) -> "_Constants":
        self._replayed = iter(self._values)
        return self

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is not Tensor.detach:
            return result
        if self._replayed:
            return next(self._replayed).clone()
        self._values.append(result.clone())
        return result


def overfit(
    network: nn.Module, images: Tensor, loss: Callable[[Tensor], Tensor], *, steps: int, learning_rate: float = 3e-3
) -> Iterator[float]:
    """Train a network in place on one batch, with Adam and a learning rate that falls linearly to 0.

    A network and a loss that fit each other bring any small batch to nearly no loss; a loss that stays high shows a
    fault in targets, loss, gradients or the network, which a long run would only hide.

    Args:
        network: What is trained.
        images: (B, C, H, W), the same in every step.
        loss: Of the network's output.
        steps: Number of steps.
        learning_rate: Of the first step.

    Yields:
        The loss before each step.
    """
    optimizer = torch.optim.Adam(network.parameters(), learning_rate, betas=(0.9, 0.99))
    network.train()
    for step in range(steps):
        set_learning_rate(optimizer, learning_rate * (1 - step / steps))
        value = loss(network(images))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        yield value.item()
