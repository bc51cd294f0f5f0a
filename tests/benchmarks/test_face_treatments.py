"""What is done to photos for the table of turned and damaged ones."""

import face_treatments
import numpy as np
import pytest
from face_treatments import DAMAGES
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.faces.quality import Quality
from vision_app.faces.results import Face

RNG = np.random.default_rng(0)
FACE = Face(np.array([185.0, 60, 265, 180]), 1.0, ASTRONAUT, Quality(100.0, 0.2, 0.0, 0.0, 0.0, 0.5, (), 0.9))
NOISE = RNG.integers(0, 256, (200, 300, 3), np.uint8)


@pytest.mark.parametrize(("degrees", "quarters"), [(0, 0), (90, -1), (180, 2), (270, 1)])
def test_photos_turn_clockwise(degrees, quarters):
    pixels = RNG.integers(0, 256, (31, 31, 3), np.uint8)
    turned = face_treatments.turned(degrees, pixels, FACE, RNG)
    np.testing.assert_array_equal(turned, np.rot90(pixels, quarters))


def test_a_padded_photo_keeps_its_corners_at_every_angle():
    pixels = np.full((30, 50, 3), 200, np.uint8)
    square = face_treatments.padded(pixels)
    assert square.shape == (59, 59, 3) and (square == 200).all(axis=2).sum() == 30 * 50
    for degrees in (30, 45, 90, 200):
        turned = face_treatments.turned(degrees, square, FACE, RNG)
        assert (turned > 150).all(axis=2).sum() == pytest.approx(30 * 50, rel=0.05)


@pytest.mark.parametrize(
    ("name", "shape", "value"),
    [
        ("12 px", (24, 36), 200),
        ("9 px", (18, 27), 200),
        ("light / 10", (200, 300), 20),
        ("blurred, 4 %", (200, 300), 200),
        ("stretched 2x", (200, 600), 200),
        ("negative", (200, 300), 55),
    ],
)
def test_damages_change_size_and_light_as_they_say(name, shape, value):
    pixels = np.full((200, 300, 3), 200, np.uint8)
    damaged = DAMAGES[name](pixels, FACE, RNG)
    assert damaged.shape == (*shape, 3) and damaged.dtype == np.uint8 and (damaged == value).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_moving_photo_shows_each_point_along_a_line_of_one_direction(axis):
    name = f"moved along {'yx'[axis]}, 15%"
    dot = np.zeros((200, 300, 3), np.uint8)
    dot[90, 140] = 255
    length = round(0.15 * FACE.quality.size)
    rows, columns = np.nonzero(DAMAGES[name](dot, FACE, RNG)[..., 0])
    along, across = (rows, columns) if axis == 0 else (columns, rows)
    assert len(along) == length > 8 and np.ptp(along) == length - 1 and np.ptp(across) == 0


@pytest.mark.parametrize(("name", "hidden", "seen"), [("masked", (3, 4), (0, 1)), ("sunglasses", (0, 1), (2, 3, 4))])
def test_masks_and_sunglasses_lie_on_the_landmarks(name, hidden, seen):
    pixels = np.full((512, 512, 3), (200, 120, 90), np.uint8)
    damaged = DAMAGES[name](pixels, FACE, np.random.default_rng(3))
    changed = (damaged != pixels).any(axis=2)
    x, y = ASTRONAUT.round().astype(int).T
    assert changed[y[list(hidden)], x[list(hidden)]].all() and not changed[y[list(seen)], x[list(seen)]].any()
    assert 0.005 < changed.mean() < 0.1
    gray = np.repeat(pixels[..., :1], 3, axis=2)
    drawn = DAMAGES[name](gray, FACE, np.random.default_rng(3))
    assert (drawn == drawn[..., :1]).all(), "gray on a gray photo"


