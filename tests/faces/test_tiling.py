"""What the tiles of a photo cover, and what they cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_app.faces.tiling import FRAME, MAX_INPUT, MAX_TILES, MIN_INPUT_SIZE, make_tiles

SIDES = st.integers(40, 20_000)


@given(SIDES, SIDES, st.floats(20, 200), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_each_face_lies_whole_and_large_enough_in_a_tile(width, height, smallest, x, y, share):
    most = min(width, height)
    side = min(smallest * (most / smallest) ** share, most) if most > smallest else most
    left, top = x * (width - side), y * (height - side)
    seen = [
        side * tile.size / max(tile.right - tile.left, tile.bottom - tile.top)
        for tile in make_tiles(width, height, 416, smallest)
        if tile.left <= left
        and tile.top <= top
        and left + side <= tile.right
        and top + side <= tile.bottom
        and side <= tile.largest
    ]
    assert max(seen) >= MIN_INPUT_SIZE * min(1, side / smallest) * 0.95


@given(SIDES, SIDES, st.floats(20, 200))
def test_tiles_lie_in_the_photo_and_stay_affordable(width, height, smallest):
    tiles = make_tiles(width, height, 416, smallest)
    assert tiles[0].size == 416 and tiles[1].size < 208 and tiles[1].frame == FRAME
    scale = MIN_INPUT_SIZE / smallest
    for tile in tiles:
        assert 0 <= tile.left < tile.right <= width and 0 <= tile.top < tile.bottom <= height
        assert tile.size <= MAX_INPUT + 3
    sides = [(tile.right - tile.left, tile.bottom - tile.top) for tile in tiles]
    pixels = sum(
        (tile.size / max(both)) ** 2 * both[0] * both[1] for tile, both in zip(tiles[2:], sides[2:], strict=True)
    )
    if min(width, height) > 1000:
        assert pixels <= 3.5 * (scale * width) * (scale * height)
    assert len(make_tiles(520, 400, 416, 20)) == 2 and len(make_tiles(540, 400, 416, 20)) == 3


@pytest.mark.parametrize(
    ("size", "smallest", "most"),
    [
        ((1, 100_000), 20, 105),
        ((100_000, 1), 20, 105),
        ((100_000_000, 1), 20, MAX_TILES),
        ((5_000_000, 20), 20, MAX_TILES),
        ((16_000, 4000), 20, 45),
        ((10_000, 10_000), 20, 70),
        ((8000, 6000), 20, 40),
        ((10_000, 10_000), 4, MAX_TILES),
        ((4000, 3000), 20, 11),
    ],
)
def test_the_number_of_tiles_is_bounded_for_photos_of_any_shape(size, smallest, most):
    tiles = make_tiles(*size, 416, smallest)
    assert len(tiles) <= most
    assert {0, size[0]} <= {side for tile in tiles[2:] for side in (tile.left, tile.right)}
    assert {0, size[1]} <= {side for tile in tiles[2:] for side in (tile.top, tile.bottom)}


def test_photos_with_a_single_larger_scale_keep_their_tiles():
    """As of version 0.1: rows of ordinary photos stay as they are."""
    tiles = [(tile.left, tile.top, tile.right, tile.bottom, tile.size) for tile in make_tiles(4000, 3000, 416, 20)]
    assert tiles == [
        (0, 0, 4000, 3000, 416),
        (0, 0, 4000, 3000, 191),
        (0, 0, 1539, 1206, 1232),
        (1230, 0, 2770, 1206, 1232),
        (2461, 0, 4000, 1206, 1232),
        (0, 897, 1539, 2103, 1232),
        (1230, 897, 2770, 2103, 1232),
        (2461, 897, 4000, 2103, 1232),
        (0, 1794, 1539, 3000, 1232),
        (1230, 1794, 2770, 3000, 1232),
        (2461, 1794, 4000, 3000, 1232),
    ]
