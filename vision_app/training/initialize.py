"""Weights to start from when there are none: He's and Glorot's ("Xavier") draws, for any network."""

import math
from types import MethodType

import torch
from torch import Tensor, nn

from vision_app.core.errors import UsageError, unknown

TRANSFER = ("head", "last", "all")

INITIALIZATIONS = ("he", "xavier")


@torch.no_grad()
def initialize(network: nn.Module, scheme: str) -> None:
    """Draws the weights of a freshly built network anew, from torch's global random generator.

    With n_in and n_out the numbers of inputs of a value and of values that an input goes to, weights come from
    - "he": a normal distribution of variance 2 / n_in (He et al., 2015, equation 10), for ReLU and its kin;
    - "xavier": a uniform distribution of variance 2 / (n_in + n_out) (Glorot and Bengio, 2010, equation 16).

    Biases become 0, except one that PyTorch cannot have drawn, as it draws from -1 / sqrt(n_in) to 1 / sqrt(n_in): a
    head's layers set that on purpose, to start from "objects are rare". Batch norms become the identity, with fresh
    running statistics.

    Raises:
        UsageError: there is no such scheme.
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
    """Fills a weight, (K, C / groups, F, F) or (N_out, N_in)."""
    window = math.prod(weight.shape[2:])
    n_in, n_out = weight.shape[1] * window, weight.shape[0] // groups * window
    if scheme == "he":
        weight.normal_(0, math.sqrt(2 / n_in))
    else:
        bound = math.sqrt(6 / (n_in + n_out))  # a uniform distribution in -b..b has the variance b^2 / 3
        weight.uniform_(-bound, bound)


def freeze(network: nn.Module, step: str) -> None:
    """Trains one part of a network and freezes the rest, whatever was frozen before.

    Args:
        network: its child `backbone` holds the stages in order, `neck` joins them; all other children are the head.
        step: "head" trains the head alone (few data); "last" the backbone's last stage, the neck and the head;
            "all" everything.

    Raises:
        UsageError: there is no such step.
    """
    if step not in TRANSFER:
        raise UsageError(unknown("transfer step", step, TRANSFER))
    stages = list(network.backbone.children())
    frozen = {"head": [*stages, network.neck], "last": stages[:-1], "all": []}[step]
    for part in (*stages, network.neck):
        if part in frozen:
            hold(part)
        else:
            part.requires_grad_(True)
            vars(part).pop("train", None)
            part.train(network.training)


def hold(part: nn.Module) -> None:
    """Freezes a part of a network: it has no gradients, and stays in evaluation mode when the network is put in
    training mode, so that the running statistics of its batch norms do not change either.
    """
    part.requires_grad_(False)
    part.train = MethodType(_stay_in_evaluation_mode, part)  # which network.train() calls
    part.train(False)


def keep_statistics(network: nn.Module) -> None:
    """Lets batch norms go on with the running statistics that they have; their weights and biases still learn.

    For a trained network whose new data, or small batches, would give it worse ones.
    """
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.train = MethodType(_stay_in_evaluation_mode, part)
            part.train(False)


def _stay_in_evaluation_mode(module: nn.Module, mode: bool = True) -> nn.Module:
    return type(module).train(module, False)
