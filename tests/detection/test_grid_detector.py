"""The detector on a small network with random weights, written and read as a model folder."""

import json
import shutil
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from image_files import encode
from PIL import Image
from torchvision.ops import batched_nms

from vision_app import Detector
from vision_app.core.errors import ModelError, UsageError
from vision_app.core.images import read_image
from vision_app.core.letterbox import Letterbox
from vision_app.detection.base import DetectOptions
from vision_app.detection.grid import make_grid
from vision_app.detection.grid_detector import GridOutput
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.export import write_model
from vision_app.released.landmarks import Landmarks

pytestmark = pytest.mark.slow

STRIDES = (8, 16, 32)
ANCHORS = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
NAMES = ("ant", "bee", "cow")
DEFAULTS = {"confidence": 0.3, "iou": 0.5, "max_detections": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(3)
    network = YOLO(YOLOConfig(3, ANCHORS, width=4, depths=(1, 1, 1, 1)))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics that a wrong fusion would not survive
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    for head in network.heads:
        torch.nn.init.normal_(head.objectness.bias, std=1)
        torch.nn.init.normal_(head.class_logits.bias, std=1)
    path = tmp_path_factory.mktemp("models") / "tiny"
    write_model(network, path, name="tiny", classes=NAMES, defaults=DEFAULTS)
    return path


@pytest.fixture(scope="module")
def detector(folder):
    return Detector.load(folder)


def random_pixels(seed: int, height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((height // 8 + 1, width // 8 + 1, 1), np.uint8))[:height, :width]


@pytest.mark.parametrize("shape", [(416, 416), (300, 416), (97, 801), (1200, 900)])
def test_onnx_and_torch_give_the_same_detections(folder, detector, shape):
    image = read_image(random_pixels(1, *shape))
    other = Detector.load(folder, runtime="torch")
    assert (detector.runtime, other.runtime) == ("onnx", "torch")
    one, two = (d.forward(d.preprocess([image])) for d in (detector, other))
    np.testing.assert_allclose(one[0].values, two[0].values, atol=1e-4)
    options = DetectOptions(confidence=0.05)
    (one,), (two,) = detector.postprocess(one, options), other.postprocess(two, options)
    assert len(one) == len(two) > 0
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-4)
    np.testing.assert_allclose(one.boxes, two.boxes, atol=0.05)


def test_an_image_gets_the_same_detections_in_any_batch(detector):
    images = [
        read_image(random_pixels(i, *shape)) for i, shape in enumerate([(64, 96), (96, 64), (64, 96), (300, 416)])
    ]
    options = DetectOptions(confidence=0.05)
    together = detector.predict(images, options)
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.predict([image], options)
        assert found.labels == alone.labels
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-6)


def raw_of(rows: dict[int, tuple], shape=(64, 96), photo=(96, 64)) -> list[GridOutput]:
    """Network output that is silent everywhere but in some rows: row -> (p_c logit, offsets, class logits)."""
    output = np.full((len(make_grid(*shape, STRIDES, ANCHORS).cells), 8), -20.0, np.float32)
    output[:, 1:5] = 0
    for row, (p_c, offsets, classes) in rows.items():
        output[row] = [p_c, *offsets, *classes]
    return [GridOutput(output, shape, Letterbox(*photo, 1.0, 1.0))]


def test_score_is_objectness_times_class_for_every_class_that_reaches_the_confidence(detector):
    raw = raw_of({40: (2.0, (0.5, 0.5, 0, 0), (-1.0, 1.5, 0.0))})
    (found,) = detector.postprocess(raw, DetectOptions(confidence=0.3))
    assert found.labels == ("bee", "cow")
    for score, logit in zip(found.scores, (1.5, 0.0), strict=True):
        assert score == pytest.approx(1 / (1 + np.exp(-2.0)) / (1 + np.exp(-logit)), rel=1e-5)
    column, line, (w, h) = (40 // 2) % 12, (40 // 2) // 12, ANCHORS[0][0]
    center = (column + 0.5) * 8, (line + 0.5) * 8
    box = [center[0] - w / 2, center[1] - h / 2, center[0] + w / 2, center[1] + h / 2]
    np.testing.assert_allclose(found.boxes[0], box, rtol=1e-5)


def test_boxes_come_out_in_the_pixels_of_the_photo(detector):
    raw = raw_of({40: (5.0, (0.5, 0.5, 0, 0), (5.0, -5, -5))})
    scaled = [replace(raw[0], letterbox=Letterbox(960, 320, 0.1, 0.2))]
    (one,), (two,) = detector.postprocess(raw), detector.postprocess(scaled)
    np.testing.assert_allclose(two.boxes, one.boxes * [10, 5, 10, 5], rtol=1e-5)
    assert (two.width, two.height) == (960, 320)


def test_postprocessing_equals_torchvision_on_all_boxes(detector):
    generator = np.random.default_rng(5)
    grid = make_grid(64, 96, STRIDES, ANCHORS)
    output = generator.normal(0, 1, (len(grid.cells), 8)).astype(np.float32)
    output[:, 1:5] *= 0.3
    raw = [GridOutput(output, (64, 96), Letterbox(96, 64, 1.0, 1.0))]
    (found,) = detector.postprocess(raw, DetectOptions(confidence=0.4, iou=0.45, max_detections=1000))
    probability = 1 / (1 + np.exp(-output))
    every = probability[:, :1] * probability[:, 5:]
    boxes = grid.decode(output[:, 1:5]).clip(0, [96, 64, 96, 64])
    rows, labels = (every >= 0.4).nonzero()
    scores, boxes = every[rows, labels], boxes[rows].astype(np.float32)
    keep = batched_nms(*map(torch.from_numpy, (boxes, scores, labels)), 0.45).numpy()
    np.testing.assert_allclose(found.scores, scores[keep], rtol=1e-5)
    np.testing.assert_allclose(found.boxes, boxes[keep], rtol=1e-4, atol=1e-3)
    assert found.labels == tuple(NAMES[i] for i in labels[keep])


def test_wanted_classes_only_and_a_second_best_class_counts_when_the_best_is_unwanted(detector):
    raw = raw_of({40: (5.0, (0.5, 0.5, 0, 0), (3.0, 2.0, -5.0)), 90: (5.0, (0.5, 0.5, 0, 0), (-5.0, -5.0, 4.0))})
    (found,) = detector.postprocess(raw, DetectOptions(classes=("bee",)))
    assert found.labels == ("bee",)
    (same,) = detector.postprocess(raw, DetectOptions(classes="bee"))
    assert same.to_dict() == found.to_dict()
    (both,) = detector.postprocess(raw)
    assert both.labels == ("cow", "ant", "bee")


def test_agnostic_suppression_works_across_classes(detector):
    raw = raw_of({40: (5.0, (0.5, 0.5, 0, 0), (3.0, -5, -5)), 42: (5.0, (-0.5, 0.5, 0, 0), (-5, 2.0, -5))})
    assert len(detector.postprocess(raw)[0]) == 2
    (found,) = detector.postprocess(raw, DetectOptions(agnostic=True))
    assert found.labels == ("ant",)


def test_max_detections_keeps_the_best_ones(detector):
    raw = raw_of({row: (5.0, (0.5, 0.5, 0, 0), (row / 50, -9, -9)) for row in (0, 40, 90, 120)})
    (found,) = detector.postprocess(raw, DetectOptions(max_detections=2))
    (everything,) = detector.postprocess(raw)
    assert len(everything) == 4
    np.testing.assert_array_equal(found.scores, everything.scores[:2])


def test_non_max_suppression_considers_the_best_pairs_wherever_they_are(detector, monkeypatch):
    raw = raw_of({row: (5.0, (0.5, 0.5, 0, 0), (row / 50, -9, -9)) for row in (0, 40, 90, 120)})
    monkeypatch.setattr("vision_app.detection.base.CANDIDATES", 2)
    (found,) = detector.postprocess(raw, DetectOptions(confidence=0.1))
    certain = 1 / (1 + np.exp(-5))
    np.testing.assert_allclose(found.scores, [certain / (1 + np.exp(-2.4)), certain / (1 + np.exp(-1.8))], rtol=1e-5)


def test_landmarks_are_those_of_the_classes_that_have_them_in_the_pixels_of_the_photo(tmp_path):
    torch.manual_seed(0)
    network = YOLO(YOLOConfig(3, ANCHORS, width=4, depths=(1, 1, 1, 1), landmarks=2))
    points = Landmarks(("head", "tail"), ("bee",))
    write_model(network, tmp_path / "tiny", name="tiny", classes=NAMES, defaults=DEFAULTS, landmarks=points)
    output = np.full((len(make_grid(64, 96, STRIDES, ANCHORS).cells), 8 + 4), -20.0, np.float32)
    output[40] = [5, 0.5, 0.5, 0, 0, -9, 5, -9, 0.5, 0, -1, 0.5]  # a bee: column 8 and line 1 of the cells of 8 pixels
    output[90] = [5, 0.5, 0.5, 0, 0, -9, -9, 3, 0.5, 0, -1, 0.5]  # a cow
    raw = [GridOutput(output, (64, 96), Letterbox(960, 320, 0.1, 0.2))]
    (found,) = Detector.load(tmp_path / "tiny").postprocess(raw)
    assert found.labels == ("bee", "cow")
    bee, cow = found.landmarks
    assert np.isnan(cow).all()
    # the cell's center (68, 12) and half an anchor of 10 x 14 pixels to the right; one to the left and half of one down
    np.testing.assert_allclose(bee, [[730, 60], [580, 95]], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.5}, r"confidence 1.5: must lie between 0 and 1; the nearest valid value is 1"),
        ({"iou": -0.1}, r"iou -0.1: must lie between 0 and 1; the nearest valid value is 0"),
        ({"max_detections": 0}, r"max_detections 0: must be at least 1; the nearest valid value is 1"),
        ({"classes": ("ant", "bea")}, r"classes: unknown class 'bea'; did you mean 'bee'"),
        ({"confidence": "0.3"}, r"confidence '0.3': must be a number"),
        ({"iou": [0.5]}, r"iou \[0.5\]: must be a number"),
        ({"max_detections": 2.5}, r"max_detections 2.5: must be a whole number"),
        ({"classes": "bea"}, r"classes: unknown class 'bea'; did you mean 'bee'"),
        ({"classes": [1]}, r"classes: unknown class '1'; choose from ant, bee, cow"),
        ({"confidense": 0.5}, r"unknown option 'confidense'; did you mean 'confidence'"),
    ],
)
def test_wrong_options_are_named_with_the_nearest_right_one(detector, options, message):
    with pytest.raises(UsageError, match=message):
        detector(random_pixels(0, 32, 32), **options)


