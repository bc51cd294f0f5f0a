"""Optimizers by name, and their state as flat tensors."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

BETA_2 = 0.999  # of Adam variants
CLASSES: dict[str, Callable[..., Optimizer]] = {
    "adagrad": torch.optim.Adagrad, "rmsprop": torch.optim.RMSprop, "adadelta": torch.optim.Adadelta,
    "adam": torch.optim.Adam, "adamax": torch.optim.Adamax, "nadam": torch.optim.NAdam, "adamw": torch.optim.AdamW,
}  # fmt: skip


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
