"""What spoils whole photos, to train `face-quality` on."""

import numpy as np
import photo_damage
import pytest
from face_damage import POINTS
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.faces.align import MARGIN, SIDE, TEMPLATE, align

CROP = align(data.astronaut(), ASTRONAUT, TEMPLATE + np.float32(MARGIN), SIDE)
OTHER = np.ascontiguousarray(CROP[::-1])


@pytest.mark.parametrize("draw", [draw for draw, _ in photo_damage.DAMAGES])
def test_damage_is_drawn_by_a_seed_on_photos_of_any_size(draw):
    photo = CROP[:90, :131]
    before = photo.copy()
    results = [draw(photo, np.random.default_rng(seed)) for seed in range(12)]
    assert all(result.shape == photo.shape and result.dtype == np.uint8 for result in results)
    assert all((result != photo).any() for result in results)
    np.testing.assert_array_equal(photo, before)
    np.testing.assert_array_equal(draw(photo, np.random.default_rng(3)), results[3])


def test_a_mosaic_has_squares_of_one_color():
    checked = 0
    for seed in range(10):
        found = photo_damage.mosaic(CROP, np.random.default_rng(seed))
        if (steps := (np.diff(found.astype(int), axis=1) != 0).any(axis=(0, 2))).mean() < 0.6:  # not smoothed
            assert set(np.diff(np.flatnonzero(steps))) == {int(np.diff(np.flatnonzero(steps))[0])}
            checked += 1
    assert checked >= 5


def test_a_degraded_face_stays_where_it_is(monkeypatch):
    monkeypatch.setattr(photo_damage, "DAMAGES", ((lambda photo, random: photo, 1.0),))
    monkeypatch.setattr(photo_damage, "compressed", lambda photo, random: photo)
    monkeypatch.setattr(photo_damage, "SCALES", (0.9, 1.5))
    for seed in range(8):
        found = photo_damage.degraded(CROP, np.random.default_rng(seed)).astype(float)
        parts = [image[30:130, 30:130].ravel() for image in (found, CROP)]
        assert np.corrcoef(*parts)[0, 1] > 0.95


def test_the_hidden_share_is_that_of_the_face():
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = (((x - 80) / 36) ** 2 + ((y - 92) / 46) ** 2) < 1
    for seed in range(30):
        found, share, _ = photo_damage.cut_off(white, np.zeros_like(white), np.random.default_rng(seed))
        assert (found != 255).any(axis=2)[inside].mean() == pytest.approx(share, abs=0.12)
        assert 0 <= share <= 0.7


def test_landmarks_of_a_face_that_is_cut_off_lie_in_what_is_left_of_it():
    moved = 0
    for seed in range(40):
        found, share, points = photo_damage.cut_off(CROP, OTHER, np.random.default_rng(seed))
        if (points != POINTS).any():
            moved += 1
            x, y = np.clip(points.round().astype(int).T, 0, SIDE - 1)
            is_left = (found == CROP).all(axis=2)
            assert is_left[y, x].all() and share > 0
    assert moved > 8
