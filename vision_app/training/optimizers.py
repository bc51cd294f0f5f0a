"""Optimizers by name."""

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

BETA_2 = 0.999  # of the Adam family

OPTIMIZERS: dict[str, Callable[[list[dict], float, float], Optimizer]] = {
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


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Sets the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate
