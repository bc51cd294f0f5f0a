"""From coarse to fine: which sizes a picture is worked on in, and for how long."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from vision_app.style.optimize.loop import Level, fit_style, levels


@pytest.mark.parametrize(
    ("height", "width", "sizes"),
    [
        (256, 256, [(256, 256)]),
        (512, 512, [(256, 256), (512, 512)]),
        (768, 1024, [(192, 256), (384, 512), (768, 1024)]),
        (1080, 1920, [(135, 240), (270, 480), (540, 960), (1080, 1920)]),
        (300, 200, [(300, 200)]),
        (32, 32, [(32, 32)]),
        (2000, 100, [(2000, 100)]),  # half of it would be too narrow
        (2000, 130, [(1000, 65), (2000, 130)]),
    ],
)
def test_sizes_double_up_to_the_picture_s_own(height, width, sizes):
    assert [(level.height, level.width) for level in levels(height, width, 150)] == sizes


def test_each_level_takes_half_the_iterations_of_the_one_before():
    assert [level.end - level.begin for level in levels(1024, 1024, 140)] == [80, 40, 20]
    assert [level.end - level.begin for level in levels(1024, 1024, 7)] == [4, 2, 1]
    assert levels(1024, 1024, 6) == (Level(512, 512, 0, 4), Level(1024, 1024, 4, 6))  # too few for three
    assert levels(1024, 1024, 1) == (Level(1024, 1024, 0, 1),)


@given(st.integers(32, 5000), st.integers(32, 5000), st.integers(1, 3000))
def test_iterations_follow_each_other_and_all_are_taken(height, width, iterations):
    found = levels(height, width, iterations)
    assert (found[-1].height, found[-1].width) == (height, width)
    assert found[0].begin == 0 and found[-1].end == iterations
    assert all(before.end == after.begin for before, after in pairwise(found))
    counts = [level.end - level.begin for level in found]
    assert min(counts) >= 1
    assert min(min(level.height, level.width) for level in found) >= 32
    assert all(before >= after for before, after in pairwise(counts)) or iterations < 100  # rounding


def test_a_style_is_seen_as_large_as_the_picture_and_never_larger_than_it_is():
    style = data.astronaut()  # 512 x 512
    assert fit_style(style, Level(192, 256, 0, 1)).shape == (222, 222, 3)  # 222^2 is 192 x 256, about
    assert fit_style(style[:128], Level(128, 128, 0, 1)).shape == (64, 256, 3)
    assert fit_style(style, Level(600, 800, 0, 1)) is style
    assert min(fit_style(style[:40], Level(64, 64, 0, 1)).shape[:2]) == 32  # else the network could not see it


def test_a_shrunk_style_keeps_its_colors():
    style = data.coffee()
    small = fit_style(style, Level(64, 64, 0, 1))
    assert np.allclose(small.mean((0, 1)), style.mean((0, 1)), atol=1)
