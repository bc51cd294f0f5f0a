"""What a picture of one size is to be like: content and styles, seen by an encoder. Needs torch.

Each cost is divided by what it would be of no features at all, the norm of its target. So a cost of 1 is "nothing in
common", whatever the layer, the encoder and the size, and the same weights give alike pictures at every size.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vision_app.style.costs import content_cost, gram_matrix, style_layer_cost, total_cost, total_variation
from vision_app.style.features import CONTENT_LAYER, STYLE_LAYERS, EncoderNetwork


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
