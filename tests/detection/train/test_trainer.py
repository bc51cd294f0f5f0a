"""What is refused before training starts, and what a task makes of photos; whole runs are in tests/cli."""

import csv
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_sets import coco, yolo
from safetensors.torch import load_file
from tiny_detection_task import ANCHORS, task_of_motorbikes

from vision_app import Detector
from vision_app.core.errors import DataError, ModelError, UsageError
from vision_app.data.coco import load_coco
from vision_app.data.scan import scan
from vision_app.detection import proposals
from vision_app.detection.model.rcnn import RCNN, RCNNConfig
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.batches import plain_batches, sizes
from vision_app.detection.train.datasets import ValidationSet
from vision_app.detection.train.loss import BOX_WEIGHT
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.rcnn import region_task
from vision_app.detection.train.trainer import DetectionTask, train
from vision_app.released.find import find
from vision_app.training.config import TrainConfig
from vision_app.training.loop import fit

OPTIONS = DetectionOptions(size=96)

pytestmark = pytest.mark.usefixtures("without_onnx")


@pytest.fixture
def task(tmp_path):
    return task_of_motorbikes(tmp_path)


def test_a_batch_holds_photos_and_where_things_are_in_them(task):
    ((images, targets),) = task.batches(TrainConfig(epochs=1, batch_size=5), 0)  # the last epoch: no mosaic
    assert images.shape[0] == 5 and images.shape[2] == images.shape[3] in sizes(96, True)
    for image, target in zip(images, targets, strict=True):
        assert set(target.labels.tolist()) <= {0} and (target.scores == 1).all()
        for x1, y1, x2, y2 in target.not_ignored.xyxy.tolist():
            middle = image[:, int((y1 + y2) / 2), int((x1 + x2) / 2)]
            assert middle[0] > middle[1] + 0.2 or torch.allclose(middle[0], middle[1], atol=0.05)  # red, or all gray
    assert sum(target.ignored.sum() for target in targets) > 0


def test_batches_depend_on_seed_and_epoch_alone(task):
    config = TrainConfig(epochs=6, batch_size=2)
    (one, _), (two, _), (other, _) = (next(iter(task.batches(config, epoch))) for epoch in (1, 1, 2))
    assert torch.equal(one, two)
    assert one.shape != other.shape or not torch.equal(one, other)


def equal(one, other):
    (images, targets), (others, other_targets) = one, other
    assert torch.equal(images, others) and len(targets) == len(other_targets)
    for target, same in zip(targets, other_targets, strict=True):
        for name, values in vars(target).items():
            np.testing.assert_array_equal(values, getattr(same, name))


