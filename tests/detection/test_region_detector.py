"""What surrounds the R-CNN family's network: images on their way in, answers on their way out."""

import numpy as np
import pytest
import torch

from vision_app import Detector
from vision_app.core.images import RGBImage
from vision_app.core.letterbox import Letterbox
from vision_app.detection.base import DetectOptions
from vision_app.detection.model.rcnn import RCNN, RCNNConfig
from vision_app.detection.proposals import ProposalCache
from vision_app.detection.region_detector import RegionOutput
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.rcnn import photo_regions, region_task, write_regions_model

pytestmark = pytest.mark.slow

SMALL = {"width": 4, "depths": (1, 1, 1), "pyramid": 8, "hidden": 16, "proposals": 6}
DEFAULTS = {"confidence": 0.3, "iou": 0.5, "max_detections": 100}
SIZES = ((90, 60), (40, 80), (90, 60))  # width, height; the first and the last make one batch


def detector(folder, kind):
    """One that stretches photos, with weights by which every change of its input shows."""
    torch.manual_seed(0)
    network = RCNN(RCNNConfig(kind, 2, **SMALL))
    for layer in (network.roi_heads.box_predictor.class_logits, network.roi_heads.box_predictor.deltas):
        torch.nn.init.normal_(layer.weight)
    write_regions_model(network, folder, name=kind, classes=("cat", "cup"), defaults=DEFAULTS, size=64, stretch=1.25)
    return Detector.load(folder)


def photos():
    generator = np.random.default_rng(0)
    return [
        RGBImage(generator.integers(0, 256, (height, width, 3), np.uint8) // np.uint8([1, 2, 4]), width, height)
        for width, height in SIZES
    ]


def corner(pixels, *, most):
    """In place of selective search: a region that depends on the image, and no more than `most`."""
    height, width = pixels.shape[:2]
    return np.float32([[0, 0, width, height], [width / 8, height / 4, width / 2, height]])[:most]


@pytest.mark.parametrize("kind", ["rcnn", "fast-rcnn", "faster-rcnn"])
def test_a_mixed_batch_gives_every_image_the_networks_own_output(tmp_path, kind):
    model, images = detector(tmp_path, kind), photos()
    model.propose = corner
    inputs = model.preprocess(images)
    raw = model.forward(inputs)
    assert [pixels.shape for pixels in inputs.pixels] == [(64, 64, 3), (64, 64, 3), (64, 64, 3)]
    for found, pixels, (width, height) in zip(raw, inputs.pixels, SIZES, strict=True):
        rows, columns = (53, 64) if width > height else (64, 40)  # of the photo, its short side stretched by 1.25
        assert (pixels[rows:] == 114).all() and (pixels[:, columns:] == 114).all()
        rgb = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / 255)
        proposals = None if kind == "faster-rcnn" else [torch.from_numpy(corner(pixels[:rows, :columns], most=6))]
        with torch.inference_mode():
            (expected,) = model.network(rgb[None], proposals=proposals)
        for name, tensor in vars(expected).items():
            np.testing.assert_allclose(getattr(found, name), tensor, rtol=1e-3, atol=1e-3)


def test_images_of_two_shapes_keep_their_order(tmp_path):
    model, seen = detector(tmp_path, "fast-rcnn"), []
    model.propose = lambda pixels, *, most: seen.append((pixels.shape, most)) or corner(pixels, most=most)
    images = [RGBImage(np.zeros((h, w, 3), np.uint8), w, h) for w, h in ((64, 20), (40, 80), (64, 20))]
    raw = model.forward(model.preprocess(images))
    assert [tuple(regions.boxes[0].tolist()) for regions in raw] == [
        (0, 0, 64, 25), (0, 0, 40, 64), (0, 0, 64, 25)
    ]  # fmt: skip
    assert sorted(seen) == [((25, 64, 3), 6), ((25, 64, 3), 6), ((64, 40, 3), 6)]  # without the gray around them


def test_scores_are_of_the_classes_and_boxes_go_back_to_the_photo(tmp_path):
    """Reckoned by hand: a photo of 200 x 100 pixels, scaled by 0.32 and, stretched, 0.4."""
    output = RegionOutput(
        np.float32([[10, 10, 30, 20], [0, 0, 16, 16], [40, 10, 50, 30]]),
        np.log(np.float32([[0.2, 0.7, 0.1], [0.6, 0.1, 0.3], [0.9, 0.05, 0.05]])) + 5,
        np.float32([[1, 0, 0, 5 * np.log(2)], [0, 2, 0, 0], [0, 0, 0, 0]]),
        Letterbox(200, 100, 0.32, 0.4),
    )
    (found,) = detector(tmp_path, "faster-rcnn").postprocess([output], DetectOptions(confidence=0.25))
    assert found.labels == ("cat", "cup")
    np.testing.assert_allclose(found.scores, [0.7, 0.3], rtol=1e-5)
    expected = np.float32([[12, 5, 32, 25], [0, 3.2, 16, 19.2]]) / np.float32([0.32, 0.4, 0.32, 0.4])
    np.testing.assert_allclose(found.boxes, expected, rtol=1e-5)


def test_an_image_without_regions_has_no_objects(tmp_path):
    model = detector(tmp_path, "fast-rcnn")
    model.propose = lambda pixels, *, most: np.zeros((0, 4), np.float32)
    assert all(len(found) == 0 for found in model.postprocess(model.forward(model.preprocess(photos()))))


def test_training_and_prediction_search_the_same_image(tmp_path):
    """What Fast R-CNN learns from is found in the stretched photo, and told in the photo's own pixels."""
    model, (image, *_), seen = detector(tmp_path / "model", "fast-rcnn"), photos(), []
    model.propose = lambda pixels, *, most: seen.append(pixels) or corner(pixels, most=most)
    (raw,) = model.forward(model.preprocess([image]))
    learned = photo_regions(image.pixels, propose=model.propose, most=6, size=64, stretch=1.25)
    np.testing.assert_array_equal(*seen)
    scale = np.float32([64 / 90, 53 / 60] * 2)
    np.testing.assert_allclose(learned * scale, raw.boxes, rtol=1e-5)
    options = DetectionOptions(size=64, stretch=1.25)
    task = region_task("fast-rcnn", tmp_path / "proposals")(model.network, None, options=options)
    assert len(task.propose(image.pixels)) > 0 and len(list((tmp_path / "proposals").iterdir())) == 1
    ProposalCache(tmp_path / "proposals")(seen[0])
    assert len(list((tmp_path / "proposals").iterdir())) == 1  # the stretched image was the one that was searched


def test_weights_that_are_no_matrices_keep_their_digits(tmp_path):
    model = detector(tmp_path / "first", "fast-rcnn")
    torch.nn.init.constant_(model.network.roi_heads.box_predictor.deltas.bias, 0.1)
    about = {"name": "x", "classes": ("cat", "cup"), "defaults": DEFAULTS, "size": 64}
    write_regions_model(model.network, tmp_path / "second", **about)
    layer = Detector.load(tmp_path / "second").network.roi_heads.box_predictor.deltas
    assert layer.bias.tolist() == model.network.roi_heads.box_predictor.deltas.bias.tolist()
    assert layer.weight.tolist() == layer.weight.half().float().tolist()
