"""Points follow the dots that they mark through every change, and left stays left."""

import albumentations as A
import numpy as np
import pytest
from labeled import boxes

from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.core.letterbox import PAD
from vision_app.released.landmarks import Landmarks
from vision_app.training.augment import Augmenter, Scene, SceneScale, mosaic, place, random_crop

NAMES = Landmarks(("left_eye", "right_eye", "nose", "mark"))
DOTS = (255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 0)
PLACES = np.float32([[40, 30], [80, 36], [60, 60], [66, 10]])
RADIUS = 4


def photo(width=120, height=90):
    """A gray photo with a dot of its own color at each of the places; nobody knows where the yellow one is."""
    pixels = np.full((height, width, 3), PAD, np.uint8)
    y, x = np.mgrid[:height, :width] + 0.5
    for (cx, cy), color in zip(PLACES, DOTS, strict=True):
        pixels[(x - cx) ** 2 + (y - cy) ** 2 <= RADIUS**2] = color
    landmarks = PLACES.copy()
    landmarks[3] = np.nan
    points = np.stack([landmarks, np.full((4, 2), np.nan, np.float32)])
    return Scene(pixels, boxes([[30, 5, 90, 70], [0, 0, 20, 20]], [0, 1], landmarks=points))


def near(pixels, color):
    return np.abs(pixels.astype(int) - color).sum(axis=2) < 120


def center(pixels, color):
    """The center of a color's pixels, or None where the dot may be cut."""
    y, x = np.nonzero(near(pixels, color))
    height, width = pixels.shape[:2]
    if not len(x) or x.min() < 2 or y.min() < 2 or x.max() > width - 3 or y.max() > height - 3:
        return None
    return np.array([x.mean() + 0.5, y.mean() + 0.5])


def assert_points_follow(scene, mirrored=False):
    """Every known point is the center of its dot, in a mirrored image of its partner's; returns how many are."""
    checked, colors = 0, [DOTS[i] for i in NAMES.flip] if mirrored else DOTS
    landmarks, labels = scene.boxes.landmarks, scene.boxes.labels
    assert np.isnan(landmarks[labels == 1]).all()
    for points in landmarks[labels == 0]:
        assert np.isnan(points[3]).all()
        for point, color in zip(points[:3], colors[:3], strict=True):
            if (found := center(scene.pixels, color)) is not None:
                np.testing.assert_allclose(point, found, atol=0.7)
                checked += 1
            elif not near(scene.pixels, color).any():
                assert np.isnan(point).all() or _at_the_edge(point, scene.pixels)
    return checked


def _at_the_edge(point, pixels):
    """A dot may vanish before its center does when the image is small."""
    return min(*point, *(np.array(pixels.shape[1::-1]) - point)) < 2


def test_crops_and_shrunken_copies_move_points():
    views = [random_crop(photo(), SceneScale(96, 1.0, (0.6, 1.5)), np.random.default_rng(seed)) for seed in range(40)]
    assert sum(map(assert_points_follow, views)) > 80


def test_points_outside_the_window_are_not_known():
    result = place(photo(), np.zeros((90, 120, 3), np.uint8), (1.0, 1.0), (-50.0, 0.0), (0, 0, 120, 50))
    np.testing.assert_array_equal(
        result.boxes.landmarks, np.float32([[[np.nan] * 2, [30, 36], [np.nan] * 2, [np.nan] * 2]])
    )


def test_a_mosaic_takes_the_points_of_its_four_photos():
    view = SceneScale(200, 1.0, (0.9, 1.1))
    for seed in range(10):
        generator = np.random.default_rng(seed)
        scenes = [Scene(np.zeros((90, 120, 3), np.uint8), LabeledBoxes.empty(points=4))] * 4
        scenes[seed % 4] = photo()
        assert_points_follow(mosaic(scenes, view, generator))


@pytest.mark.parametrize("turning", [False, True])
def test_left_stays_left_in_a_mirror(turning):
    augmenter = Augmenter(128, seed=3, mosaic=0.0, zoom=(0.8, 1.0), flip=NAMES.flip)
    for part in augmenter._transforms.transforms:
        part.p = float(isinstance(part, A.HorizontalFlip) or (turning and isinstance(part, A.Affine)))
    checked = 0
    for index in range(20):
        result = augmenter(lambda _: photo(), 1, 0, index, close=False)
        left, right = result.boxes.landmarks[result.boxes.labels == 0, :2].reshape(-1, 2, 2).transpose(1, 0, 2)
        assert not (left[:, 0] > right[:, 0]).any()
        checked += assert_points_follow(result, mirrored=True)
    assert checked > 30


def test_the_usual_changes_keep_points_in_the_image_and_apart_from_what_is_not_known():
    augmenter = Augmenter(96, seed=5, flip=NAMES.flip)
    known = 0
    for index in range(60):
        result = augmenter(lambda _: photo(), 4, 0, index, close=index % 2 == 0)
        landmarks = result.boxes.landmarks
        assert landmarks.dtype == np.float32 and landmarks.shape == (len(result.boxes), 4, 2)
        points = landmarks[np.isfinite(landmarks).all(axis=2)]
        assert (points >= 0).all() and (points <= 96).all()
        known += len(points)
    assert known > 120
