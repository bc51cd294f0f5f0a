"""The checks pass a detector that is right, and fail one with a fault of the kind that each is there for."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from labeled import boxes as labeled
from torch import nn

from vision_app.core.draw import label_color
from vision_app.core.images import read_image, write_image
from vision_app.data.samples import AnnotatedImage, DetectionSet
from vision_app.data.scan_report import ScanReport
from vision_app.detection.model.yolo import YOLOConfig
from vision_app.detection.train import checks, loss
from vision_app.detection.train.checks import check_batches, check_data, check_gradients, check_overfit, loss_errors
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.trainer import DetectionTask
from vision_app.released.landmarks import Landmarks
from vision_app.training.checks import GRADIENT_BOUND, overfit

pytestmark = pytest.mark.slow

SIZE = 64
CLASSES = ("red", "blue")
BOXES = np.float32([[4, 6, 30, 40], [30, 20, 62, 60]])
CONFIG = YOLOConfig(len(CLASSES), (((10.0, 12.0),), ((26.0, 30.0),), ((40.0, 40.0),)))


def make_set(folder, boxes=BOXES, photos=3):
    """Gray photos of 64 pixels with a red and a blue rectangle at the same place in all."""
    samples, labels = [], np.arange(len(boxes)) % 2
    for i in range(photos):
        pixels = np.full((SIZE, SIZE, 3), 90 + i, np.uint8)
        for (x1, y1, x2, y2), label in zip(boxes.astype(int), labels, strict=True):
            pixels[y1:y2, x1:x2] = ((220, 30, 30), (30, 30, 220))[label]
        path = folder / f"{i}.png"
        write_image(path, pixels)
        samples.append(
            AnnotatedImage(
                path, path.name, SIZE, SIZE, labeled(boxes, labels), np.ones(len(boxes)), labeled=frozenset((0, 1))
            )
        )
    return DetectionSet(CLASSES, tuple(samples))


class Table(nn.Module):
    """The quickest network to learn a batch by heart: its output is its weights."""

    def __init__(self, photos=3, landmarks=0):
        super().__init__()
        self.config = replace(CONFIG, landmarks=landmarks)
        rows = sum((SIZE // stride) ** 2 for stride in CONFIG.strides)
        self.raw = nn.Parameter(torch.zeros(photos, rows, 5 + len(CLASSES) + 2 * landmarks))
        nn.init.constant_(self.raw[..., 0], -0.04)

    def forward(self, images):
        return 100 * self.raw  # Adam moves each weight by its rate at most


def make_task(data, kind=DetectionTask):
    return kind(Table(), data, options=DetectionOptions(size=SIZE, stretch=1.0), workers=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("photos"))


def test_a_network_that_can_learn_its_batch_passes(data, tmp_path):
    lines = []
    found = check_overfit(make_task(data), tmp_path, lines.append)
    assert found.passed, found
    assert "6 of 6 boxes found and 0 others" in found.found and "on 3 images" in found.found
    assert lines[0].startswith("overfitting 3 images: step 1 of at most 300, loss ")
    assert lines[0].endswith(" left")
    sheet = read_image(tmp_path / "overfit.png").pixels
    blue = (sheet == label_color("blue")).all(axis=2)[6 + 250]  # a line through the blue box, scaled by 5
    assert blue[6 + 150 : 6 + 152].all() and blue[6 + 326 + 145 : 6 + 326 + 158].any()  # left side, true and found


class Careless(DetectionTask):
    """Learns landmarks of another image in every step."""

    generator = torch.Generator().manual_seed(0)

    def loss(self, images, output, targets):
        places = (64 * torch.rand(target.landmarks.shape, generator=self.generator).numpy() for target in targets)
        moved = [replace(target, landmarks=points) for target, points in zip(targets, places, strict=True)]
        return super().loss(images, output, moved)


@pytest.mark.parametrize(("kind", "passed"), [(DetectionTask, True), (Careless, False)])
def test_landmarks_must_be_learned_too(data, tmp_path, kind, passed):
    corners = np.stack([BOXES[:, :2], BOXES[:, 2:]], axis=1)
    corners[1] = np.nan  # of the blue box, whose class has none
    samples = tuple(replace(sample, boxes=replace(sample.boxes, landmarks=corners)) for sample in data.samples)
    pointed = replace(data, samples=samples, landmarks=Landmarks(("top_left", "bottom_right"), ("red",)))
    task = kind(Table(landmarks=2), pointed, options=DetectionOptions(size=SIZE, stretch=1.0), workers=0)
    found = check_overfit(task, tmp_path, lambda line: None, steps=150)
    assert found.passed == passed, found
    assert "6 of 6 boxes found and 0 others" in found.found and "of their objects' size (bound 10%)" in found.found


@pytest.mark.parametrize(("others", "passed"), [(0, True), (1, False)])
def test_a_loss_that_stays_high_does_not_matter_where_all_boxes_and_no_others_are_found(
    data, tmp_path, monkeypatch, others, passed
):
    monkeypatch.setattr(checks, "predictions", lambda network, images, targets, _: (list(targets), 6, others))
    monkeypatch.setattr(checks, "overfit", lambda *words, steps: [10.0, *[1.5] * (steps - 1)])
    found = check_overfit(make_task(data), tmp_path, lambda line: None, steps=50)
    assert found.passed == passed and "(15%, bound 10%) in 50 steps" in found.found
    assert found.found.endswith("--model yolo") != passed


class Restless(DetectionTask):
    """Gives each image the targets of another in every step."""

    generator = torch.Generator().manual_seed(0)

    def loss(self, images, output, targets):
        boxes = 60 * torch.rand(2, 2, generator=self.generator)
        moved = [replace(target, xyxy=torch.cat([boxes, boxes + 20], dim=1).numpy()) for target in targets]
        return super().loss(images, output, moved)


class Mislabeled(DetectionTask):
    def loss(self, images, output, targets):
        return super().loss(images, output, [replace(target, labels=1 - target.labels) for target in targets])


class Mirrored(DetectionTask):
    """Forgets to mirror the boxes with the images."""

    def loss(self, images, output, targets):
        mirrored = [np.float32([SIZE, 0, SIZE, 0]) + np.float32([-1, 1, -1, 1]) * target.xyxy for target in targets]
        moved = [replace(t, xyxy=xyxy[:, [2, 1, 0, 3]]) for t, xyxy in zip(targets, mirrored, strict=True)]
        return super().loss(images, output, moved)


@pytest.mark.parametrize(("kind", "learns"), [(Restless, False), (Mislabeled, True), (Mirrored, True)])
def test_faulty_targets_fail_by_the_loss_or_by_what_is_found(data, tmp_path, kind, learns):
    found = check_overfit(make_task(data, kind), tmp_path, lambda line: None, steps=120)
    percent = int(found.found.split("(")[1].split("%")[0])
    assert not found.passed and (percent < 30) == learns, found
    assert "0 of 6 boxes found" in found.found


def test_without_a_learning_rate_the_network_fails(data, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "overfit", partial(overfit, learning_rate=0.0))
    found = check_overfit(make_task(data), tmp_path, lambda line: None, steps=10)
    assert not found.passed and "(100%, bound 10%) in 10 steps" in found.found and "0 of 6 boxes" in found.found


def test_boxes_too_small_for_the_size_are_said_to_be(tmp_path):
    data = make_set(tmp_path, np.float32([[3, 3, 4, 4], [9, 9, 10, 10]]))
    found = check_overfit(make_task(data), tmp_path, lambda line: None)
    assert str(found) == "overfit: FAILED, no box is left of the images at 64 pixels; try a larger --size"


def test_the_gradients_of_all_losses_are_right(monkeypatch):
    errors = loss_errors()
    assert set(errors) == {"giou", "box", "score", "landmarks"}
    assert max(errors.values()) < GRADIENT_BOUND / 10
    monkeypatch.setattr(checks, "loss_errors", lambda: errors)
    assert check_gradients().passed


class Wrong(torch.autograd.Function):
    """Its argument, with a gradient that is too large by a thousandth."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return 1.001 * gradient


