"""Which images are refused, which are noted, and how they are scaled."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from vision_app.core.errors import ImageError
from vision_app.style import checks


@given(width=st.integers(32, 4000), height=st.integers(32, 4000), size=st.integers(32, 4000))
def test_a_scaled_image_has_the_requested_long_side_and_its_aspect_ratio(width, height, size):
    try:
        rows, columns = checks.scaled_shape(width, height, size, "a.jpg")
    except ImageError:
        assert max(width, height) > 16 * min(width, height) or min(width, height) * size / max(width, height) < 32
    else:
        assert max(rows, columns) == size and min(rows, columns) >= 32
        assert abs(rows / columns - height / width) <= 1 / columns * (1 + height / width)
        assert (rows >= columns) == (height >= width) or rows == columns


@pytest.mark.parametrize(
    ("width", "height", "size", "message"),
    [
        (31, 500, None, "a.jpg: too small: 31 x 500 pixels; each side needs 32 or more"),
        (1000, 31, 5000, "too small: 1000 x 31 pixels"),
        (1700, 100, None, "too long: 1700 x 100 pixels; crop it until no side is over 16 times the other"),
        (1000, 100, 200, "size 200 leaves 200 x 20 pixels of it; the nearest that works is 320"),
    ],
)
def test_too_small_and_too_long_images_are_refused(width, height, size, message):
    with pytest.raises(ImageError) as error:
        checks.scaled_shape(width, height, size, "a.jpg")
    assert message in str(error.value)


def test_scaling_matches_pillow_and_keeps_images_that_fit():
    photo = data.astronaut()
    assert checks.scaled(photo, (512, 512)) is photo
    assert checks.at_most(photo, 600) is photo
    small = checks.at_most(photo[:256], 200)
    assert small.shape == (100, 200, 3)
    expected = Image.fromarray(photo[:256]).resize((200, 100), Image.Resampling.LANCZOS)
    assert np.array_equal(small, np.asarray(expected))


def jpeg(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=70)
    return np.asarray(Image.open(stream).convert("RGB"))


@pytest.mark.parametrize(
    ("pixels", "one_color", "grey"),
    [
        (np.full((40, 50, 3), (200, 30, 90), np.uint8), True, False),
        (jpeg(np.full((40, 50, 3), (200, 30, 90), np.uint8)), True, False),
        (np.full((40, 50, 3), 255, np.uint8), True, True),
        (data.astronaut(), False, False),
        (np.repeat(data.camera()[..., None], 3, axis=2), False, True),
        (jpeg(np.repeat(data.camera()[..., None], 3, axis=2)), False, True),
    ],
)
def test_one_color_and_gray_are_recognized_despite_jpeg(pixels, one_color, grey):
    assert checks.has_one_color(pixels) is one_color
    assert checks.is_gray(pixels) is grey


@pytest.mark.parametrize(("apart", "grey"), [(8, True), (9, False), (20, False)])
def test_a_tint_beyond_jpeg_rounding_counts_as_color(apart, grey):
    pixels = np.repeat(data.camera()[..., None] // 2, 3, axis=2)
    pixels[..., 0] += apart  # red
    assert checks.is_gray(pixels) is grey


def test_flat_black_and_white_results_are_noted_unless_the_content_is():
    photo, flat = data.astronaut(), np.full((40, 50, 3), 200, np.uint8)
    dark, light = photo // 30, 255 - photo // 30
    assert checks.result_notes(photo, flat) == ["the result has one color: this style leaves nothing to be seen"]
    assert checks.result_notes(flat, flat) == ["the result has one color"]
    assert checks.result_notes(photo, dark) == ["the result is almost black"]
    assert checks.result_notes(photo, light) == ["the result is almost white"]
    for content, pixels in ((dark, dark), (light, light), (photo, photo), (dark, photo), (photo, 255 - photo)):
        assert checks.result_notes(content, pixels) == []


def test_one_red_dot_is_not_gray():
    pixels = np.repeat(data.camera()[..., None], 3, axis=2)
    pixels[:5, :5] = (255, 0, 0)
    assert checks.content_notes(pixels) == []
    assert checks.content_notes(data.astronaut()) == checks.style_notes("a.jpg", data.astronaut()) == []
