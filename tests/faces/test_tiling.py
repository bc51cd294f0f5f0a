"""What the tiles of a photo cover, and what they cost."""

from hypothesis import given
from hypothesis import strategies as st

from vision_app.faces.tiling import FRAME, MAX_INPUT, MIN_INPUT_SIZE, make_tiles

SIDES = st.integers(40, 9000)


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
    pixels = sum(scale**2 * (tile.right - tile.left) * (tile.bottom - tile.top) for tile in tiles[2:])
    if min(width, height) > 1000:
        assert pixels <= 3.5 * (scale * width) * (scale * height)
    assert len(make_tiles(520, 400, 416, 20)) == 2 and len(make_tiles(540, 400, 416, 20)) == 3
