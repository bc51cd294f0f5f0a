import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import encode
from PIL import Image

from vision_app.core.images import read_image
from vision_app.core.letterbox import letterbox, letterbox_shape


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


def test_the_image_is_placed_top_left_on_gray():
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
def test_a_line_of_pixels_is_averaged_as_every_image_is(shape):
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