@pytest.mark.parametrize(
    ("home", "name", "wrong"),
    [
        (checks, "giou", "giou"),
        (loss, "giou", "box"),
        (loss, "varifocal_loss", "score"),
        (loss, "landmark_distance", "landmarks"),
    ],
)
def test_a_wrong_gradient_fails_and_is_named(monkeypatch, home, name, wrong):
    right = getattr(home, name)

    def faulty(first, *others):
        return right(Wrong.apply(first), *others)

    monkeypatch.setattr(home, name, faulty)
    found = check_gradients()
    assert not found.passed
    assert found.found.startswith(f"{wrong} differ from finite differences, relative error up to ")


def test_the_first_batches_are_drawn(data, tmp_path):
    found = check_batches(make_task(data), tmp_path)
    assert found.passed and found.found.startswith("3 augmented images with ") and "in batch-1.png;" in found.found
    assert [path.name for path in tmp_path.iterdir()] == ["batch-1.png"]
    sheet = read_image(tmp_path / "batch-1.png").pixels
    assert any((sheet == label_color(name)).all(axis=2).sum() > 100 for name in CLASSES)


def test_batches_without_boxes_fail(tmp_path):
    data = make_set(tmp_path, np.zeros((0, 4), np.float32))
    found = check_batches(make_task(data), tmp_path)
    assert not found.passed and found.found.startswith("3 augmented images with 0 boxes")


