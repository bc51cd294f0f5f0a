"""What training makes of photos on their way to the network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_sets import coco
from image_files import quadrants
from labeled import boxes
from PIL import Image

from vision_app.core.labeled_boxes import REGION
from vision_app.data.coco import load_coco
from vision_app.data.samples import DetectionSet, ImageAnnotations, ImageCache
from vision_app.data.scan_report import ScanReport
from vision_app.detection.model.yolo import Targets
from vision_app.detection.train.batches import Scenes, plain_batches, resized, sizes
from vision_app.training.augment import Augmenter, whole_scene


@pytest.fixture
def data(tmp_path):
    return load_coco(coco(tmp_path / "set"))


def test_a_scene_knows_labels_scores_and_ignored_boxes(data):
    pixels, found = Scenes(data, Augmenter(64, seed=0, mosaic=0.0), epoch=0, close=True)[1]
    targets = Targets.of(found)
    assert pixels.shape == (3, 64, 64) and pixels.dtype == torch.uint8
    assert 0 < len(targets.boxes) == len(targets.labels) == len(targets.scores)
    assert (targets.labels == 0).all() and (targets.scores == 1).all() and targets.ignored.shape[1] == 4


def test_a_photo_decoded_at_a_reduced_size_takes_its_boxes_along(tmp_path):
    Image.fromarray(quadrants(640, 480)).save(tmp_path / "a.jpg")
    objects = ImageAnnotations("a.jpg", 640, 480, ScanReport())
    objects.add((320, 0, 640, 240), 0, "a row")
    objects.add((0, 0, 64, 48), 0, "a row", ignored=True)
    data = DetectionSet(("green",), (objects.sample(tmp_path / "a.jpg", {0}),), images=ImageCache(target=100))
    scene = whole_scene(data, 0)
    assert scene.pixels.shape == (120, 160, 3)
    np.testing.assert_array_equal(scene.boxes.xyxy, [[80, 0, 160, 60], [0, 0, 16, 12]])


def test_a_scene_moves_what_was_proposed_of_the_photo_along(data):
    """Proposals that are the photo's own boxes end where these end."""
    proposed = []

    def propose(pixels):
        scale = pixels.shape[1] / data.samples[1].width
        proposed.append(data.samples[1].boxes.not_ignored.xyxy * np.float32(scale))
        return proposed[-1]

    _, found = Scenes(data, Augmenter(64, seed=0, mosaic=0.0), epoch=0, close=True, propose=propose)[1]
    targets = Targets.of(found)
    assert len(proposed) == 1 and 0 < len(targets.boxes) == len(targets.labels)
    torch.testing.assert_close(targets.proposals, targets.boxes)


def test_plain_batches_show_photos_as_prediction_does(data):
    batches = list(plain_batches(data, 64, 1.0, batch_size=2))
    assert [len(images) for images, _ in batches] == [2, 1]
    images, targets = batches[0]
    assert images.shape == (2, 3, 64, 64) and images.dtype == torch.float32
    for image, target in zip(images, targets, strict=True):
        np.testing.assert_allclose(target.xyxy[0], np.array([30, 20, 80, 60]) * 64 / 120, rtol=1e-6)
        np.testing.assert_allclose(target.xyxy[target.ignored], [np.array([0, 0, 9, 9]) * 64 / 120], rtol=1e-6)
        assert image[0, 20, 30] > 0.9 > 0.1 > image[1, 20, 30]  # red
        assert (image[:, 48:] == 114 / 255).all()  # the photo is wider than high


@pytest.mark.parametrize(
    ("size", "expected"),
    [(416, [288, 320, 352, 384, 416]), (640, [*range(448, 641, 32)]), (64, [32, 64]), (32, [32])],
)
def test_sizes_of_multi_scale_training(size, expected):
    assert sizes(size, True) == expected and sizes(size, False) == [size]


def test_resizing_a_batch_moves_its_boxes_along():
    landmarks = [[[12, 20], [np.nan, np.nan]]]
    target = boxes([[8, 8, 24, 40]], [0], landmarks=landmarks, ignored=[[2, 4, 6, 8]], regions=[[0, 4, 32, 60]])
    images, (moved,) = resized(torch.rand(1, 3, 64, 64), [target], 32)
    assert images.shape == (1, 3, 32, 32)
    np.testing.assert_array_equal(moved.xyxy, target.xyxy / 2)
    np.testing.assert_array_equal(moved.landmarks, target.landmarks / 2)
    assert moved.labels.tolist() == [0, 0, REGION] and moved.scores.tolist() == [1, 1, 1]
    assert moved.ignored.tolist() == [False, True, False]
    same = torch.rand(1, 3, 64, 64)
    assert resized(same, [target], 64)[0] is same


def test_plain_batches_keep_labels_with_their_boxes_where_one_is_too_small(tmp_path):
    Image.fromarray(quadrants(640, 480)).save(tmp_path / "a.png")
    objects = ImageAnnotations("a.png", 640, 480, ScanReport())
    for label, box in ((2, (0, 0, 5, 5)), (1, (64, 48, 320, 240)), (0, (320, 240, 640, 480))):
        objects.add(box, label, "a row")
    sample = objects.sample(tmp_path / "a.png", {0})
    sample = replace(sample, boxes=replace(sample.boxes, scores=np.float32([0.1, 0.2, 0.3])))
    ((_, (target,)),) = plain_batches(DetectionSet(("a", "b", "c"), (sample,)), 64, 1.0)
    assert target.labels.tolist() == [1, 0] and target.scores.tolist() == pytest.approx([0.2, 0.3])
    np.testing.assert_allclose(target.xyxy, [[6.4, 4.8, 32, 24], [32, 24, 64, 48]], rtol=1e-6)
