"""Every option of training reaches what it is for, and what is shown in training is what prediction shows."""

import gzip
import json

import numpy as np
import pytest
import torch
from drawn_sets import coco, yolo
from lightning_fabric.utilities import rank_zero_only
from PIL import Image
from tiny_detection_task import ANCHORS, tiny_task

from vision_app import Detector
from vision_app.data.coco import load_coco
from vision_app.data.names import COCO_CLASSES
from vision_app.data.samples import DetectionSet, ImageAnnotations
from vision_app.data.scan_report import ScanReport
from vision_app.detection.model.yolo import Targets, TorchGrid
from vision_app.detection.train.batches import Scenes, plain_batches, sizes
from vision_app.detection.train.datasets import ValidationSet
from vision_app.detection.train.loss import detection_loss
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.trainer import DEFAULTS, train
from vision_app.training import augment
from vision_app.training.loop import TrainConfig

BOX = (40, 8, 200, 40)  # of the long photo

pytestmark = pytest.mark.usefixtures("without_onnx")


@pytest.fixture
def long_photo(tmp_path):
    """A set of one photo, four times as wide as high, that is different everywhere."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 240, 3), dtype=np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = (250, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    objects = ImageAnnotations("a.png", 240, 60, ScanReport())
    objects.add(BOX, 0, "a row")
    return DetectionSet(("red",), (objects.sample(tmp_path / "a.png", {0}),))


class Nothing:
    """Transforms that change nothing."""

    def set_random_seed(self, seed): ...

    def __call__(self, **parts):
        return parts


def whole_view(scene, view, generator):
    """A crop without chance."""
    scale = augment.fitting_scale(*scene.pixels.shape[1::-1], view.size, view.stretch)
    return augment.place(scene, view.canvas(), scale, (0, 0), (0, 0, view.size, view.size))


@pytest.mark.parametrize(("stretch", "rows"), [(1.0, 24), (3.0, 72)])
def test_training_validation_and_prediction_stretch_a_photo_alike(long_photo, tmp_path, monkeypatch, stretch, rows):
    monkeypatch.setattr(augment, "random_crop", whole_view)
    monkeypatch.setattr(augment, "default_transforms", lambda degraded: Nothing())
    task = tiny_task(long_photo, stretch=stretch, multi_scale=False, mosaic=0.0)
    task.release(task.network.eval(), tmp_path / "model")
    detector = Detector.load(tmp_path / "model")
    assert detector.model.info["input"]["stretch"] == stretch
    inputs = detector.preprocess([detector.read(long_photo.samples[0].path)])
    (pixels,), (back,) = inputs.pixels, inputs.letterboxes
    assert (pixels[:rows] != pixels[0, 0]).any(axis=(1, 2)).all() and (pixels[rows:] == 114).all()
    ((plain, plain_targets),) = plain_batches(long_photo, 96, stretch)
    ((trained, trained_targets),) = task.batches(TrainConfig(epochs=1, batch_size=1), 0)
    for images, (target,) in ((plain, plain_targets), (trained, trained_targets)):
        shown = (images[0].permute(1, 2, 0).numpy() * 255).round()
        np.testing.assert_array_equal(shown[: len(pixels)], pixels)
        np.testing.assert_allclose(back.to_photo(target.xyxy), [BOX], atol=1e-4)


@pytest.fixture
def data(tmp_path):
    return load_coco(coco(tmp_path / "set", photos=8))


@pytest.mark.parametrize(("epochs", "close_epochs", "joined"), [(3, 1, [0, 1]), (3, 0, [0, 1, 2]), (2, 5, [])])
def test_the_last_epochs_are_without_mosaic(data, monkeypatch, epochs, close_epochs, joined):
    closed = {}

    def watched(data, augmenter, epoch, close, propose):
        closed[epoch] = close
        return Scenes(data, augmenter, epoch, close, propose)

    monkeypatch.setattr("vision_app.detection.train.trainer.Scenes", watched)
    task = tiny_task(data, close_epochs=close_epochs)
    for epoch in range(epochs):
        next(task.batches(TrainConfig(epochs=epochs, batch_size=2), epoch))
    assert [epoch for epoch, close in closed.items() if not close] == joined


@pytest.mark.parametrize("multi_scale", [True, False])
def test_the_size_differs_from_batch_to_batch_only_if_asked_for(data, multi_scale):
    batches = tiny_task(data, multi_scale=multi_scale).batches(TrainConfig(epochs=1, batch_size=1), 0)
    assert {images.shape[-1] for images, _ in batches} == set(sizes(96, multi_scale))


def test_mosaic_is_as_likely_as_the_option_says(data, monkeypatch):
    joined = []
    monkeypatch.setattr(
        augment, "mosaic", lambda scenes, *rest: joined.append(len(scenes)) or whole_view(scenes[0], *rest)
    )
    for mosaic, count in ((0.0, 0), (1.0, 8)):
        joined.clear()
        list(tiny_task(data, mosaic=mosaic, multi_scale=False, close_epochs=0).batches(TrainConfig(batch_size=8), 0))
        assert joined == [4] * count


def test_the_order_of_photos_and_their_scenes_come_from_different_numbers():
    streams = [
        augment.random_numbers(*words).random() for words in (("order", 1, 2), ("scene", 1, 2, 0), ("size", 1, 2))
    ]
    assert len(set(streams)) == 3 and streams[0] == augment.random_numbers("order", 1, 2).random()


def test_targets_are_smoothed_as_the_option_says(data):
    for smoothing in (0.0, 0.2):
        task = tiny_task(data, label_smoothing=smoothing)
        ((images, targets),) = plain_batches(data, 96, 1.0)
        output = task.network.eval()(images)
        loss, *_ = task.loss(images, output, targets)
        grid = TorchGrid.make(96, 96, task.network.config.strides, ANCHORS)
        assert (
            loss.item()
            == detection_loss(
                output, [Targets.of(one) for one in targets], grid, label_smoothing=smoothing
            ).total.item()
        )
        assert (
            smoothing == 0
            or loss.item() != detection_loss(output, [Targets.of(one) for one in targets], grid).total.item()
        )


@pytest.mark.parametrize(
    ("scores", "confidence"),
    [((0.83, 0.61), 0.61), ((0.02, 0.01), 0.05), ((None, None), DEFAULTS["confidence"])],
)
def test_the_confidence_with_the_best_f1_becomes_the_models(tmp_path, monkeypatch, scores, confidence):
    data = load_coco(coco(tmp_path / "set", photos=2, boxes=1))
    box = data.samples[0].boxes.xyxy[0].tolist()

    answers = [scores, (0.99, 0.99)]  # on the first set, which decides, and on the second

    def rows(detector, paths, options):
        for path, score in zip(paths, answers.pop(0), strict=True):
            right = [{"label": "motorbike", "score": score, "box": box}] if score else []
            yield {
                "file": path,
                "detections": [*right, {"label": "motorbike", "score": 0.005, "box": [90, 70, 99, 79]}],
            }

    monkeypatch.setattr("vision_app.detection.train.trainer.predict_rows", rows)
    task = tiny_task(data)
    task.validations = [*task.validations, ValidationSet("other", data)]
    task.release(task.network.eval(), tmp_path / "model")
    assert Detector.load(tmp_path / "model").defaults == DEFAULTS | {"confidence": confidence}


def made(tmp_path, data, **options):
    """What `train` would train, without training it, and the callbacks that it would have."""
    found = {}

    def run(task, config, folder, *, callbacks, **more):
        found.update(task=task, callbacks=callbacks)
        return {}

    changed = DetectionOptions(size=96, dropout=options.pop("dropout", 0.0))
    words = [data], [], tmp_path / "run", TrainConfig(epochs=1), changed
    train(*words, run=run, log=lambda line: None, **options)
    return found["task"], found["callbacks"]


def test_a_teachers_boxes_are_learned_too(tmp_path):
    path = coco(tmp_path / "set", photos=4, names=("motorcycle",))
    kite = [COCO_CLASSES.index("kite"), 0.9, 5, 60, 25, 85]
    with gzip.open(tmp_path / "teacher.json.gz", "wt") as file:
        json.dump({f"set/images/{i}.png": [kite] for i in range(4)}, file)
    task, _ = made(tmp_path, path, teacher_boxes=tmp_path / "teacher.json.gz")
    assert task.data.classes == COCO_CLASSES
    assert task.data.boxes_per_class()["kite"] == len(task.data) == 3  # the fourth is held out


@pytest.mark.parametrize("names", [None, ("red",)])
def test_dropout_is_that_of_the_option_wherever_training_starts(tmp_path, names):
    initial = None
    if names:
        classes = DetectionSet(names, ())
        start = tiny_task(classes)
        start.validations = []
        start.release(start.network, tmp_path / "start")
        initial = tmp_path / "start"
    task, _ = made(tmp_path, yolo(tmp_path / "set"), initial=initial, dropout=0.4)
    assert task.network.config.dropout == 0.4
    assert all(head.dropout.p == 0.4 for head in task.network.heads)


def test_the_seed_alone_decides_on_fresh_weights(tmp_path):
    path, networks = yolo(tmp_path / "set"), []
    for state in (1, 2):
        torch.manual_seed(state)
        networks.append(made(tmp_path, path)[0].network)
    for one, other in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_process_writes_and_looks_on(tmp_path, monkeypatch, rank):
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    _, callbacks = made(tmp_path, yolo(tmp_path / "set"))
    assert (tmp_path / "run" / "scan.csv").exists() == bool(callbacks) == (rank == 0)
