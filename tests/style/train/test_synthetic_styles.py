"""Styles made of photos: repeatable, each in its own manner, and different from the photo."""

import cv2
import numpy as np
import pytest
import skimage

from vision_app.style.train import synthetic_styles
from vision_app.style.train.synthetic_styles import PAINTERS

PHOTO = cv2.resize(skimage.data.coffee(), (96, 96), interpolation=cv2.INTER_AREA)
OTHER = cv2.resize(skimage.data.chelsea(), (96, 96), interpolation=cv2.INTER_AREA)


def changes(image):
    """How much neighbors differ, the mean over an image."""
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


def colors(image):
    return len(np.unique(image.reshape(-1, 3), axis=0))


@pytest.mark.parametrize("name", PAINTERS)
def test_a_painter_is_deterministic_and_does_not_change_its_input(name):
    before = PHOTO.copy()
    first, again, other = (PAINTERS[name](PHOTO, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == PHOTO.shape and first.dtype == np.uint8
    assert np.array_equal(first, again) and np.array_equal(PHOTO, before)
    assert np.array_equal(first, PHOTO) == np.array_equal(first, other) == (name == "crop")


def test_planes_and_cells_have_few_colors_and_dots_and_lines_many_edges():
    def mean(name, measure):
        return np.mean([measure(PAINTERS[name](PHOTO, np.random.default_rng(seed))) for seed in range(8)])

    assert mean("cells", colors) < 0.35 * colors(PHOTO)
    assert mean("dots", changes) > changes(PHOTO) < mean("hatching", changes)


def test_strokes_keep_the_colors_of_the_photo():
    painted = np.mean([synthetic_styles.strokes(PHOTO, np.random.default_rng(seed)) for seed in range(6)], axis=0)
    small = (cv2.resize(np.float32(x), (4, 4), interpolation=cv2.INTER_AREA) for x in (PHOTO, painted))
    assert np.abs(np.subtract(*small)).mean() < 20


def test_recoloring_changes_colors_as_described():
    random = np.random.default_rng
    moved = (
        cv2.cvtColor(synthetic_styles.colors_of(PHOTO, OTHER, random(0)), cv2.COLOR_RGB2LAB)
        .reshape(-1, 3)
        .astype(float)
    )
    wanted = cv2.cvtColor(OTHER, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(float)
    np.testing.assert_allclose(moved.mean(0), wanted.mean(0), atol=4)
    np.testing.assert_allclose(moved.std(0), wanted.std(0), atol=5)
    mapped = synthetic_styles.gradient_map(PHOTO, OTHER, random(0))
    assert colors(mapped) <= 256
    gray = cv2.cvtColor(PHOTO, cv2.COLOR_RGB2GRAY)
    assert len(np.unique(mapped[gray == gray[0, 0]], axis=0)) == 1
    assert np.array_equal(synthetic_styles.unchanged(PHOTO, OTHER, random(0)), PHOTO)
    assert not np.array_equal(synthetic_styles.swapped(PHOTO, OTHER, random(0)), PHOTO)


def test_styles_vary_in_painter_and_colors():
    invented = [synthetic_styles.synthesize(PHOTO, OTHER, np.random.default_rng(seed)) for seed in range(12)]
    assert len({image.tobytes() for image in invented}) == 12
    assert np.array_equal(invented[3], synthetic_styles.synthesize(PHOTO, OTHER, np.random.default_rng(3)))
