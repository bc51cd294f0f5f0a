"""What a network starts from: random weights for any network, and which of its parts are frozen."""

import math
from types import MethodType

import torch
from torch import Tensor, nn

from vision_app.core.errors import UsageError, unknown

INITIALIZATIONS = ("he", "xavier")
TRANSFER = ("head", "last", "all")


@torch.no_grad()
def initialize(network: nn.Module, scheme: str) -> None:
    """Draw the weights of a newly built network from torch's global random generator.

    With n_in and n_out the numbers of inputs of a value and of values that an input goes to, weights come from
    - "he": a normal distribution of variance 2 / n_in (He et al., 2015, equation 10), for ReLU and its kin;
    - "xavier": a uniform distribution of variance 2 / (n_in + n_out) (Glorot and Bengio, 2010, equation 16).

    Biases become 0, except one that PyTorch cannot have drawn, as it draws from -1 / sqrt(n_in) to 1 / sqrt(n_in): a
    head's layers set that on purpose, to start from "objects are rare". Batch norms become the identity, with fresh
    running statistics.

    Args:
        network: A newly built one.
        scheme: One of `INITIALIZATIONS`.

    Raises:
        UsageError: There is no such scheme.
    """
    if scheme not in INITIALIZATIONS:
        raise UsageError(unknown("initialization", scheme, INITIALIZATIONS))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _draw(module.weight, getattr(module, "groups", 1), scheme)
            if module.bias is not None and module.bias.abs().max() <= module.weight[0].numel() ** -0.5:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def _draw(weight: Tensor, groups: int, scheme: str) -> None:
    """Fill a weight, (K, C / groups, F, F) or (N_out, N_in)."""
    window = math.prod(weight.shape[2:])
    n_in, n_out = weight.shape[1] * window, weight.shape[0] // groups * window
    if scheme == "he":
        weight.normal_(0, math.sqrt(2 / n_in))
    else:
        bound = math.sqrt(6 / (n_in + n_out))  # a uniform distribution in -b..b has the variance b^2 / 3
        weight.uniform_(-bound, bound)


def set_trainable(network: nn.Module, transfer: str) -> None:
    """Train one part of a network and freeze the rest, whatever was frozen before.

    Args:
        network: Its child `backbone` has the stages in order, `neck` joins them; all other children are the head.
        transfer: "head" trains the head only (little data); "last" the backbone's last stage, the neck and the head;
            "all" everything.

    Raises:
        UsageError: There is no such choice.
    """
    if transfer not in TRANSFER:
        raise UsageError(unknown("transfer", transfer, TRANSFER))
    stages, neck = list(network.get_submodule("backbone").children()), network.get_submodule("neck")
    frozen = {"head": [*stages, neck], "last": stages[:-1], "all": []}[transfer]
    for part in (*stages, neck):
        if part in frozen:
            freeze(part)
        else:
            part.requires_grad_(True)
            vars(part).pop("train", None)
            part.train(network.training)


def freeze(part: nn.Module) -> None:
    """Freeze a part of a network: it has no gradients, and stays in evaluation mode in `network.train()`.

    So the running statistics of its batch norms do not change either.
    """
    part.requires_grad_(False)
    _stay_in_evaluation_mode(part)


def keep_statistics(network: nn.Module) -> None:
    """Freeze the running statistics of batch norms; their weights and biases are still trained.

    For a trained network whose new data, or small batches, would give it worse ones.
    """
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            _stay_in_evaluation_mode(part)


def _stay_in_evaluation_mode(part: nn.Module) -> None:
    vars(part)["train"] = MethodType(_train_nothing, part)  # which network.train() calls
    part.train(False)


def _train_nothing(module: nn.Module, mode: bool = True) -> nn.Module:
    return type(module).train(module, False)