def test_a_model_for_something_else_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    info = json.loads((folder / "model.json").read_text())
    (tmp_path / "other" / "model.json").write_text(json.dumps({**info, "task": "style"}))
    with pytest.raises(ModelError, match="is for style, not for detection"):
        Detector.load(tmp_path / "other")


NEEDED = ["input.size", "input.pad", "architecture.strides", "architecture.anchors"]
NEEDED += [f"defaults.{name}" for name in DEFAULTS]
OTHER_ANCHORS = [[], [[[1, 2]]], [1, 2, 3], [[1, 2]] * 3, [[["a", "b"]]] * 3]


@pytest.mark.parametrize(
    ("key", "value"),
    [*product(NEEDED, [None, "many"]), *product(["architecture.anchors"], OTHER_ANCHORS)],
)
def test_a_model_file_without_what_a_detector_needs_is_refused(folder, tmp_path, key, value):
    shutil.copytree(folder, tmp_path / "damaged")
    info = json.loads((folder / "model.json").read_text())
    part, name = key.split(".")
    info[part][name] = value
    if value is None:
        del info[part][name]
    (tmp_path / "damaged" / "model.json").write_text(json.dumps(info))
    with pytest.raises(ModelError, match=rf"damaged/model\.json: has no usable '{key}'"):
        Detector.load(tmp_path / "damaged")


