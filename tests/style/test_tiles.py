"""Tiles cover an image, and what is painted in them is what would be painted in one."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from vision_app.style.tiles import in_tiles, spans


@given(length=st.integers(1, 5000), overlap=st.integers(0, 80), multiple=st.integers(1, 8), more=st.integers(0, 600))
def test_spans_cover_a_length_with_enough_context(length, overlap, multiple, more):
    tile = 2 * overlap + multiple + more
    parts = spans(length, tile, overlap, multiple)
    assert parts[0].first == 0 and parts[-1].last == length
    for part in parts:
        assert 0 <= part.start <= part.first < part.last <= part.stop <= length
        assert part.stop - part.start <= tile and part.start % multiple == 0
        assert part.start == 0 or part.first - part.start >= overlap
        assert part.stop == length or part.stop - part.last >= overlap
    for one, other in pairwise(parts):
        assert one.last == other.first
    lengths = [part.stop - part.start for part in parts]
    assert len(set(lengths[:-1])) <= 1 and lengths[0] - lengths[-1] < multiple  # so that a network can reuse memory


def test_spans_are_as_few_and_as_short_as_possible():
    assert len(spans(512, 512, 60, 4)) == 1
    assert len(spans(513, 512, 60, 4)) == 2
    assert len(spans(512 + 392, 512, 60, 4)) == 2  # 392 = 512 - 2 * 60 more with every tile
    assert len(spans(512 + 393, 512, 60, 4)) == 3
    assert [part.stop - part.start for part in spans(600, 512, 60, 4)] == [360, 360]  # 600 + 2 * 60, halved


@pytest.mark.parametrize("shape", [(40, 60), (131, 64), (97, 150), (203, 255)])
def test_a_filter_no_wider_than_the_overlap_gives_the_same_in_tiles(shape):
    pixels = np.ascontiguousarray(data.astronaut()[: shape[0], : shape[1]])
    seen = []

    def blur(part):
        seen.append(part.shape)
        return cv2.blur(part, (17, 17), borderType=cv2.BORDER_REFLECT_101)

    whole = blur(pixels)
    tiled = in_tiles(pixels, blur, tile=64, overlap=8, multiple=4)
    assert np.array_equal(tiled, whole)
    assert max(max(rows, columns) for rows, columns, _ in seen[1:]) <= 64
