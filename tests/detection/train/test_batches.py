"""What training makes of photos on their way to the network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_sets import coco
from image_files import quadrants
from PIL import Image

from vision_app.data.coco import load_coco
from vision_app.data.samples import DetectionSet, Objects, Photos, ScanReport
from vision_app.detection.model.targets import Targets
from vision_app.detection.train.batches import Scenes, plain_batches, resized, sizes, whole_scene
from vision_app.training.augment import Augmenter


@pytest.fixture
def data(tmp_path):
    return load_coco(coco(tmp_path / "set"))


def test_a_scene_knows_labels_confidences_and_unknown_boxes(data):
    pixels, targets = Scenes(data, Augmenter(64, seed=0, mosaic=0.0), epoch=0, close=True)[1]
    assert pixels.shape == (3, 64, 64) and pixels.dtype == torch.uint8
    assert 0 < len(targets.boxes) == len(targets.labels) == len(targets.confidences)
    assert (targets.labels == 0).all() and (targets.confidences == 1).all() and targets.unknown.shape[1] == 4


def test_a_photo_decoded_at_a_reduced_size_takes_its_boxes_along(tmp_path):
    Image.fromarray(quadrants(640, 480)).save(tmp_path / "a.jpg")
    objects = Objects("a.jpg", 640, 480, ScanReport())
    objects.add((320, 0, 640, 240), 0, "a row")
    objects.add((0, 0, 64, 48), 0, "a row", ignored=True)
    data = DetectionSet(("green",), (objects.sample(tmp_path / "a.jpg", {0}),), photos=Photos(target=100))
    scene = whole_scene(data, 0, np.arange(2))
    assert scene.pixels.shape == (120, 160, 3)
    np.testing.assert_array_equal(scene.boxes, [[80, 0, 160, 60], [0, 0, 16, 12]])


def test_a_scene_moves_what_was_proposed_of_the_photo_along(data):
    """Proposals that are the photo's own boxes end where these end."""
    proposed = []

    def propose(pixels):
        scale = pixels.shape[1] / data.samples[1].width
        proposed.append(data.samples[1].boxes * np.float32(scale))
        return proposed[-1]

    _, targets = Scenes(data, Augmenter(64, seed=0, mosaic=0.0), epoch=0, close=True, propose=propose)[1]
    assert len(proposed) == 1 and 0 < len(targets.boxes) == len(targets.labels)
    torch.testing.assert_close(targets.proposals, targets.boxes)


def test_plain_batches_show_photos_as_prediction_does(data):
    batches = list(plain_batches(data, 64, 1.0, batch_size=2))
    assert [len(images) for images, _ in batches] == [2, 1]
    images, targets = batches[0]
    assert images.shape == (2, 3, 64, 64) and images.dtype == torch.float32
    for image, target in zip(images, targets, strict=True):
        np.testing.assert_allclose(target.boxes[0], np.array([30, 20, 80, 60]) * 64 / 120, rtol=1e-6)
        np.testing.assert_allclose(target.unknown, [np.array([0, 0, 9, 9]) * 64 / 120], rtol=1e-6)
        assert image[0, 20, 30] > 0.9 > 0.1 > image[1, 20, 30]  # red
        assert (image[:, 48:] == 114 / 255).all()  # the photo is wider than high


@pytest.mark.parametrize(
    ("size", "expected"),
    [(416, [288, 320, 352, 384, 416]), (640, [*range(448, 641, 32)]), (64, [32, 64]), (32, [32])],
)
def test_sizes_of_multi_scale_training(size, expected):
    assert sizes(size, True) == expected and sizes(size, False) == [size]


def test_resizing_a_batch_moves_its_boxes_along():
    boxes, unknown = torch.tensor([[8.0, 8, 24, 40]]), torch.tensor([[2.0, 4, 6, 8]])
    landmarks, proposals = torch.tensor([[[12.0, 20], [torch.nan, torch.nan]]]), torch.tensor([[0.0, 4, 32, 60]])
    target = Targets(boxes, torch.tensor([0]), torch.ones(1), unknown, landmarks, proposals)
    images, (moved,) = resized(torch.rand(1, 3, 64, 64), [target], 32)
    assert images.shape == (1, 3, 32, 32)
    torch.testing.assert_close(moved.boxes, boxes / 2)
    torch.testing.assert_close(moved.unknown, unknown / 2)
    torch.testing.assert_close(moved.landmarks, landmarks / 2, equal_nan=True)
    torch.testing.assert_close(moved.proposals, proposals / 2)
    assert moved.labels.tolist() == [0] and moved.confidences.tolist() == [1]
    same = torch.rand(1, 3, 64, 64)
    assert resized(same, [target], 64)[0] is same


def test_plain_batches_keep_labels_with_their_boxes_where_one_is_too_small(tmp_path):
    Image.fromarray(quadrants(640, 480)).save(tmp_path / "a.png")
    objects = Objects("a.png", 640, 480, ScanReport())
    for label, box in ((2, (0, 0, 5, 5)), (1, (64, 48, 320, 240)), (0, (320, 240, 640, 480))):
        objects.add(box, label, "a row")
    sample = replace(objects.sample(tmp_path / "a.png", {0}), confidences=np.float32([0.1, 0.2, 0.3]))
    ((_, (target,)),) = plain_batches(DetectionSet(("a", "b", "c"), (sample,)), 64, 1.0)
    assert target.labels.tolist() == [1, 0] and target.confidences.tolist() == pytest.approx([0.2, 0.3])
    np.testing.assert_allclose(target.boxes, [[6.4, 4.8, 32, 24], [32, 24, 64, 48]], rtol=1e-6)
