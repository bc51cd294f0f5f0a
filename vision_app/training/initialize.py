"""Weights to start from when there are none: He's and Glorot's ("Xavier") draws, for any network."""

import math

import torch
from torch import Tensor, nn

from vision_app.errors import UsageError, unknown

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
