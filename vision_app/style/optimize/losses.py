"""The costs of neural style transfer and their weighted sum, the objective. Needs torch.

Each cost is a formula of Gatys et al., 2016, "Image style transfer using convolutional neural networks", as a sum over
all positions and channels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from vision_app.style.model.features import CONTENT_LAYER, STYLE_LAYERS, EncoderNetwork
from vision_app.style.options import OptimizeConfig

SMOOTHING = 1e-4  # added under the root of total variation, whose slope is unbounded where an image is flat


def content_cost(features: Tensor, target: Tensor) -> Tensor:
    """Return half the squared distance of two images' features, J_content = 1/2 ||a(C) - a(G)||^2.

    Args:
        features: (B, C, H, W) of one layer.
        target: (B, C, H, W) of the same layer.

    Returns:
        A scalar, 0 or more.
    """
    return 0.5 * (features - target).square().sum()


def gram_matrix(features: Tensor) -> Tensor:
    """Return the correlations of channels over all positions, G_kk' = sum over i, j of a_ijk a_ijk'.

    It grows with the number of positions: to compare images of different sizes, divide by it.

    Args:
        features: (B, C, H, W).

    Returns:
        (B, C, C), symmetric.
    """
    gram: Tensor = _Gram.apply(features)
    return gram


def style_layer_cost(gram: Tensor, target: Tensor, positions: int) -> Tensor:
    """Return the style cost of one layer, 1 / (2 n_H n_W n_C)^2 sum over k, k' of (G_kk' - target_kk')^2.

    Args:
        gram: (B, C, C).
        target: (B, C, C) over as many positions.
        positions: n_H n_W.

    Returns:
        A scalar, 0 or more.
    """
    return (gram - target).square().sum() / (2 * positions * gram.shape[-1]) ** 2


def gram_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Return |G(found) - G(wanted)|^2 / |G(wanted)|^2 with Gram matrices per position: (B,), 0 where they are equal.

    Args:
        found: (B, C, h, w).
        wanted: (B, C, h', w').
    """
    first, second = (_mean_gram(x) for x in (found, wanted))
    return (first - second).square().sum((1, 2)) / second.square().sum((1, 2)).clamp(min=1e-12)


def total_variation(images: Tensor) -> Tensor:
    """Return the sum of gradient magnitudes, sum of sqrt(dx^2 + dy^2) (Rudin et al., 1992), smoothed at 0.

    Noise and checkerboards raise it, a sharp edge costs no more than a soft one.

    Args:
        images: (B, C, H, W); the last row and column, which have no neighbor, are left out.

    Returns:
        A scalar, 0 for flat images.
    """
    corner = images[..., :-1, :-1]
    dx, dy = images[..., :-1, 1:] - corner, images[..., 1:, :-1] - corner
    lengths: Tensor = (dx.square() + dy.square() + SMOOTHING).sqrt() - SMOOTHING**0.5
    return lengths.sum()


def total_cost(content: Tensor, style: Tensor, variation: Tensor, *, alpha: float, beta: float, gamma: float) -> Tensor:
    """Return the objective, J = alpha J_content + beta J_style + gamma J_variation."""
    return alpha * content + beta * style + gamma * variation


class _Gram(Function):
    """A Gram matrix with its gradient in one product, in the channels-last layout of the features.

    Both factors are the same features, so autograd would take two products and add them across layouts, which costs a
    sixth of the time of the whole network.
    """

    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        context.save_for_backward(features)
        flat = _by_position(features)
        return flat.mT @ flat

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (features,) = context.saved_tensors
        flat = _by_position(features) @ (gradient + gradient.mT)  # (B, H * W, C)
        return flat.mT.reshape(features.shape)


def _by_position(features: Tensor) -> Tensor:
    """Reshape (B, C, H, W) to (B, H * W, C)."""
    return features.flatten(2).mT


class Costs(NamedTuple):
    """Scalars: J, which is minimized, and its unweighted content and style parts."""

    total: Tensor
    content: Tensor
    style: Tensor


class Objective:
    """The costs of an image; everything that depends only on content and styles is computed once.

    Several styles make one target, the weighted mean of their Gram matrices: its distance differs from the weighted
    mean of the distances to each only by a constant, so the gradient is the same for less work. A strength below 1
    mixes in the content's own Gram matrices in the same way; at 0 the content is the optimum.

    Args:
        encoder: Computes the features.
        content: (H, W, 3) uint8.
        styles: (h, w, 3) uint8 each, of any sizes.
        weights: Of the styles, with a sum of 1.
        config: The strength and the weights of the costs.
    """

    def __init__(
        self,
        encoder: EncoderNetwork,
        content: np.ndarray,
        styles: Sequence[np.ndarray],
        weights: Sequence[float],
        config: OptimizeConfig,
    ):
        self._encoder = encoder
        self._weights = {"alpha": config.alpha, "beta": config.beta, "gamma": config.total_variation}
        strength, device = config.strength, next(encoder.parameters()).device
        with torch.no_grad():
            features = encoder(as_batch(to_tensor(content, device)))
            self._content = features[CONTENT_LAYER]  # (1, C, h, w)
            self._positions = {layer: features[layer][0, 0].numel() for layer in STYLE_LAYERS}
            mixed = {layer: (1 - strength) * _mean_gram(features[layer]) for layer in STYLE_LAYERS}
            for style, weight in zip(styles, weights, strict=True):
                features = encoder(as_batch(to_tensor(style, device)), STYLE_LAYERS)
                mixed = {layer: gram + strength * weight * _mean_gram(features[layer]) for layer, gram in mixed.items()}
            self._grams = {layer: gram * self._positions[layer] for layer, gram in mixed.items()}  # (1, C, C) each
            self._content_norm = _norm(content_cost(torch.zeros_like(self._content), self._content))
            self._norms = {
                layer: _norm(style_layer_cost(torch.zeros_like(gram), gram, self._positions[layer]))
                for layer, gram in self._grams.items()
            }

    def __call__(self, image: Tensor) -> Costs:
        """Return the costs of an image, (H, W, 3) in 0..1."""
        batch = as_batch(image)
        features = self._encoder(batch)
        content = content_cost(features[CONTENT_LAYER], self._content) / self._content_norm
        layers = [
            style_layer_cost(gram_matrix(features[layer]), gram, self._positions[layer]) / self._norms[layer]
            for layer, gram in self._grams.items()
        ]
        style = torch.stack(layers).mean()
        variation = total_variation(batch) / image.numel()  # per value, since no target has a norm here
        return Costs(total_cost(content, style, variation, **self._weights), content, style)


def to_tensor(pixels: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Convert (H, W, 3) uint8 to (H, W, 3) in 0..1."""
    return torch.tensor(pixels, device=device).float() / 255


def to_pixels(image: Tensor) -> np.ndarray:
    """Convert (H, W, 3) in 0..1 to (H, W, 3) uint8."""
    pixels: np.ndarray = (image.detach() * 255).round().byte().cpu().numpy()
    return pixels


def as_batch(image: Tensor) -> Tensor:
    """View (H, W, 3) as (1, 3, H, W), channels-last in memory, which convolutions prefer."""
    return image.permute(2, 0, 1)[None]


def _mean_gram(features: Tensor) -> Tensor:
    """Return Gram matrices per position, which images of all sizes can share: (B, C, C)."""
    return gram_matrix(features) / features[0, 0].numel()


def _norm(cost: Tensor) -> float:
    """Return the divisor of a cost: 1 for a target without any features, such as a black image."""
    return cost.item() or 1.0
