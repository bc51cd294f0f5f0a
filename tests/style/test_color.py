"""Colors that move from one image to another: their statistics, and that all structure stays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.linalg import sqrtm
from skimage import data
from skimage.exposure import match_histograms
from skimage.metrics import structural_similarity

from vision_app.style import color
from vision_app.style.color import keep_luminance, match_histogram, transfer

IMAGES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6).map(lambda s: (*s, 3)))


@pytest.fixture(scope="module")
def photo():
    return np.ascontiguousarray(data.astronaut()[::4, ::3])


@pytest.fixture(scope="module")
def pale():
    """A style whose colors lie well within 0..255, so that nothing has to be pressed."""
    return (data.coffee()[::4, ::4] * 0.3 + 80).astype(np.uint8)


def covariance(pixels):
    return np.cov(pixels.reshape(-1, 3).T.astype(float), bias=True)


def luma(pixels):
    return pixels @ np.array([0.299, 0.587, 0.114])


def test_a_transfer_gives_the_mean_and_the_covariance_of_the_style(photo, pale):
    result = transfer(photo, pale)
    assert np.allclose(result.mean((0, 1)), pale.mean((0, 1)), atol=0.1)
    assert np.allclose(covariance(result), covariance(pale), rtol=0.01, atol=0.2)


def test_the_map_moves_colors_least(photo, pale):
    ours = color._monge_kantorovich(covariance(photo), covariance(pale))
    root = sqrtm(covariance(photo))
    inverse = np.linalg.inv(root)
    assert np.allclose(ours, inverse @ sqrtm(root @ covariance(pale) @ root) @ inverse)
    angle = 0.3  # any other root of the same covariance, T A R A^-1 with a rotation R, moves them more
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    colors = (photo.reshape(-1, 3) - photo.mean((0, 1))).T
    moved = [np.square(matrix @ colors - colors).sum() for matrix in (ours, ours @ root @ turn @ inverse)]
    assert moved[0] < moved[1]


def test_a_transfer_to_its_own_colors_or_without_strength_changes_nothing(photo, pale):
    assert np.array_equal(transfer(photo, photo), photo)
    assert np.array_equal(transfer(photo, photo[::-1, ::-1]), photo)  # where colors are does not matter
    assert np.array_equal(transfer(photo, pale, 0.0), photo)


def test_strength_leads_from_one_mean_to_the_other(photo, pale):
    means = [transfer(photo, pale, strength).mean((0, 1)) for strength in (0, 0.25, 0.5, 1)]
    assert np.allclose(means[1], 0.75 * means[0] + 0.25 * means[3], atol=1)
    assert np.allclose(means[2], 0.5 * means[0] + 0.5 * means[3], atol=1)


def test_a_transfer_keeps_structure_and_equal_colors_equal(photo):
    style = data.coffee()[::4, ::4]
    result = transfer(photo, style)
    assert structural_similarity(luma(photo), luma(result), data_range=255) > 0.85
    before, where = np.unique(photo.reshape(-1, 3), axis=0, return_inverse=True)
    after = np.zeros_like(before)
    after[where.ravel()] = result.reshape(-1, 3)
    assert np.array_equal(after[where.ravel()], result.reshape(-1, 3))


def test_a_gray_style_gives_gray_and_a_gray_photo_a_single_tone(photo, pale):
    gray = np.repeat(luma(photo).astype(np.uint8)[..., None], 3, axis=2)
    assert np.ptp(transfer(photo, gray), axis=2).max() <= 1
    toned = transfer(gray, pale)
    assert np.allclose(toned.mean((0, 1)), pale.mean((0, 1)), atol=0.5)
    assert np.linalg.eigvalsh(covariance(toned))[:2].max() < 0.2  # rounding alone


def test_one_color_gives_and_takes_its_mean(photo):
    blue = np.full((5, 7, 3), (20, 60, 200), dtype=np.uint8)
    assert (transfer(photo, blue) == (20, 60, 200)).all()
    assert np.ptp(transfer(blue, photo), axis=(0, 1)).max() == 0
    assert np.allclose(transfer(blue, photo)[0, 0], photo.mean((0, 1)), atol=0.5)


def test_ramps_neither_wrap_around_nor_show_bands():
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (8, 1))[..., None], 3, axis=2)
    ramp = (ramp * 0.2 + 100).astype(np.uint8)  # 100..151: little contrast
    harsh = np.zeros((8, 8, 3), dtype=np.uint8)
    harsh[::2] = 255
    steps = np.diff(transfer(ramp, harsh)[0, :, 0].astype(int))
    assert steps.min() >= 0
    assert steps.max() <= color.LARGEST_GAIN + 1
    assert np.ptp(transfer(ramp, harsh)) > 150


def test_values_beyond_white_are_compressed_and_not_clipped():
    values = np.linspace(0, 400, 401)[:, None, None].repeat(3, axis=2)
    pressed = color._compressed(values, np.array([400.0, 255.0, 300.0]))
    assert np.array_equal(pressed[:256, 0, 1], values[:256, 0, 1])  # nothing lies beyond
    assert pressed[400, 0, 0] == pytest.approx(255) and pressed[300, 0, 2] == pytest.approx(255)
    slopes = np.diff(pressed[:, 0, 0])
    assert slopes.min() > 0
    assert abs(np.diff(slopes)).max() < 0.03  # bent, without a corner
    assert (np.diff(slopes) <= 1e-12).all()


@given(IMAGES, IMAGES, st.floats(0, 1))
def test_any_two_images_give_an_image(content, style, strength):
    with np.errstate(all="raise", under="ignore"):
        result = transfer(content, style, strength)
    assert result.shape == content.shape
    assert result.dtype == np.uint8


def test_strips_give_the_same_result(photo, pale, monkeypatch):
    whole = [transfer(photo, pale), keep_luminance(photo, photo[::-1])]
    monkeypatch.setattr(color, "STRIP", 7)
    assert np.array_equal(transfer(photo, pale), whole[0])
    assert np.array_equal(keep_luminance(photo, photo[::-1]), whole[1])


@given(st.integers(0, 2**32 - 1))
def test_kept_colors_have_the_luminance_of_one_image_and_the_hue_of_the_other(seed):
    random = np.random.default_rng(seed)
    content, stylized = random.integers(0, 256, (2, 6, 7, 3), dtype=np.uint8)
    result = keep_luminance(content, stylized)
    assert abs(luma(result) - luma(stylized)).max() <= 0.6  # rounding
    chroma = content - luma(content)[..., None]
    kept = result - luma(result)[..., None]
    along, whole = (kept * chroma).sum(-1), (chroma**2).sum(-1)
    rounding = abs(chroma).sum(-1)  # of each channel and of the luminance by half a level
    assert (along >= -rounding).all() and (along <= whole + rounding).all()  # as colorful or paler
    scale = along / np.maximum(whole, 1)
    assert abs(kept - scale[..., None] * chroma).max() < 1.2  # in the same direction


def test_keeping_the_luminance_of_itself_changes_nothing_and_gray_stays_gray(photo):
    assert np.array_equal(keep_luminance(photo, photo), photo)
    gray = np.repeat(luma(photo).astype(np.uint8)[..., None], 3, axis=2)
    assert np.ptp(keep_luminance(gray, photo), axis=2).max() == 0


def test_matched_histograms_agree_with_scikit_image(photo):
    painted = data.coffee()[::4, ::4]
    ours, theirs = match_histogram(photo, painted), match_histograms(painted, photo, channel_axis=-1)
    assert abs(ours.astype(int) - theirs).max() <= 1  # which cuts off where this rounds
    found, wanted = (np.quantile(pixels, np.linspace(0.05, 0.95, 19), axis=(0, 1)) for pixels in (ours, photo))
    assert abs(found - wanted).mean() < 1.5


def test_matching_the_histogram_of_itself_changes_nothing_and_one_color_stays_one(photo):
    assert np.array_equal(match_histogram(photo, photo), photo)
    flat = np.full_like(photo, 40)
    assert np.ptp(match_histogram(photo, flat), axis=(0, 1)).max() == 0
    assert (match_histogram(flat, photo) == 40).all()
