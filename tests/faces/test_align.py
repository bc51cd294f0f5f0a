"""Alignment, held to scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from skimage.transform import SimilarityTransform, warp
from tiny_faces import ASTRONAUT

from vision_app.faces.align import SIZE, TEMPLATE, align, scale_of, similarity


@given(st.integers(0, 10_000), st.floats(-3.1, 3.1), st.floats(0.02, 50), st.floats(0, 0.3))
def test_the_transform_is_that_of_scikit_image(seed, angle, scale, noise):
    random = np.random.default_rng(seed)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE + noise * 10 * random.standard_normal((5, 2))) @ turn.T + random.uniform(-500, 500, 2)
    expected = SimilarityTransform.from_estimate(points, TEMPLATE).params[:2]
    np.testing.assert_allclose(similarity(points), expected, rtol=1e-6, atol=1e-6)
    assert scale_of(similarity(points)) == pytest.approx(np.linalg.norm(expected[:, 0]), rel=1e-6)


def test_the_points_of_a_rotated_template_are_mapped_back_to_it():
    points = 3 * TEMPLATE[:, ::-1] * [-1, 1] + [700, 40]  # a quarter turn
    np.testing.assert_allclose(points @ similarity(points)[:, :2].T + similarity(points)[:, 2], TEMPLATE, atol=1e-4)


@pytest.mark.parametrize("points", [np.full((5, 2), np.nan), np.full((5, 2), 7.0), np.full((5, 2), np.inf)])
def test_points_without_a_transform_are_refused(points):
    with pytest.raises(ValueError, match="landmarks: expected finite points"):
        similarity(points)


def test_an_aligned_face_shows_what_scikit_image_shows():
    pixels = data.astronaut()
    matrix = np.vstack([similarity(ASTRONAUT), [0, 0, 1]])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # scikit-image, too, counts from the middle of a pixel
    back = np.linalg.inv(np.linalg.inv(half) @ matrix @ half)
    expected = warp(pixels, back, output_shape=(SIZE, SIZE), order=1, preserve_range=True)
    chip = align(pixels, ASTRONAUT)
    assert chip.shape == (SIZE, SIZE, 3) and chip.dtype == np.uint8
    assert np.abs(chip - expected).max() <= 6  # OpenCV's warp works in 1/32 of a pixel
    assert np.abs(chip - expected).mean() < 0.6


@pytest.mark.parametrize("factor", [2, 3, 5.5])
def test_a_larger_photo_of_the_same_face_gives_the_same_aligned_face(factor):
    pixels = data.astronaut()[60:200, 150:290]
    points = ASTRONAUT - [150, 60]
    large = np.array(Image.fromarray(pixels).resize((round(140 * factor),) * 2, Image.Resampling.BILINEAR))
    noisy = large.astype(int) + 60 * (np.indices(large.shape).sum(0) % 2) - 30  # a pattern that sampling would keep
    chip, expected = align(large, factor * points).astype(int), align(pixels, points).astype(int)
    assert np.abs(chip - expected).mean() < 3
    averaged = align(noisy.clip(0, 255).astype(np.uint8), factor * points).astype(int)
    if factor > 3:
        assert np.abs(averaged - chip).mean() < 6


def test_pixels_outside_the_image_are_black():
    white = np.full((300, 300, 3), 255, np.uint8)
    chip = align(white, TEMPLATE - [56, 0])
    assert (chip[:, :55] == 0).all() and (chip[:, 57:] == 255).all()
    large = align(white, 4 * TEMPLATE - [4 * 56, 0])  # taken at a quarter of its size
    assert (large[:70, :55] == 0).all() and (large[:70, 57:] == 255).all()
    assert (align(white, 4 * TEMPLATE + 5000) == 0).all()
