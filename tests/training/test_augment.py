"""Boxes follow their objects through every change, and the same numbers give the same scene."""

import hashlib
import subprocess
import sys
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labeled import boxes

from vision_app.core.letterbox import PAD, letterbox
from vision_app.training import augment
from vision_app.training.augment import (
    Augmenter,
    Scene,
    SceneScale,
    default_transforms,
    fitting_scale,
    mosaic,
    place,
    random_crop,
)

pytestmark = pytest.mark.slow

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
COLORS = (RED, GREEN, BLUE, YELLOW)
ZOOM = (0.5, 1.5)


def scene(width, height, box, color=RED, number=0):
    """A gray photo with one object: a rectangle of one color."""
    pixels = np.full((height, width, 3), PAD, np.uint8)
    x1, y1, x2, y2 = box
    pixels[y1:y2, x1:x2] = color
    return Scene(pixels, boxes([box], [number]))


def colored(pixels, color):
    """The box around all pixels nearer to a color than to gray, or None."""
    distance = np.abs(pixels.astype(int) - color).sum(axis=2)
    y, x = np.nonzero(distance < np.abs(np.subtract(color, PAD)).sum() / 2)
    return [x.min(), y.min(), x.max() + 1, y.max() + 1] if len(x) else None


def assert_boxes_follow(result, colors=COLORS, tolerance=1.0):
    """Every box surrounds the pixels of its object's color, inside the image."""
    assert len(set(result.boxes.labels.tolist())) == len(result.boxes)
    height, width = result.pixels.shape[:2]
    for box, number in zip(result.boxes.xyxy, result.boxes.labels, strict=True):
        np.testing.assert_allclose(box, colored(result.pixels, colors[number]), atol=tolerance)
        assert 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height


def test_a_view_takes_the_box_along():
    kept = 0
    for seed in range(60):
        one = scene(120 + 3 * seed, 100, (30, 20, 90, 70))
        result = random_crop(one, SceneScale(96, 1.0, ZOOM), np.random.default_rng(seed))
        assert result.pixels.shape == (96, 96, 3)
        assert_boxes_follow(result)
        kept += len(result.boxes)
    assert kept > 50  # a crop rarely loses an object of this size


def test_a_mosaic_takes_all_four_boxes_along():
    kept = 0
    for seed in range(60):
        scenes = [scene(100, 80 + 20 * i, (20, 15, 80, 60), color, i) for i, color in enumerate(COLORS)]
        result = mosaic(scenes, SceneScale(160, 1.0, ZOOM), np.random.default_rng(seed))
        assert result.pixels.shape == (160, 160, 3)
        assert_boxes_follow(result)
        kept += len(result.boxes)
    assert kept > 170


def test_views_shrink_and_crop_and_a_mosaic_meets_where_it_is_told():
    whole = scene(100, 100, (0, 0, 100, 100))
    sides = [
        np.ptp(
            random_crop(whole, SceneScale(64, 1.0, ZOOM), np.random.default_rng(seed)).boxes.xyxy.reshape(2, 2), axis=0
        ).max()
        for seed in range(60)
    ]
    assert min(sides) < 40 and max(sides) == 64
    scenes = [scene(100, 100, (0, 0, 100, 100), color, i) for i, color in enumerate(COLORS)]
    for seed in range(20):
        result = mosaic(scenes, SceneScale(100, 1.0, (1.1, 1.5)), np.random.default_rng(seed))
        corner = colored(result.pixels, RED)[2:]
        assert all(30 <= side <= 70 for side in corner)
        corners = [tuple(result.pixels[y, x]) for y in (1, -2) for x in (1, -2)]
        assert corners == list(COLORS)  # at a zoom from 1 each photo fills its quarter


sides, numbers = st.integers(20, 90), st.floats(-60, 60)


