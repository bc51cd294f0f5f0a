"""Regularization that the loop applies: L1, L2, both together, and adversarial examples.

L2 is the optimizer's weight decay. Label smoothing and dropout belong to the task and its network.
"""

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def shrink(weights: Iterable[Tensor], amount: float) -> None:
    """Pulls weights towards zero by `amount`, in place, and no further than zero: sign(w) max(|w| - amount, 0).

    After each step of gradient descent with `amount` = rate x l1, this minimizes loss + l1 sum |w| (proximal gradient;
    Parikh and Boyd, 2014, section 6.5.2), with weight decay besides the elastic net (Zou and Hastie, 2005). Weights
    that do not matter become exactly 0, which they do not when the penalty is part of the gradient.
    """
    for weight in weights:
        weight.copy_(torch.nn.functional.softshrink(weight, amount))


def adversarial(images: Tensor, gradient: Tensor, epsilon: float) -> Tensor:
    """Fast gradient sign (Goodfellow et al., 2015): images moved by `epsilon` where each pixel hurts most.

    Args:
        images: (B, C, H, W) in 0..1.
        gradient: of the loss by the images, at any scale.
        epsilon: largest change of a pixel.
    """
    return (images + epsilon * gradient.sign()).clamp(0, 1).detach()
