"""The costs of neural style transfer, each a formula of Gatys et al., 2016, "Image style transfer using convolutional
neural networks", as sums over all positions and channels. Needs torch.
"""

from torch import Tensor
from torch.autograd import Function

SMOOTHING = 1e-4  # added under the root of total variation, whose slope has no limit where a picture is flat


def content_cost(features: Tensor, target: Tensor) -> Tensor:
    """Half the squared distance of two pictures' features, J_content = 1/2 ||a(C) - a(G)||^2.

    Args:
        features, target: (B, C, H, W), of one layer.

    Returns:
        A scalar, from 0 on.
    """
    return 0.5 * (features - target).square().sum()


def gram_matrix(features: Tensor) -> Tensor:
    """What channels do together, wherever in the picture: G_kk' = sum over i, j of a_ijk a_ijk'.

    It grows with the number of positions: to compare pictures of different sizes, divide by it.

    Args:
        features: (B, C, H, W).

    Returns:
        (B, C, C), symmetric.
    """
    return _Gram.apply(features)


def style_layer_cost(gram: Tensor, target: Tensor, positions: int) -> Tensor:
    """The distance of two Gram matrices of one layer, 1 / (2 n_H n_W n_C)^2 sum over k, k' of (G_kk' - target_kk')^2.

    Args:
        gram, target: (B, C, C), both of as many positions.
        positions: n_H n_W.

    Returns:
        A scalar, from 0 on.
    """
    return (gram - target).square().sum() / (2 * positions * gram.shape[-1]) ** 2


def gram_error(found: Tensor, wanted: Tensor) -> Tensor:
    """|G(found) - G(wanted)|^2 / |G(wanted)|^2 with Gram matrices a position: (B,), 0 is equal.

    Args:
        found, wanted: (B, C, h, w), of any sizes.
    """
    first, second = (gram_matrix(x) / (x.shape[2] * x.shape[3]) for x in (found, wanted))
    return (first - second).square().sum((1, 2)) / second.square().sum((1, 2)).clamp(min=1e-12)


def total_variation(pictures: Tensor) -> Tensor:
    """The length of the pictures' gradients, sum of sqrt(dx^2 + dy^2) (Rudin et al., 1992), smoothed at 0.

    Noise and checkerboards are long, a sharp edge is no longer than a soft one.

    Args:
        pictures: (B, C, H, W); the last row and column, which have no neighbor, count for nothing.

    Returns:
        A scalar, 0 for flat pictures.
    """
    corner = pictures[..., :-1, :-1]
    across, down = pictures[..., :-1, 1:] - corner, pictures[..., 1:, :-1] - corner
    return ((across.square() + down.square() + SMOOTHING).sqrt() - SMOOTHING**0.5).sum()


def total_cost(content: Tensor, style: Tensor, variation: Tensor, *, alpha: float, beta: float, gamma: float) -> Tensor:
    """What is minimized, J = alpha J_content + beta J_style + gamma J_variation."""
    return alpha * content + beta * style + gamma * variation


class _Gram(Function):
    """A Gram matrix with its gradient in one product, laid out in memory as features with channels last are.

    Both factors being the same features, autograd would take two products and add them across layouts: a sixth of the
    time of all the network.
    """

    @staticmethod
    def forward(context, features: Tensor) -> Tensor:
        context.save_for_backward(features)
        flat = _positions(features)
        return flat.mT @ flat

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        (features,) = context.saved_tensors
        flat = _positions(features) @ (gradient + gradient.mT)  # (B, H * W, C)
        return flat.unflatten(1, features.shape[2:]).permute(0, 3, 1, 2)


def _positions(features: Tensor) -> Tensor:
    """(B, C, H, W) as (B, H * W, C)."""
    return features.flatten(2).mT