@given(width=sides, height=sides, scale=st.floats(0.3, 3), x=numbers, y=numbers, data=st.data())
def test_place_puts_the_object_where_the_formula_says(width, height, scale, x, y, data):
    x1, y1 = data.draw(st.integers(1, width - 10)), data.draw(st.integers(1, height - 10))
    box = (x1, y1, data.draw(st.integers(x1 + 8, width - 1)), data.draw(st.integers(y1 + 8, height - 1)))
    left, top = data.draw(st.integers(0, 40)), data.draw(st.integers(0, 40))
    window = (left, top, data.draw(st.integers(left + 10, 100)), data.draw(st.integers(top + 10, 80)))
    canvas = np.full((80, 100, 3), 7, np.uint8)
    result = place(scene(width, height, box), canvas, (scale, scale), (x, y), window)

    outside = np.ones((80, 100), bool)
    outside[window[1] : window[3], window[0] : window[2]] = False
    assert (canvas[outside] == 7).all() and (canvas[~outside] != 7).any(axis=-1).all()

    factors = max(1, round(width * scale)) / width, max(1, round(height * scale)) / height  # whole pixels
    moved = np.array(box) * (factors * 2) + [round(x), round(y)] * 2
    inside = np.clip(moved, np.tile(window[:2], 2), np.tile(window[2:], 2))
    size, full = inside[2:] - inside[:2], moved[2:] - moved[:2]
    if len(result.boxes):
        np.testing.assert_allclose(result.boxes.xyxy, [inside], atol=1e-3)
        assert (size > 1.99).all() and size.prod() > 0.199 * full.prod()
        np.testing.assert_allclose(result.boxes.xyxy[0], colored(canvas, RED), atol=1)
    else:
        assert (size < 2.01).any() or size.prod() < 0.201 * full.prod()


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((0, 0, 50, 50), True),
        ((90, 0, 140, 50), True),  # exactly a fifth of it is in the image
        ((91, 0, 141, 50), False),
        ((98, 0, 106, 50), True),  # two pixels of it
        ((99, 0, 103, 50), False),  # a quarter of it, but one pixel
        ((100, 0, 150, 50), False),
    ],
)
def test_boxes_that_are_mostly_cut_off_are_dropped(box, kept):
    wide = scene(200, 100, box)
    result = place(wide, np.zeros((100, 100, 3), np.uint8), (1.0, 1.0), (0.0, 0.0), (0, 0, 100, 100))
    assert result.boxes.labels.tolist() == ([0] if kept else [])


GEOMETRY = (A.HorizontalFlip, A.Affine)
OTHERS = {"HueSaturationValue", "RandomBrightnessContrast", "ToGray", "OneOf", "CoarseDropout"}


def only(kinds):
    """The default transforms of some kinds, each of them always."""
    compose = default_transforms()
    parts = [part for part in compose.transforms if isinstance(part, kinds)]
    for part in parts:
        part.p = 1.0
    processors = compose.processors
    return A.Compose(parts, bbox_params=processors["bboxes"].params, keypoint_params=processors["keypoints"].params)


def test_geometry_is_told_from_the_rest():
    names = {type(part).__name__ for part in default_transforms().transforms}
    assert names == OTHERS | {kind.__name__ for kind in GEOMETRY}


def test_degraded_images_are_gray_and_lose_fine_detail():
    rng = np.random.default_rng(0)
    noise = Scene(rng.integers(0, 256, (96, 96, 3), np.uint8), boxes([[8, 8, 80, 80]], [0]))
    compose, details = default_transforms(degraded=1.0), []
    for seed in range(4):
        compose.set_random_seed(seed)
        pixels = augment.transformed(noise, compose).pixels.astype(int)
        assert np.ptp(pixels, axis=2).max() <= 2
        details.append(np.abs(np.diff(pixels.mean(axis=2), axis=1)).mean())
    assert np.mean(details) < 0.8 * np.abs(np.diff(noise.pixels.mean(axis=2), axis=1)).mean()


@pytest.mark.parametrize("kinds", [A.HorizontalFlip, GEOMETRY])
def test_the_whole_augmenter_takes_boxes_along(kinds):
    """With ellipses: the box around a turned ellipse is exact, that around a turned rectangle's ellipse is not."""
    pixels, ids = np.full((120, 150, 3), PAD, np.uint8), [2, 0, 3, 1]
    y, x = np.mgrid[:120, :150] + 0.5
    for number, cx, cy in zip(ids, (38, 112, 38, 112), (30, 30, 90, 90), strict=True):
        pixels[((x - cx) / 30) ** 2 + ((y - cy) / 20) ** 2 <= 1] = COLORS[number]
    photo = Scene(pixels, boxes([[8, 10, 68, 50], [82, 10, 142, 50], [8, 70, 68, 110], [82, 70, 142, 110]], ids))
    augmenter = Augmenter(128, seed=5, mosaic=0.0)
    augmenter._transforms = only(kinds)
    kept = 0
    for index in range(40):
        result = augmenter(lambda _: photo, 1, 0, index, close=True)
        x1, y1, x2, y2 = result.boxes.xyxy.T
        whole = (x1 > 6) & (y1 > 6) & (x2 < 122) & (y2 < 122)  # of a cut ellipse the box is that of its rectangle
        kept += whole.sum()
        assert_boxes_follow(Scene(result.pixels, result.boxes[whole]), tolerance=2.0)
    assert kept > 60


