"""The costs of neural style transfer, each a formula of Gatys et al., 2016, "Image style transfer using convolutional
neural networks", as sums over all positions and channels. Needs torch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from vision_app.style.model.features import CONTENT_LAYER, STYLE_LAYERS, EncoderNetwork

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


class Costs(NamedTuple):
    """Scalars: J, which is minimized, and its parts without their weights."""

    total: Tensor
    content: Tensor
    style: Tensor


class Objective:
    """All that depends on content and styles alone, worked out once; called, it gives the costs of a picture.

    Several styles make one target, the weighted mean of their Gram matrices: its distance differs from the weighted
    mean of the distances to each by a constant alone, so the gradient is the same for less work. A strength below 1
    mixes in the content's own Gram matrices in the same way; at 0 the content is the best picture.

    Args:
        encoder: gives the features.
        content: (H, W, 3) uint8.
        styles: (h, w, 3) uint8 each, of any sizes.
        weights: of the styles, their sum being 1.
        strength: 0..1.
        alpha, beta, gamma: weights of content, style and total variation.
    """

    def __init__(
        self,
        encoder: EncoderNetwork,
        content: np.ndarray,
        styles: Sequence[np.ndarray],
        weights: Sequence[float],
        *,
        strength: float,
        alpha: float,
        beta: float,
        gamma: float,
    ):
        self._encoder, self._weights = encoder, {"alpha": alpha, "beta": beta, "gamma": gamma}
        device = next(encoder.parameters()).device
        with torch.no_grad():
            features = encoder(as_batch(to_picture(content, device)))
            self._content = features[CONTENT_LAYER]  # (1, C, h, w)
            self._positions = {layer: features[layer][0, 0].numel() for layer in STYLE_LAYERS}
            mixed = {layer: (1 - strength) * gram for layer, gram in _mean_grams(features).items()}
            for style, weight in zip(styles, weights, strict=True):
                grams = _mean_grams(encoder(as_batch(to_picture(style, device)), STYLE_LAYERS))
                mixed = {layer: gram + strength * weight * grams[layer] for layer, gram in mixed.items()}
            self._grams = {layer: gram * self._positions[layer] for layer, gram in mixed.items()}  # (1, C, C) each
            self._content_norm = _norm(content_cost(torch.zeros_like(self._content), self._content))
            self._norms = {
                layer: _norm(style_layer_cost(torch.zeros_like(gram), gram, self._positions[layer]))
                for layer, gram in self._grams.items()
            }

    def __call__(self, picture: Tensor) -> Costs:
        """The costs of a picture, (H, W, 3) in 0..1."""
        batch = as_batch(picture)
        features = self._encoder(batch)
        content = content_cost(features[CONTENT_LAYER], self._content) / self._content_norm
        layers = [
            style_layer_cost(gram_matrix(features[layer]), gram, self._positions[layer]) / self._norms[layer]
            for layer, gram in self._grams.items()
        ]
        style = torch.stack(layers).mean()
        variation = total_variation(batch) / picture.numel()  # per value, as no target has a norm here
        return Costs(total_cost(content, style, variation, **self._weights), content, style)


def to_picture(pixels: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """(H, W, 3) uint8 as (H, W, 3) in 0..1."""
    return torch.tensor(pixels, device=device).float() / 255


def to_pixels(picture: Tensor) -> np.ndarray:
    """(H, W, 3) in 0..1 as (H, W, 3) uint8."""
    return (picture.detach() * 255).round().byte().cpu().numpy()


def as_batch(picture: Tensor) -> Tensor:
    """(H, W, 3) as (1, 3, H, W), without a copy: in memory channels come last, which convolutions like best."""
    return picture.permute(2, 0, 1)[None]


def _mean_grams(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gram matrices for one position, which pictures of all sizes can share."""
    return {layer: gram_matrix(features[layer]) / features[layer][0, 0].numel() for layer in STYLE_LAYERS}


def _norm(cost: Tensor) -> float:
    """What to divide by: a target without any features, as of one black color, leaves its cost as it is."""
    return cost.item() or 1.0
