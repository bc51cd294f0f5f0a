"""Make networks with folded batch norms trainable again."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def restore_batch_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of folded batch norms to those of real activations, without changing what is computed.

    A folded norm is y = a x + b with mean 0 and variance 1, and training mode, which normalizes by the batch, would
    throw the pretraining away. With mean m and variance v measured in front of each norm, weight a sqrt(v + eps) and
    bias b + a m compute the same y.

    Args:
        network: A network with batch norms.
        batches: Images as the network takes them; two hundred images are plenty.
    """
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    inputs = {norm: _Moments() for norm in norms}
    hooks = [norm.register_forward_pre_hook(lambda norm, arguments: inputs[norm].add(arguments[0])) for norm in norms]
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm, moments in inputs.items():
        mean = moments.total / moments.count
        variance = (moments.squares / moments.count - mean.square()).clamp(min=1e-6)
        old_mean, old_variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        slope = norm.weight.double() / (old_variance.double() + norm.eps).sqrt()
        norm.bias.copy_(norm.bias.double() + slope * (mean - old_mean.double()))
        norm.weight.copy_(slope * (variance + norm.eps).sqrt())
        old_mean.copy_(mean)
        old_variance.copy_(variance)


class _Moments:
    """Sums over the pixels of (B, C, H, W) activations: (C,) of the values and of their squares."""

    def __init__(self) -> None:
        self.total = self.squares = torch.zeros((), dtype=torch.float64)
        self.count = 0

    def add(self, activations: Tensor) -> None:
        """Add a batch."""
        x = activations.double()
        self.total = self.total + x.sum(dim=(0, 2, 3))
        self.squares = self.squares + x.square().sum(dim=(0, 2, 3))
        self.count += x.numel() // x.shape[1]