def photos(number):
    generator = np.random.default_rng(number)
    pixels = generator.integers(0, 256, (60 + 10 * number, 80, 3), dtype=np.uint8)
    return Scene(pixels, boxes([[5, 5, 40, 40], [20, 10, 70, 50]], [2 * number, 2 * number + 1]))


def digest(result):
    parts = (result.pixels, result.boxes.xyxy, result.boxes.labels)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def draw_all(augmenter, order):
    return {key: digest(augmenter(photos, 5, *key, close=key[0] == 3)) for key in order}


KEYS = [(epoch, index) for epoch in range(4) for index in range(5)]


def test_a_scene_depends_on_seed_epoch_and_index_alone():
    there = draw_all(Augmenter(64, seed=7), KEYS)
    back = draw_all(Augmenter(64, seed=7), reversed(KEYS))
    assert there == back
    assert len(set(there.values())) == len(KEYS)
    assert not set(there.values()) & set(draw_all(Augmenter(64, seed=8), KEYS).values())


@pytest.fixture(scope="module")
def elsewhere():
    """What a process prints that draws the scenes in another order and may not use a network."""
    program = (
        "import socket\n"
        "def refuse(*words): raise AssertionError('a connection')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import vision_app.training.augment, os; print(os.environ['NO_ALBUMENTATIONS_UPDATE'])\n"
        f"import sys; sys.path[:0] = {[str(Path(__file__).parents[i]) for i in (0, 1)]!r}\n"
        "import random, numpy; random.seed(99); numpy.random.seed(99)\n"
        "from test_augment import KEYS, Augmenter, draw_all\n"
        "print(*draw_all(Augmenter(64, seed=7), KEYS[::-1]).values())"
    )
    root = Path(__file__).resolve().parents[2]
    return subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)


def test_another_process_draws_the_same_scenes(elsewhere):
    _, *scenes = elsewhere.stdout.split()
    assert scenes == list(draw_all(Augmenter(64, seed=7), KEYS[::-1]).values())


def test_scenes_are_what_the_network_takes():
    augmenter = Augmenter(64, seed=1)
    seen = set()
    for epoch, index in [(epoch, index) for epoch in range(20) for index in range(5)]:
        result = augmenter(photos, 5, epoch, index, close=False)
        assert result.pixels.shape == (64, 64, 3) and result.pixels.dtype == np.uint8
        xyxy, labels = result.boxes.xyxy, result.boxes.labels
        assert xyxy.dtype == np.float32 and xyxy.shape == (len(labels), 4)
        assert (xyxy >= 0).all() and (xyxy <= 64).all() and (xyxy[:, 2:] > xyxy[:, :2]).all()
        assert (labels >= 0).all() and (labels < 10).all()
        seen |= set(labels.tolist())
    assert seen == set(range(10))


def test_photos_without_objects_stay_without():
    empty = Scene(np.zeros((50, 70, 3), np.uint8), boxes())
    for index in range(10):
        result = Augmenter(64, seed=1)(lambda _: empty, 3, 0, index, close=index % 2 == 0)
        assert result.boxes.xyxy.shape == (0, 4) and result.boxes.labels.shape == (0,)


def test_the_last_passes_show_one_photo_each():
    augmenter = Augmenter(64, seed=1, mosaic=1.0)
    for index in range(5):
        loaded = []
        load = lambda i, loaded=loaded: loaded.append(int(i)) or photos(i)  # noqa: E731
        augmenter(load, 5, 0, index, close=False)
        assert loaded[0] == index and len(loaded) == 4
        loaded.clear()
        augmenter(load, 5, 0, index, close=True)
        assert loaded == [index]


def test_nothing_asks_the_network_for_a_newer_version(elsewhere):
    assert (elsewhere.stdout.split()[0], elsewhere.stderr) == ("1", "")


@pytest.mark.parametrize(("width", "height"), [(150, 100), (100, 150), (300, 100)])
def test_a_stretched_view_is_as_prediction_sees_the_photo(width, height):
    canvas = np.zeros((96, 96, 3), np.uint8)
    whole = scene(width, height, (0, 0, width, height))
    result = place(whole, canvas, fitting_scale(width, height, 96, 1.5), (0, 0), (0, 0, 96, 96))
    pixels, back = letterbox(whole.pixels, width, height, 96, PAD, 1.5)
    np.testing.assert_array_equal(result.pixels[: pixels.shape[0], : pixels.shape[1]], pixels)
    np.testing.assert_allclose(back.to_photo(result.boxes.xyxy), [[0, 0, width, height]], atol=0.5)


def test_training_imports_no_subject():
    lines = [line for path in Path(augment.__file__).parent.glob("*.py") for line in path.read_text().splitlines()]
    assert [line for line in lines if line.startswith("from vision_app.detection")] == []