@pytest.mark.parametrize(
    ("entries", "passed"),
    [
        ([], True),
        ([("unlabeled image", "a")], True),
        ([("box out of range", "a")], True),
        ([("duplicate box", "a")], True),
        ([("duplicate photo", "a")], True),
        ([("corrupt image", "a")], False),
    ],
)
def test_data_fails_with_what_had_to_be_left_out(data, entries, passed):
    found = check_data(replace(data, report=ScanReport(entries)))
    assert found.passed == passed
    odd = f"; 1 x {entries[0][0]} (see scan.csv)" if entries else ""
    advice = "" if passed else "; fix what is listed there, or train on the rest"
    assert found.found == "3 images with 6 boxes of 2 classes" + odd + advice


def test_data_without_boxes_fails(tmp_path):
    found = check_data(make_set(tmp_path, np.zeros((0, 4), np.float32)))
    assert not found.passed and found.found.endswith("nothing to learn: check that the labels are where they belong")


def test_other_boxes_are_counted_but_for_those_in_ignore_regions(data):
    """A network that finds the red box of the first image, and two things more, of which one is excused."""
    network = Table(photos=1)
    nn.init.constant_(network.raw, 0.0)
    with torch.no_grad():
        network.raw[..., 0] = -0.1
        # stride 16, row 1 and column 0: center (16, 24) + offsets
        for row, (cx, cy, w, h) in {64 + 4: (17, 23, 26, 34), 64: (8, 8, 10, 10), 64 + 15: (56, 56, 12, 12)}.items():
            x, y = (row - 64) % 4, (row - 64) // 4
            offsets = (cx / 16 - x, cy / 16 - y, np.log(h / 30), np.log(w / 26))
            network.raw[0, row] = torch.tensor([9.0, *offsets, 9.0, -9.0]) / 100
    target = labeled(BOXES, [0, 1], ignored=[[50, 50, 62, 62]])
    (found,), right, others = checks.predictions(network, torch.zeros(1, 3, SIZE, SIZE), [target])
    assert (right, others, len(found.not_ignored)) == (1, 1, 3)
    xyxy = found.not_ignored.xyxy
    np.testing.assert_allclose(xyxy[np.argmax(xyxy[:, 3] - xyxy[:, 1])], BOXES[0], atol=1e-3)
    with torch.no_grad():
        network.raw[0, 64 + 4, -1] = 0.05  # the red box is a blue one, too, as the released detector would say
    (found,), right, others = checks.predictions(network, torch.zeros(1, 3, SIZE, SIZE), [target])
    assert (right, others, len(found.not_ignored)) == (1, 2, 4)
