"""Optimizers by name, and their state as flat tensors."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

BETA_2 = 0.999  # of the Adam family

OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], float, float], Optimizer]] = {
    "sgd": lambda groups, rate, momentum: torch.optim.SGD(groups, rate),
    "momentum": lambda groups, rate, momentum: torch.optim.SGD(groups, rate, momentum),
    "nesterov": lambda groups, rate, momentum: torch.optim.SGD(groups, rate, momentum, nesterov=True),
    "adagrad": lambda groups, rate, momentum: torch.optim.Adagrad(groups, rate),
    "rmsprop": lambda groups, rate, momentum: torch.optim.RMSprop(groups, rate),
    "adadelta": lambda groups, rate, momentum: torch.optim.Adadelta(groups, rate),
    "adam": lambda groups, rate, momentum: torch.optim.Adam(groups, rate, (momentum, BETA_2)),
    "adamax": lambda groups, rate, momentum: torch.optim.Adamax(groups, rate, (momentum, BETA_2)),
    "nadam": lambda groups, rate, momentum: torch.optim.NAdam(groups, rate, (momentum, BETA_2)),
    "adamw": lambda groups, rate, momentum: torch.optim.AdamW(groups, rate, (momentum, BETA_2)),
}


def weights(network: nn.Module) -> list[nn.Parameter]:
    """What regularization pulls on: trainable weights, not biases and norms (He et al., 2019, "Bag of tricks")."""
    return [p for p in network.parameters() if p.requires_grad and p.ndim > 1]


def build_optimizer(name: str, network: nn.Module, rate: float, *, momentum: float, weight_decay: float) -> Optimizer:
    """An optimizer of what is trainable in a network.

    Args:
        name: in `OPTIMIZERS`.
        rate: learning rate.
        momentum: of "momentum" and "nesterov", beta 1 of the Adam family; the others have none.
        weight_decay: on weights only. "adamw" decays the weights themselves (Loshchilov and Hutter, 2019), the others
            add it to the gradient.
    """
    rest = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": weights(network), "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return OPTIMIZERS[name](groups, rate, momentum)


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