def test_a_written_model_lists_what_it_is(folder, detector):
    info = detector.model.info
    assert detector.classes == NAMES
    assert info["parameters"] == sum(
        p.numel() for p in YOLO(YOLOConfig(3, ANCHORS, width=4, depths=(1, 1, 1, 1))).parameters()
    )
    for name, entry in info["files"].items():
        assert (folder / name).stat().st_size == entry["bytes"]
        assert (folder / name).stat().st_mode & 0o444 == 0o444
    detector.model.verify()


@pytest.mark.parametrize(("stretch", "expected"), [(None, (75, 100)), (1.0, (75, 100)), (1.5, (150, 200))])
def test_a_photo_is_decoded_for_the_short_side_too(folder, tmp_path, stretch, expected):
    """Stretched to 96 rows, 75 would have to be made up."""
    shutil.copytree(folder, tmp_path / "model")
    info = json.loads((folder / "model.json").read_text())
    info["input"] |= {"size": 96, "stretch": stretch}
    if stretch is None:  # models from before there was stretching
        del info["input"]["stretch"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(info))
    detector = Detector.load(tmp_path / "model", runtime="torch")
    image = detector.read(encode(Image.new("RGB", (800, 600)), "JPEG"))
    assert image.pixels.shape[:2] == expected
    assert detector.preprocess([image]).pixels[0].shape == (96, 96, 3)


@pytest.mark.parametrize(("runtime", "network"), [("onnx", {"network"}), ("torch", {"backbone", "heads"})])
def test_the_time_of_an_image_is_measured_by_stage(folder, runtime, network):
    detector = Detector.load(folder, runtime=runtime)
    image = read_image(random_pixels(1, 300, 416))
    start = time.perf_counter()
    raw, stages = detector.timed(image)
    passed = 1000 * (time.perf_counter() - start)
    assert stages.times.keys() == {"preprocess"} | network
    assert all(value > 0 for value in stages.times.values()) and 0.5 * passed < sum(stages.times.values()) < passed
    (output,), (alone,) = raw, detector.forward(detector.preprocess([image]))
    assert np.array_equal(output.values, alone.values)


def test_the_digest_follows_what_decides_the_answers(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    digest = Detector.load(folder).digest
    assert Detector.load(tmp_path / "model").digest == digest
    info = json.loads((folder / "model.json").read_text())
    for change, same in (({"defaults": DEFAULTS | {"confidence": 0.9}}, True), ({"classes": ["x", "y", "z"]}, False)):
        (tmp_path / "model" / "model.json").write_text(json.dumps(info | change))
        assert (Detector.load(tmp_path / "model").digest == digest) is same
