import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import encode
from PIL import Image

from vision_app.detection.grid import letterbox, letterbox_shape, make_grid
from vision_app.images import read_image

STRIDES = (8, 16, 32)
ANCHORS = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))


def test_rows_run_over_scales_then_lines_then_columns_then_anchors():
    grid = make_grid(64, 96, STRIDES, ANCHORS)
    row = 0
    for stride, anchors in zip(STRIDES, ANCHORS, strict=True):
        for y in range(64 // stride):
            for x in range(96 // stride):
                for anchor in anchors:
                    assert (*grid.cells[row], *grid.strides[row], *grid.anchors[row]) == (x, y, stride, *anchor)
                    row += 1
    assert row == len(grid.cells)


def test_decoding_follows_the_formula_box_by_box():
    grid = make_grid(64, 64, STRIDES, ANCHORS)
    offsets = np.random.default_rng(0).normal(0, 1, (len(grid.cells), 4)).astype(np.float32)
    boxes = grid.decode(offsets)
    for (t_x, t_y, t_h, t_w), (column, row), s, (a_w, a_h), box in zip(
        offsets, grid.cells, grid.strides[:, 0], grid.anchors, boxes, strict=True
    ):
        x, y, w, h = (column + t_x) * s, (row + t_y) * s, a_w * math.exp(t_w), a_h * math.exp(t_h)
        np.testing.assert_allclose(box, [x - w / 2, y - h / 2, x + w / 2, y + h / 2], rtol=1e-4, atol=1e-3)


def test_some_rows_decode_as_they_do_among_all():
    grid = make_grid(96, 64, STRIDES, ANCHORS)
    offsets = np.random.default_rng(1).normal(0, 1, (len(grid.cells), 4)).astype(np.float32)
    rows = np.array([3, 77, 5, len(grid.cells) - 1])
    np.testing.assert_array_equal(grid.decode(offsets[rows], rows), grid.decode(offsets)[rows])


def test_a_wild_offset_gives_a_finite_box():
    grid = make_grid(32, 32, STRIDES, ANCHORS)
    assert np.isfinite(grid.decode(np.full((len(grid.cells), 4), 500, np.float32))).all()


@given(st.integers(1, 6000), st.integers(1, 6000))
def test_letterbox_keeps_the_long_side_and_the_ratio(width, height):
    rows, columns, full_rows, full_columns = letterbox_shape(width, height, 416)
    assert max(rows, columns) == 416
    assert full_rows % 32 == full_columns % 32 == 0
    assert 0 <= full_rows - rows < 32
    assert 0 <= full_columns - columns < 32
    scale = 416 / max(width, height)
    assert abs(rows - max(1, height * scale)) <= 0.5
    assert abs(columns - max(1, width * scale)) <= 0.5


@given(st.integers(20, 900), st.integers(20, 900), st.integers(0, 2**31))
def test_boxes_find_their_way_back_to_the_photo(width, height, seed):
    _, back = letterbox(np.zeros((height, width, 3), np.uint8), width, height, 416, 114)
    corners = np.random.default_rng(seed).uniform(0, 1, (5, 2, 2)) * [width, height]
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    scale = np.array([back.scale_x, back.scale_y] * 2)
    np.testing.assert_allclose(back.to_photo(boxes * scale), boxes, atol=1e-6 * 900)


def test_boxes_are_clipped_to_the_photo():
    _, back = letterbox(np.zeros((100, 200, 3), np.uint8), 200, 100, 416, 114)
    np.testing.assert_array_equal(back.to_photo(np.array([[-50.0, -1.0, 1000.0, 900.0]])), [[0, 0, 200, 100]])


def test_the_picture_lies_in_the_top_left_on_gray():
    pixels = np.full((60, 120, 3), (200, 10, 30), np.uint8)
    canvas, back = letterbox(pixels, 120, 60, 416, 114)
    assert canvas.shape == (224, 416, 3)
    assert (canvas[:208] == (200, 10, 30)).all()
    assert (canvas[208:] == 114).all()
    assert (back.scale_x, back.scale_y) == pytest.approx((416 / 120, 208 / 60))


def test_a_photo_decoded_at_half_size_gives_boxes_in_its_full_size():
    full, half = np.zeros((480, 640, 3), np.uint8), np.zeros((240, 320, 3), np.uint8)
    assert letterbox(half, 640, 480, 416, 114)[1] == letterbox(full, 640, 480, 416, 114)[1]


@pytest.mark.parametrize(("width", "height"), [(3329, 2497), (2497, 3329)])
def test_edges_near_the_far_sides_are_found_where_they_are_however_the_photo_is_decoded(width, height):
    """Both sides leave 1 when divided by 8, so the last column and row of reduced pixels lie almost outside."""
    left, top = width - 29, height - 60
    photo = np.zeros((height, width), np.uint8)
    photo[:, left:] = photo[top:] = 255
    image = read_image(encode(Image.fromarray(photo), "JPEG", quality=100), target=416)
    assert image.pixels.shape[1] < width / 7
    canvas, back = letterbox(image.pixels, image.width, image.height, 416, 0)
    dark = 255 - canvas[: round(back.scale_y * height), : round(back.scale_x * width), 0].astype(float)
    x, y = dark[100].sum() / 255, dark[:, 100].sum() / 255  # where the dark part ends
    np.testing.assert_allclose(back.to_photo(np.array([[0, 0, x, y]]))[0], [0, 0, left, top], atol=1.5)


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1)])
def test_a_line_of_pixels_is_averaged_as_every_picture_is(shape):
    stripes = np.where(np.arange(4000) % 10 == 0, 200, 0).astype(np.uint8).reshape(*shape, 1).repeat(3, axis=2)
    canvas, _ = letterbox(stripes, shape[1], shape[0], 400, 114)
    assert (canvas[: max(1, shape[0] // 10), : max(1, shape[1] // 10)] == 20).all()


@pytest.mark.parametrize(
    ("width", "height", "stretch", "expected"),
    [
        (640, 480, 1.5, (416, 416, 416, 416)),  # 4:3 becomes square
        (480, 640, 1.5, (416, 416, 416, 416)),
        (640, 320, 1.5, (312, 416, 320, 416)),  # 2:1 is stretched as far as allowed, then padded
        (320, 640, 1.5, (416, 312, 416, 320)),
        (400, 400, 1.5, (416, 416, 416, 416)),
        (640, 480, 1.0, (312, 416, 320, 416)),
    ],
)
def test_the_short_side_is_stretched_as_far_as_it_may(width, height, stretch, expected):
    assert letterbox_shape(width, height, 416, stretch) == expected


def test_boxes_of_a_stretched_photo_come_back_in_its_pixels():
    pixels = np.zeros((60, 90, 3), np.uint8)
    _, back = letterbox(pixels, 90, 60, 96, 114, 1.5)
    np.testing.assert_allclose(back.to_photo(np.float32([[16, 16, 80, 64]])), [[15, 10, 75, 40]], rtol=1e-6)


def test_cells_are_rounded_up_where_a_stride_does_not_divide():
    grid = make_grid(96, 160, (32, 64), (((1.0, 1.0),), ((2.0, 2.0),)))
    assert len(grid.cells) == 3 * 5 + 2 * 3
    assert grid.cells[-1].tolist() == [2, 1]
