"""The sample styles are there, and no two look alike; `tests/tools` tests how they were drawn."""

from itertools import combinations, pairwise

import cv2
import numpy as np
import pytest

from vision_app.core.errors import UsageError
from vision_app.style.samples.samples import SAMPLES, SIZE, sample


@pytest.fixture(scope="module")
def samples() -> dict[str, np.ndarray]:
    return {name: sample(name) for name in SAMPLES}


def test_every_sample_fills_its_square(samples):
    for pixels in samples.values():
        assert pixels.shape == (SIZE, SIZE, 3) and pixels.dtype == np.uint8
        corners = [pixels[:64, :64], pixels[:64, -64:], pixels[-64:, :64], pixels[-64:, -64:]]
        assert pixels.std() > 25 and all(corner.std() > 3 for corner in corners)


def look(pixels: np.ndarray) -> np.ndarray:
    """Shares of colors, and how coarse the texture is: each sums to one."""
    colors = cv2.calcHist([pixels], [0, 1, 2], None, [4, 4, 4], [0, 256] * 3).ravel()
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    blurred = [cv2.GaussianBlur(gray, (0, 0), sigma) for sigma in (1, 2, 4, 8, 16, 32)]
    bands = np.array([(fine - coarse).std() for fine, coarse in pairwise(blurred)])
    return np.concatenate([colors / colors.sum(), bands / bands.sum()])


def test_no_two_samples_look_alike(samples):
    looks = {name: look(pixels) for name, pixels in samples.items()}
    for (one, first), (other, second) in combinations(looks.items(), 2):
        assert abs(first - second).sum() > 0.5, f"{one} and {other}"


def test_an_unknown_sample_gets_the_nearest_name():
    with pytest.raises(UsageError, match="unknown sample 'mosaik'; did you mean 'mosaic'"):
        sample("mosaik")