@pytest.mark.parametrize(
    ("name", "side"), [("60 px, squares of 4", 4), ("36 px, squares of 3", 3), ("120 px, squares of 12", 12)]
)
def test_a_pixelated_photo_consists_of_squares_of_their_means(name, side):
    damaged, whole = DAMAGES[name](NOISE, FACE, RNG), face_treatments.shrunk(int(name.split()[0]), NOISE, FACE, RNG)
    rows, columns = (length // side for length in whole.shape[:2])
    assert damaged.shape == (rows * side, columns * side, 3)
    squares = damaged.reshape(rows, side, columns, side, 3)
    assert (squares == squares[:, :1, :, :1]).all()
    expected = whole[: rows * side, : columns * side].reshape(squares.shape).mean(axis=(1, 3))
    np.testing.assert_allclose(squares[:, 0, :, 0], expected, atol=0.51)


def test_squares_may_have_the_color_of_a_pixel_or_of_a_median():
    whole = face_treatments.shrunk(60, NOISE, FACE, RNG)
    nearest, median = (DAMAGES[f"60 px, {kind} of 5"](NOISE, FACE, RNG) for kind in ("single pixels", "medians"))
    assert nearest[7, 13].tolist() == whole[7, 12].tolist()
    assert median[7, 13].tolist() == np.median(whole[5:10, 10:15], axis=(0, 1)).astype(int).tolist()


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("noise of 25", 128, 25), ("noise of 12", 128, 12), ("photon noise of 25", 128, 25),
        ("light / 4, noise of 12", 32, 12), ("3 % dots", 128, 22), ("10 % dots", 128, 40),
    ],
)  # fmt: skip
def test_noise_is_as_strong_as_it_says(name, mean, deviation):
    damaged = DAMAGES[name](np.full((400, 400, 3), 128, np.uint8), FACE, np.random.default_rng(0))
    assert damaged.mean() == pytest.approx(mean, abs=1) and damaged.std() == pytest.approx(deviation, rel=0.04)


@pytest.mark.parametrize(("name", "colors"), [("dithered", 2), ("4 colors", 4), ("8 colors", 8), ("3 levels", 27)])
def test_few_colors_are_left(name, colors):
    damaged = DAMAGES[name](NOISE, FACE, RNG)
    assert len(np.unique(damaged.reshape(-1, 3), axis=0)) == colors


@pytest.mark.parametrize("better", ["JPEG 10", "JPEG 5", "JPEG 3"])
def test_a_photo_is_compressed_to_a_lower_quality(better):
    whole = face_treatments.shrunk(60, data.astronaut(), FACE, RNG).astype(int)

    def loss(name):
        return np.abs(DAMAGES[name](data.astronaut(), FACE, RNG) - whole).mean()

    assert 3 < loss(better) < loss("JPEG 1")
    assert loss("WebP 1") > 3 and loss("blurred, JPEG 10") > loss("JPEG 10")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("cut at the bottom, 40 %", (132, 300)),
        ("cut at the top, 40 %", (92, 300)),
        ("cut at the left, 50 %", (200, 75)),
    ],
)
def test_a_photo_is_cut_through_the_face(name, shape):
    assert DAMAGES[name](NOISE, FACE, RNG).shape == (*shape, 3)


@pytest.mark.parametrize(("name", "seen"), [("right, 35 %", slice(0, 237)), ("left, 50 %", slice(225, 300))])
def test_a_part_of_the_face_is_hidden_with_the_photo_beside_it(name, seen):
    damaged = DAMAGES[f"hidden at the {name}"](NOISE, FACE, RNG)
    expected = np.full_like(NOISE, 40)
    expected[:, seen] = NOISE[:, seen]
    np.testing.assert_array_equal(damaged, expected)


@pytest.mark.parametrize("name", ["embossed", "sharpened"])
def test_filters_keep_what_is_plain(name):
    plain = np.full((200, 300, 3), 90, np.uint8)
    damaged = DAMAGES[name](plain, FACE, RNG)
    assert damaged.shape == (120, 180, 3) and len(np.unique(damaged[2:-2, 2:-2])) == 1
    assert DAMAGES[name](NOISE, FACE, RNG).std() > 20
