"""Color transfer: a photo in the colors of a style, or a stylized image in those of its content. NumPy."""

from collections.abc import Iterator, Sequence

import numpy as np

LARGEST_GAIN = 4.0  # of a direction in color space: more would show the steps of 8 bits and the noise of dull photos
SMALLEST_VARIANCE = 1e-9  # squared levels of 256: less counts as none
SHOULDER = 64.0  # levels at each end of 0..255 into which values beyond are compressed
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # of red, green and blue (ITU-R BT.601)
STRIP = 2**21  # pixels of whole rows that are processed at a time, which bounds the memory


def transfer(content: np.ndarray, style: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Give a photo the mean and the covariance of a style's colors.

    Of all linear maps that do so this one moves colors least: the Monge-Kantorovich map (Pitie and Kokaram, 2007, "The
    linear Monge-Kantorovitch linear colour mapping for example-based colour transfer"). Equal colors stay equal. Values
    beyond black or white are compressed into their last quarter instead of being clipped.

    Args:
        content: (H, W, 3) uint8.
        style: (h, w, 3) uint8, of any size.
        strength: 0 to 1, from the content's own colors to the style's.

    Returns:
        (H, W, 3) uint8.
    """
    return transfer_mixed(content, [style], [1.0], strength)


def transfer_mixed(
    content: np.ndarray, styles: Sequence[np.ndarray], shares: Sequence[float], strength: float = 1.0
) -> np.ndarray:
    """Return the mean of what `transfer` gives for several styles, with weights whose sum is 1."""
    maps = [_ColorMap(content, style, strength) for style in styles]
    result = np.empty_like(content)
    for rows, colors in _strips(content):
        if len(maps) == 1:
            result[rows] = maps[0](colors)
            continue
        mixed = np.zeros(colors.shape, np.float32)
        for share, one in zip(shares, maps, strict=True):
            mixed += np.float32(share) * one(colors)
        result[rows] = np.rint(mixed).astype(np.uint8)
    return result


class _ColorMap:
    """What `transfer` does with colors, (h, W, 3) float32, of a content for one style; it gives uint8."""

    def __init__(self, content: np.ndarray, style: np.ndarray, strength: float):
        mean, covariance = _moments(content)
        wanted_mean, wanted_covariance = _moments(style)
        matrix = (1 - strength) * np.eye(3) + strength * _monge_kantorovich(covariance, wanted_covariance)
        offset = mean + strength * (wanted_mean - mean) - matrix @ mean
        self._matrix, self._offset = matrix.astype(np.float32), offset.astype(np.float32)
        strips = (self._mapped(colors) for _, colors in _strips(content))
        ends = np.array([[(channel.min(), channel.max()) for channel in np.moveaxis(strip, 2, 0)] for strip in strips])
        self._lowest, self._highest = ends[..., 0].min(axis=0), ends[..., 1].max(axis=0)  # (3,)

    def __call__(self, colors: np.ndarray) -> np.ndarray:
        dark = 255 - _compressed(self._mapped(colors), self._highest)
        return _to_bytes(255 - _compressed(dark, 255 - self._lowest))

    def _mapped(self, colors: np.ndarray) -> np.ndarray:
        return np.asarray(colors @ self._matrix.T + self._offset)


def keep_luminance(content: np.ndarray, stylized: np.ndarray) -> np.ndarray:
    """Combine the luminance of a stylized image with the colors of its content.

    See Gatys et al., 2016, "Preserving color in neural artistic style transfer". A color that does not fit between
    black and white at its new luminance becomes paler, and keeps its hue.

    Args:
        content: (H, W, 3) uint8.
        stylized: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    result = np.empty_like(content)
    for rows, colors in _strips(content):
        chroma = colors - (colors @ LUMA)[..., None]  # (h, W, 3)
        luma = (stylized[rows].astype(np.float32) @ LUMA)[..., None]  # (h, W, 1)
        room = np.where(chroma > 0, 255 - luma, luma)
        fits = np.divide(room, abs(chroma), out=np.ones_like(chroma), where=abs(chroma) > room)
        result[rows] = _to_bytes(luma + fits.min(axis=-1, keepdims=True) * chroma)
    return result


def match_histogram(content: np.ndarray, stylized: np.ndarray) -> np.ndarray:
    """Match the histograms of red, green and blue of a stylized image to its content's.

    Args:
        content: (H, W, 3) uint8.
        stylized: (h, w, 3) uint8, of any size.

    Returns:
        (h, w, 3) uint8.
    """
    result = np.empty_like(stylized)
    for channel in range(3):
        wanted, found = (_histogram(pixels[..., channel]) for pixels in (content, stylized))
        values = wanted.nonzero()[0]
        ranks = np.cumsum(wanted)[values] / wanted.sum()
        table = _to_bytes(np.interp(np.cumsum(found) / found.sum(), ranks, values))  # (256,)
        for rows in _rows(stylized):
            result[rows, :, channel] = table[stylized[rows, :, channel]]
    return result


def _histogram(values: np.ndarray) -> np.ndarray:
    """Return (256,) how often each value is among (H, W) uint8."""
    return np.asarray(sum(np.bincount(values[rows].ravel(), minlength=256) for rows in _rows(values)))


def _rows(pixels: np.ndarray) -> Iterator[slice]:
    """Yield slices of the rows of an image (H, W, ...)."""
    count = max(1, STRIP // pixels.shape[1])
    for begin in range(0, len(pixels), count):
        yield slice(begin, begin + count)


def _strips(pixels: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (H, W, 3) uint8 as float32, some rows at a time, and which ones."""
    for rows in _rows(pixels):
        yield rows, pixels[rows].astype(np.float32)


def without_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the colors that an image with transparency has itself, which at its edges are mixed with white.

    Args:
        pixels: (H, W, 3) uint8, laid on white.
        alpha: (H, W) uint8 opacity.

    Returns:
        (H, W, 3) uint8; white where nothing is to be seen.
    """
    result = np.empty_like(pixels)
    for part in _rows(pixels):
        opacity = np.maximum(alpha[part, :, None], 1) / np.float32(255)
        result[part] = np.rint((255 - (255 - pixels[part]) / opacity).clip(0, 255))
    return result


def _moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (3,) and the covariance (3, 3) of colors, in levels of 256. Sums of integers, so exact."""
    total, products = np.zeros(3), np.zeros((3, 3))
    for _, colors in _strips(pixels):
        flat = colors.reshape(-1, 3).astype(np.float64)
        total += flat.sum(axis=0)
        products += flat.T @ flat
    count = pixels.shape[0] * pixels.shape[1]
    mean = total / count
    return mean, products / count - np.outer(mean, mean)


def _monge_kantorovich(covariance: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the symmetric T with T covariance T = wanted, T = A^-1 (A wanted A)^1/2 A^-1 with A = covariance^1/2.

    Directions without variance stay without; gains are limited to `LARGEST_GAIN`.
    """
    root, inverse = _power(covariance, 0.5), _power(covariance, -0.5)
    gains, directions = np.linalg.eigh(inverse @ _power(root @ wanted @ root, 0.5) @ inverse)
    return np.asarray((directions * gains.clip(0, LARGEST_GAIN)) @ directions.T)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """Return a power of a symmetric, positive semidefinite matrix; eigenvalues of 0 stay 0."""
    values, vectors = np.linalg.eigh(matrix)
    some = values > SMALLEST_VARIANCE
    powers = np.where(some, np.where(some, values, 1.0) ** exponent, 0.0)
    return np.asarray((vectors * powers) @ vectors.T)


def _compressed(values: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Compress values, (h, W, 3), so that the highest one of each channel becomes 255 where it is above.

    With t = value - knee it is t / (1 + (1 / room - 1 / reach) t), whose slope is 1 at the knee and falls from there.
    """
    knee = 255 - SHOULDER
    above = np.maximum(values - knee, 0)
    bend = np.maximum(1 / SHOULDER - 1 / np.maximum(highest - knee, SHOULDER), 0)
    return np.asarray(np.minimum(values, knee) + above / (1 + bend * above))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)
