"""Drawing is held to plain loops and known results."""

import numpy as np
import pytest
from style_drawing import cells, lit, mix, noise, palette, smoothstep, strokes


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_a_palette_interpolates_its_colors():
    colors = palette(np.array([0, 0.25, 0.5, 1]), ("#000000", "#ff8000", "#0000ff"))
    expected = [[0, 0, 0], [0.5, 64 / 255, 0], [1, 128 / 255, 0], [0, 0, 1]]
    np.testing.assert_allclose(colors, expected, atol=1e-6)


@pytest.mark.parametrize("cells", [2, 8])
def test_noise_has_the_requested_frequency(random, cells):
    field = noise(random, 256, cells, octaves=1)
    assert field.min() >= 0 and field.max() <= 1 and abs(field.mean() - 0.5) < 0.02
    rises = (field[:, :-1] < 0.5) & (field[:, 1:] >= 0.5)
    assert cells / 4 < rises.sum(1).mean() < cells


def test_cells_match_a_plain_search(random):
    points = random.uniform(0, 20, (7, 2))
    owners, edges = cells(points, 20)
    for y in range(20):
        for x in range(20):
            near = np.hypot(*(points - (x, y)).T)
            first, second = np.sort(near)[:2]
            assert owners[y, x] == near.argmin() and edges[y, x] == pytest.approx((second - first) / 2, abs=1e-5)


def test_smoothstep_works_in_both_directions():
    field = np.array([-1, 0, 0.5, 1, 2])
    np.testing.assert_allclose(smoothstep(0, 1, field), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(smoothstep(1, 0, field), [1, 1, 0.5, 0, 0])


def test_canvases_are_blended_by_weight():
    black, white = np.zeros((1, 3, 3)), np.ones((1, 3, 3))
    np.testing.assert_allclose(mix(black, white, np.array([[0, 0.25, 1]]))[0, :, 0], [0, 0.25, 1])


def test_light_comes_from_above_on_the_left(random):
    canvas = np.full((40, 40, 3), 0.5, np.float32)
    np.testing.assert_array_equal(lit(canvas, np.full((40, 40), 0.7, np.float32), 1), canvas)
    y, x = np.mgrid[:40, :40]
    hill = np.exp(-((x - 20.0) ** 2 + (y - 20.0) ** 2) / 50).astype(np.float32)
    shown = lit(canvas, hill, 1)
    assert shown[15, 15, 0] > 0.5 > shown[25, 25, 0]


def test_strokes_run_along_their_angle_in_their_colors(random):
    canvas, red = np.ones((64, 64, 3), np.float32), np.zeros((64, 64, 3), np.float32)
    red[..., 0] = 1
    angle = np.zeros((64, 64), np.float32)  # to the right
    painted = strokes(canvas, red, angle, random, count=12, length=24, width=3, jitter=0)
    covered = painted[..., 1] < 0.5
    assert 0.05 < covered.mean() < 0.9 and painted[covered][:, 0].min() > 0.3
    across = np.abs(np.diff(painted[..., 1], axis=0)).sum()
    assert across > 2 * np.abs(np.diff(painted[..., 1], axis=1)).sum()