def test_an_epoch_can_be_entered_at_any_step(task):
    config = TrainConfig(epochs=6, batch_size=1)
    whole = list(task.batches(config, 1))
    assert len(whole) == task.batches_per_epoch(config) == 5
    for start in range(6):
        rest = list(task.batches(config, 1, start=start))
        assert len(rest) == 5 - start
        for one, other in zip(whole[start:], rest, strict=True):
            equal(one, other)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_each_batch(task, world):
    config = TrainConfig(epochs=6, batch_size=5)
    ((images, targets),) = task.batches(config, 2)
    shares = [next(iter(task.batches(config, 2, rank=rank, world=world))) for rank in range(world)]
    assert [len(share) for share, _ in shares] == [5 * (r + 1) // world - 5 * r // world for r in range(world)]
    equal((images, targets), (torch.cat([share for share, _ in shares]), [t for _, part in shares for t in part]))


def test_more_processes_than_photos_are_refused(task):
    for rank in range(6):
        with pytest.raises(DataError, match="6 processes cannot share 5 photos; use fewer --devices"):
            next(iter(task.batches(TrainConfig(batch_size=8), 0, rank=rank, world=6)))


def test_the_loss_of_a_batch_is_a_sum_over_its_samples(task):
    task.network.eval()  # where no sample sees the others
    ((images, targets),) = task.batches(TrainConfig(epochs=1, batch_size=5), 0)
    loss, positives, parts = task.loss(images, task.network(images), targets)
    single = [task.loss(images[i : i + 1], task.network(images[i : i + 1]), targets[i : i + 1]) for i in range(5)]
    assert loss.item() == pytest.approx(sum(one.item() for one, _, _ in single), rel=1e-4)
    assert positives.item() == sum(count.item() for _, count, _ in single) > 0
    assert loss.item() == pytest.approx(BOX_WEIGHT * parts["box"].item() + parts["score"].item(), rel=1e-5)
    loss.backward()
    assert task.network.backbone.stem.conv.weight.grad.abs().sum() > 0


def test_the_validation_loss_is_the_mean_over_the_photos_as_they_are(task, monkeypatch):
    task.network.eval()
    ((images, targets),) = plain_batches(task.data, 96, task.options.stretch)
    loss, positives, _ = task.loss(images, task.network(images), targets)
    assert task.validation_loss() == pytest.approx(loss.item() / positives.item(), rel=1e-4)
    monkeypatch.setattr("vision_app.detection.train.trainer.LOSS_IMAGES", 2)
    chosen = [task.validation_loss() for _ in range(2)]
    assert chosen[0] == chosen[1] > 0


def test_a_released_folder_is_a_model_of_its_classes_and_size(task, tmp_path):
    metrics = task.release(task.network.eval(), tmp_path / "run" / "last")
    detector = Detector.load(tmp_path / "run" / "last")
    assert detector.classes == ("motorbike",) and detector.model.info["input"]["size"] == 96
    assert list(metrics) == ["set AP", "set AP50"] and detector.model.info["measured"]["set"].keys() == {"AP", "AP50"}


def test_a_validation_set_without_boxes_neither_chooses_nor_counts(task, tmp_path):
    boxes = [replace(one, boxes=one.boxes[:0], areas=one.areas[:0]) for one in task.data.samples[:2]]
    empty = ValidationSet("empty", replace(task.data, samples=tuple(boxes)))
    task.network.eval()
    alone = task.validation_loss()
    task.validations = [empty, *task.validations]
    assert list(task.release(task.network, tmp_path / "run" / "last")) == ["set AP", "set AP50"]
    assert task.validation_loss() == alone
    task.validations = [empty]
    folder = tmp_path / "other" / "run"
    fit(task, TrainConfig(epochs=2, batch_size=5, validate_every=1, patience=1, precision="fp32"), folder)
    assert [json.loads((folder / name / "model.json").read_text())["measured"] for name in ("best", "last")] == [{}, {}]
    assert len(list(csv.DictReader((folder / "metrics.csv").open()))) == 2  # not stopped early
    weights = [(folder / name / "weights.safetensors").read_bytes() for name in ("best", "last")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 100}, "size 100: must be a multiple of 32 between 32 and 2048; the nearest valid value is 96"),
        ({"size": 0}, "the nearest valid value is 32"),
        ({"size": 9999}, "the nearest valid value is 2048"),
        ({"mosaic": 1.5}, "mosaic 1.5: must lie between 0.0 and 1.0; the nearest valid value is 1.0"),
        ({"close_epochs": -1}, "close_epochs -1: must lie between 0 and 10000"),
        ({"label_smoothing": 0.9}, "label_smoothing 0.9"),
        ({"dropout": float("nan")}, "dropout nan"),
        ({"transfer": "heads"}, "transfer: unknown choice 'heads'; did you mean 'head'?"),
        ({"initialize": "hee"}, "initialize: unknown choice 'hee'; did you mean 'he'?"),
        ({"backbone": "cps"}, "backbone: unknown choice 'cps'; did you mean 'csp'?"),
    ],
)
def test_options_out_of_range_name_the_nearest_valid_value(options, words):
    with pytest.raises(UsageError) as error:
        DetectionOptions(**options)
    assert words in str(error.value)


def run(tmp_path, data, validation, **options):
    words = [data], [validation], tmp_path / "run", TrainConfig(epochs=1), OPTIONS
    return train(*words, log=lambda line: None, **options)


