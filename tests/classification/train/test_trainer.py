"""What a classifier learns from, and what of it is trained; a whole run is in tests/cli."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_sets import coco
from tiny_classifiers import tiny_network, write_tiny

from vision_app.classification.train.trainer import STEPS, ClassifierTask, PresenceDataset, train
from vision_app.core.errors import ModelError, UsageError
from vision_app.data.coco import load_coco
from vision_app.data.scan import scan
from vision_app.detection.train.datasets import ValidationSet
from vision_app.released.write import describe
from vision_app.training.augment import Scene
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import freeze, set_trainable

NAN = float("nan")

pytestmark = pytest.mark.usefixtures("without_onnx")


@pytest.fixture
def task(tmp_path):
    """Photos of motorbikes, as every drawn photo shows one."""
    data = scan(load_coco(coco(tmp_path / "set", photos=5, names=("motorbike", "cup", "tv"))))
    return ClassifierTask(tiny_network(), data, size=64, stretch=1.5, workers=0)


def test_a_batch_holds_photos_and_what_they_show(task):
    ((images, targets),) = task.batches(TrainConfig(batch_size=5), 0)
    assert images.shape == (5, 3, 64, 64) and 0 <= images.min() < images.max() <= 1
    assert targets.shape == (5, 3)
    for image, target in zip(images, targets, strict=True):
        red = ((image[0] > 0.5) & (image[1] < 0.3)).any()
        assert target[0] == 1 if red else target[0] != 1  # unknown where the box is out of view
        assert target[1:].tolist() == [0, 0]


def test_photos_are_shown_singly_and_nearly_whole_as_in_the_last_epochs_of_a_detector(task):
    asked = []

    def augmenter(load, *how):
        asked.append(how)
        scene = load(0)
        return Scene(scene.pixels.copy(), scene.boxes[3:])  # the crowd alone is in view

    pixels, target = PresenceDataset(task.data, augmenter, epoch=4, taught=False)[2]
    assert asked == [(5, 4, 2, True)]  # photos, epoch, photo, "close"
    np.testing.assert_array_equal(pixels.permute(1, 2, 0), task.data.pixels(2))
    np.testing.assert_array_equal(target, [NAN, 0, 0])


def test_batches_depend_on_seed_epoch_and_step_alone(task):
    config = TrainConfig(batch_size=1)
    whole = list(task.batches(config, 1))
    assert len(whole) == task.batches_per_epoch(config) == 5
    for (image, target), (same, targets) in zip(whole[3:], task.batches(config, 1, start=3), strict=True):
        assert torch.equal(image, same) and torch.equal(target, targets)
    other, _ = next(iter(task.batches(config, 2)))
    assert not torch.equal(other, whole[0][0])
    both = TrainConfig(batch_size=5)
    ((images, _),) = task.batches(both, 1)
    shares = [next(iter(task.batches(both, 1, rank=rank, world=2)))[0] for rank in range(2)]
    assert torch.equal(images, torch.cat(shares))


def test_the_loss_is_the_cross_entropy_of_what_is_known(task):
    output = torch.randn(2, 5 + 3, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[1.0, NAN, 0.0], [NAN, 0.3, 1.0]])
    loss, positives, _ = task.loss(torch.zeros(2, 3, 64, 64), output, targets)
    expected = 0.0
    for (i, k), q in np.ndenumerate(targets.numpy()):
        if not np.isnan(q):
            p = output[i, 5 + k].sigmoid().item()
            expected -= q * np.log(p) + (1 - q) * np.log(1 - p)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert positives.item() == pytest.approx(2.3)


def test_pooling_alone_leaves_the_detector_as_it_is(task):
    network = task.network
    set_trainable(network, "head")
    freeze(network.heads)
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW((p for p in network.parameters() if p.requires_grad), lr=0.01)
    network.train()
    images = torch.rand(2, 3, 64, 64)
    loss, _, _ = task.loss(images, network(images), torch.tensor([[1.0, 0.0, NAN]] * 2))
    loss.backward()
    optimizer.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"scale", "context.weight", "context.bias"}


def test_a_released_model_leaves_out_what_there_was_nothing_to_measure_for(task, tmp_path):
    """No class is as probable as not, so that no photo has a box; in JSON there is no NaN."""
    first, *others = task.data.samples  # the first shows no motorbike, but a cup
    mixed = replace(
        task.data, samples=(replace(first, boxes=replace(first.boxes, labels=first.boxes.labels + 1)), *others)
    )
    task.validations = [ValidationSet("alike", task.data), ValidationSet("drawn", mixed)]
    torch.nn.init.constant_(task.network.context.bias, -100)
    found = task.release(task.network, tmp_path / "run" / "last")
    assert found.keys() == {"drawn mAP"} and 0 <= found["drawn mAP"] <= 1
    info = json.loads((tmp_path / "run" / "last" / "model.json").read_text(), parse_constant=pytest.fail)
    assert info["measured"] == {"alike": {}, "drawn": {"mAP": found["drawn mAP"]}}
    with pytest.raises(ValueError, match="not JSON compliant"):
        describe(tmp_path / "run" / "last", measured={"drawn": {"mAP": NAN}})


def test_what_cannot_be_trained_is_refused_before_anything_is_read(tmp_path):
    config, missing = TrainConfig(epochs=1), tmp_path / "missing.json"
    with pytest.raises(UsageError, match="--transfer: unknown choice 'heads'; did you mean 'head'"):
        train([missing], [], tmp_path / "run", config, transfer="heads")
    with pytest.raises(ModelError, match="not a detector of the kinds yolo"):
        train([missing], [], tmp_path / "run", config, initial=write_tiny(tmp_path / "tiny"))
    assert set(STEPS) == {"pooling", "head", "last", "all"}
    assert not (tmp_path / "run").exists()
