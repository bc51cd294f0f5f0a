"""Similarity of a result to its content and to its style, and the images that are measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vision_app import read_image
from vision_app.core.images import SUFFIXES

GRAM_SIDE = 256  # pixels, of what Gram matrices are of

Seen = Sequence[np.ndarray]
"""The features of an image, (C, h, w) of each layer."""

Features = Callable[[np.ndarray], Seen]
"""Returns the features of a square image, (H, H, 3) uint8 RGB."""


@dataclass(frozen=True)
class Quality:
    """Quality of one result, or the mean of several.

    Attributes:
        gram: Relative Gram error, 0 for the style itself; see `gram_error`.
        ssim: Structural similarity to the content, 1 for the content itself.
    """

    gram: float
    ssim: float

    @classmethod
    def of(cls, result: np.ndarray, content: np.ndarray, style: Seen, features: Features) -> "Quality":
        """Measure a result, (H, W, 3) uint8 like the content, against the features of the style."""
        return cls(gram_error(features(result), style), similarity(result, content))

    @classmethod
    def mean(cls, several: Sequence["Quality"]) -> "Quality":
        return cls(float(np.mean([one.gram for one in several])), float(np.mean([one.ssim for one in several])))


def gram_error(features: Seen, target: Seen) -> float:
    """Return the mean over layers of ||G - T||^2 / ||T||^2 (Frobenius), with Gram matrices per position.

    The two have as many channels; sizes may differ.
    """
    errors = []
    for own, wanted in zip(features, target, strict=True):
        difference = gram_matrix(own) - gram_matrix(wanted)
        errors.append(np.sum(difference**2) / np.sum(gram_matrix(wanted) ** 2))
    return float(np.mean(errors))


def gram_matrix(features: np.ndarray) -> np.ndarray:
    """Return (C, C), the means over all positions of products of two channels, for (C, h, w)."""
    rows = features.reshape(len(features), -1).astype(np.float64)
    return rows @ rows.T / rows.shape[1]


def similarity(result: np.ndarray, content: np.ndarray) -> float:
    """Return the SSIM (Wang et al., 2004) of two (H, W, 3) uint8 images, the mean over color channels."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(result, content, channel_axis=2))


def teacher_features(folder: Path) -> Features:
    """Return the features of the deepest distilled encoder at 256 x 256 pixels, after ReLU at conv1_1 to conv5_1."""
    import torch
    from convert_style_weights import distilled_encoder

    from vision_app.style.model.features import STYLE_LAYERS

    encoder = distilled_encoder(folder)

    def features(pixels: np.ndarray) -> list[np.ndarray]:
        small = cv2.resize(pixels, (GRAM_SIDE, GRAM_SIDE), interpolation=cv2.INTER_AREA)
        with torch.inference_mode():
            found = encoder(torch.from_numpy(small).permute(2, 0, 1)[None] / 255, STYLE_LAYERS)
        return [found[layer][0].numpy() for layer in STYLE_LAYERS]

    return features


def read_images(folder: Path, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return center crops of a width and height of all images in a folder, by name without suffix, sorted."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return {path.stem: fill(read_image(path).pixels, size) for path in paths}


def fill(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale an image until it covers (width, height) and crop its center: (height, width, 3)."""
    width, height = size
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    across, down = (max(1, round(side * scale)) for side in pixels.shape[1::-1])
    scaled = cv2.resize(pixels, (across, down), interpolation=cv2.INTER_AREA)
    left, top = (across - width) // 2, (down - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def spread_out(names: Sequence[str], count: int) -> list[str]:
    """Return so many of the names, evenly spaced from the first one."""
    return list(names[:: max(1, len(names) // count)][:count])