def test_nothing_is_written_before_everything_is_known_to_fit(tmp_path):
    data, validation = coco(tmp_path / "set", photos=1, boxes=2), coco(tmp_path / "val")
    with pytest.raises(DataError, match="6 anchors cannot be found from 2 boxes"):
        run(tmp_path, data, validation)
    with pytest.raises(ModelError, match="unknown model 'nothing'"):
        run(tmp_path, data, validation, initial=type(tmp_path)("nothing"))
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.safetensors").touch()
    with pytest.raises(UsageError, match="contains a run already"):
        run(tmp_path, tmp_path / "nowhere.json", tmp_path / "nowhere.json")


def test_a_part_of_a_network_is_trained_only_where_there_is_one(tmp_path):
    words = [tmp_path / "nowhere.json"], [], tmp_path / "run", TrainConfig(), DetectionOptions(transfer="head")
    with pytest.raises(UsageError, match="--transfer head: there is nothing to transfer; --initial names a model"):
        train(*words)


def test_photos_are_searched_once_however_often_a_run_measures_on_them(tmp_path, monkeypatch):
    searched, search = [], proposals.selective_search
    monkeypatch.setattr(
        proposals, "selective_search", lambda *args, **most: searched.append(1) or search(*args, **most)
    )
    data = scan(load_coco(coco(tmp_path / "set", photos=3)))
    network = RCNN(RCNNConfig("fast-rcnn", 1, width=4, depths=(1, 1, 1), pyramid=8, hidden=16, proposals=12))
    kept = tmp_path / "run" / "proposals"
    options = DetectionOptions(size=64)
    task = region_task("fast-rcnn", kept)(network, data, [ValidationSet("set", data)], options, workers=0)
    (tmp_path / "run").mkdir()
    for name in ("initial", "best"):
        assert task.release(network, tmp_path / "run" / name).keys() == {"set AP", "set AP50"}
    assert len(searched) == len(list(kept.glob("*.boxes"))) == 3


@pytest.mark.training
def test_the_head_alone_is_trained_on_from_a_model(tmp_path):
    """A whole run without the command: what is frozen stays, and the classes are the data's."""
    torch.manual_seed(0)
    data = yolo(tmp_path / "set")
    network = YOLO(YOLOConfig(1, ANCHORS, width=4, depths=(1, 1, 1, 1)))
    start = DetectionTask(network, scan(load_coco(coco(tmp_path / "old"))), [], OPTIONS)
    start.release(network, tmp_path / "start")
    weights = tmp_path / "start" / "weights.safetensors"
    lines, seen = [], []

    class Callback:
        def on_batch(self, folder, step, images, targets):
            seen.append((step, tuple(images.shape)))

    config = TrainConfig(epochs=1, batch_size=3, precision="fp32")
    options = DetectionOptions(size=64, transfer="head", multi_scale=False)
    best = train(
        [data], [], tmp_path / "run", config, options,
        initial=tmp_path / "start", workers=0, log=lines.append, callbacks=[Callback()],
    )  # fmt: skip
    assert list(best) == ["set val AP", "set val AP50"]
    recorded = find(str(tmp_path / "run" / "best")).info["trained"]["initial"]
    assert recorded.split() == ["start", hashlib.sha256(weights.read_bytes()).hexdigest()[:12]]
    assert seen == [(0, (3, 3, 64, 64)), (1, (3, 3, 64, 64))]
    detector = Detector.load(tmp_path / "run" / "best")
    assert detector.classes == ("screw", "nut") and detector.model.info["input"]["size"] == 64
    before, after = (
        load_file(path / "weights.safetensors") for path in (tmp_path / "start", tmp_path / "run" / "last")
    )
    same = {
        name for name in before if before[name].shape == after[name].shape and torch.equal(before[name], after[name])
    }
    assert all(name in same for name in before if name.startswith(("backbone.", "neck.")))
    assert "heads.0.offsets.weight" not in same
    assert (tmp_path / "run" / "scan.csv").read_text().splitlines() == ["set,kind,entry"]
