"""What spoils a face in training is drawn where it should be, and measured as what it is."""

import face_damage as damage
import numpy as np
import pytest
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.faces.align import MARGIN, SIDE, TEMPLATE, align


@pytest.fixture(scope="module")
def crop():
    return align(data.astronaut(), ASTRONAUT, TEMPLATE + np.float32(MARGIN), SIDE)


def mean_alphas(draw, crop, count=40):
    """Mean shares of mouth and eyes that a drawing hides, (count, 2)."""
    fields = [draw(crop, crop[::-1], np.random.default_rng(i))[1] for i in range(count)]
    mouth = damage.MOUTH.mean(axis=0)[None]
    return np.array([[damage.hidden(f, mouth, (19, 9)), damage.hidden(f, damage.EYES, (9, 5))] for f in fields])


def test_masks_hide_the_mouth_and_glasses_the_eyes(crop):
    masks, glasses = mean_alphas(damage.mask, crop), mean_alphas(damage.glasses, crop)
    assert (masks[:, 0] > 0.7).mean() > 0.7 and (masks[:, 1] < 0.3).all()
    assert (masks[:, 0] < 0.25).any()  # worn below the chin
    assert 0.5 < (glasses[:, 1] > 0.6).mean() < 0.95 and (glasses[:, 0] < 0.2).mean() > 0.9
    assert (glasses[:, 1] < 0.5).any()  # clear ones
    assert (mean_alphas(damage.hand, crop).max(axis=1) > 0.4).mean() > 0.4
    assert mean_alphas(damage.blob, crop).std() > 0.2


def test_a_seed_draws_the_same_again_and_another_one_something_else(crop):
    one, again, other = (damage.mask(crop, crop, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    assert np.abs(one[1] - other[1]).max() > 0.5
    covered = damage.covered(crop, *one)
    assert covered.dtype == np.uint8
    np.testing.assert_array_equal(covered[one[1] == 0], crop[one[1] == 0])


def test_the_share_that_is_hidden_is_a_mean_of_alphas():
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[:, : SIDE // 2] = 0.8
    assert damage.hidden(alpha, damage.EYES, (9, 5)) == pytest.approx(0.4, abs=0.03)
    assert damage.hidden(alpha, damage.EYES[:1], (9, 5)) == pytest.approx(0.8)


def test_unnatural_tones_are_far_from_the_photo(crop):
    changes = [
        np.abs(damage.unnatural_tone(crop, np.random.default_rng(i)) - crop.astype(int)).mean() for i in range(40)
    ]
    assert min(changes) > 12 and np.mean(changes) > 50


def test_a_matrix_without_change_shows_the_aligned_face_itself(crop):
    same = damage.similarity_matrix(0, 1, np.zeros(2))
    assert damage.misalignment(same) == 0
    face = damage.warped(crop, same, np.random.default_rng(0))
    np.testing.assert_array_equal(face, crop[MARGIN:-MARGIN, MARGIN:-MARGIN])


@pytest.mark.parametrize(("roll", "scale", "shift", "expected"), [(0, 1, (35.24, 0), 1), (180, 1, (0, 0), 1.31)])
def test_misalignment_is_the_distance_of_landmarks_by_that_between_the_eyes(roll, scale, shift, expected):
    matrix = damage.similarity_matrix(roll, scale, np.array(shift))
    assert damage.misalignment(matrix) == pytest.approx(expected, abs=0.01)
    moved = TEMPLATE @ matrix[:, :2].T + matrix[:, 2]
    if roll == 180:
        assert moved[0, 0] > moved[1, 0] and moved[0, 1] > moved[3, 1]  # upside down


def test_a_stretch_keeps_the_area_and_has_its_ratio_along_its_axis():
    matrix = damage.stretch(2, 90)
    np.testing.assert_allclose(matrix, [[0.5**0.5, 0], [0, 2**0.5]], atol=1e-12)
    assert np.linalg.det(damage.stretch(1.7, 33)) == pytest.approx(1)
    assert np.linalg.cond(damage.stretch(1.7, 33)) == pytest.approx(1.7)
