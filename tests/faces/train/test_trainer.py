"""What a face embedder learns from, that it learns, and that an interrupted run resumes; commands are in tests/cli."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_people import faces
from PIL import Image
from safetensors.torch import load_file
from tiny_faces import tiny_network, write_tiny_embedder
from tiny_task import files

from vision_app.core.errors import DataError, UsageError
from vision_app.faces.align import TEMPLATE
from vision_app.faces.train import trainer as training
from vision_app.faces.train.datasets import FaceValidation
from vision_app.faces.train.options import FaceOptions
from vision_app.faces.train.teacher import teacher_loss
from vision_app.faces.train.trainer import EmbedderTask, FirstFaces, train
from vision_app.faces.train.triplets import UNKNOWN, batch_hard, euclidean, triplet_loss
from vision_app.released.find import find
from vision_app.training.config import TrainConfig

CONFIG = TrainConfig(epochs=2, batch_size=8, learning_rate=2e-3, validate_every=1, precision="fp32", ema_decay=0.9)
OPTIONS = FaceOptions("both", "batch-hard", "euclidean", margin=0.5, triplet_weight=2.0, people=3, photos=2)


def task(options=OPTIONS, crops=None):
    crops = crops or faces(4, 4, unnamed=4)
    targets = np.random.default_rng(0).normal(size=(len(crops), 16))
    targets = np.float32(targets / np.linalg.norm(targets, axis=1, keepdims=True))
    return EmbedderTask(tiny_network(), crops, targets, [], options, workers=0)


def test_a_batch_holds_augmented_faces_with_their_people_and_the_teachers_embeddings(monkeypatch):
    one, seen = task(), []

    def middle(crop, template, *seed):
        seen.append(seed)
        np.testing.assert_array_equal(template, TEMPLATE)
        return crop[24:-24, 24:-24]

    monkeypatch.setattr(training, "augmented", middle)
    batches = list(one.batches(CONFIG, 1))
    assert len(batches) == one.batches_per_epoch(CONFIG) == 2
    assert sorted(seen) == [(CONFIG.seed, 1, place) for place in range(16)]
    for images, targets in batches:
        assert images.shape == (8, 3, 112, 112) and images.dtype == torch.float32 and len(targets) == 8
        for image, label, wanted in zip(images, targets.labels, targets.embeddings, strict=True):
            equal = (one.crops.chips == image.permute(1, 2, 0).numpy()).all(axis=(1, 2, 3))
            (index,) = np.nonzero(equal)[0]
            name = one.crops.identities[index]
            assert label == (int(name[1:]) if name else UNKNOWN)
            np.testing.assert_array_equal(wanted, one.targets[index])
        assert (targets.labels == UNKNOWN).any()
        part = targets[2:5]
        assert torch.equal(part.labels, targets.labels[2:5]) and len(part.embeddings) == 3


def test_batches_depend_on_seed_epoch_and_step_alone():
    one = task()
    whole = list(one.batches(CONFIG, 1))
    ((images, targets),) = one.batches(CONFIG, 1, start=1)
    assert torch.equal(images, whole[1][0]) and torch.equal(targets.labels, whole[1][1].labels)
    one.workers = 1
    workers = list(one.batches(CONFIG, 1))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(whole, workers, strict=True))
    assert not torch.equal(next(iter(one.batches(CONFIG, 0)))[0], whole[0][0])


@pytest.mark.parametrize("loss", ["triplet", "teacher", "both"])
def test_the_loss_is_made_of_its_parts(loss):
    one = task(replace(OPTIONS, loss=loss))
    images, targets = next(iter(one.batches(CONFIG, 0)))
    output = torch.nn.functional.normalize(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)))
    total, count, parts = one.loss(images, output, targets)
    distance, relations = teacher_loss(output, targets.embeddings, 10.0)
    distances = euclidean(output)
    triplet = 2 * triplet_loss(distances, batch_hard(distances, targets.labels, 0.5), 0.5)
    expected = {"teacher": distance, "relations": relations, "triplet": triplet}
    names = {"triplet": ["triplet"], "teacher": ["teacher", "relations"], "both": list(expected)}[loss]
    assert count == 8 and list(parts) == names
    for name, value in parts.items():
        assert value.item() == pytest.approx(8 * expected[name].item(), rel=1e-5)
    assert total.item() == pytest.approx(sum(value.item() for value in parts.values()), rel=1e-5)


@pytest.mark.training
@pytest.mark.parametrize("loss", ["triplet", "teacher"])
def test_a_network_learns_to_tell_people_apart_by_either_loss(loss, tmp_path):
    """Judged on other people than it learned from; the teacher knows the colors in the middle."""
    crops, others = faces(12, 4), FaceValidation.of_people("others", faces(8, 4, first=50))
    squares = crops.pixels[:, 40:120, 40:120].reshape(len(crops), 4, 20, 4, 20, 3).mean(axis=(2, 4))  # (N, 4, 4, 3)
    targets = np.float32(squares.reshape(len(crops), -1)[:, :16] - 120)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    one = EmbedderTask(tiny_network(), crops, targets, [others], FaceOptions(loss, people=6, photos=4), workers=0)
    rates = []

    def release(network, folder):
        pixels = torch.from_numpy(others.crops.chips.copy()).permute(0, 3, 1, 2).float()
        rates.append(others.measure(network(pixels).numpy())["TAR at FAR 1%"])
        folder.mkdir(parents=True)
        return {"TAR": rates[-1]}

    one.release = release
    config = TrainConfig(
        epochs=15, batch_size=24, learning_rate=1e-2, validate_every=15, precision="fp32", ema_decay=0.9
    )
    training.fit(one, config, tmp_path / "run", log=lambda line: None)
    assert rates[1] > rates[0] + 0.15


@pytest.mark.parametrize(("count", "shape"), [(30, (224, 12 * 112, 3)), (5, (112, 5 * 112, 3))])
def test_the_first_batches_are_drawn_as_the_network_gets_them(tmp_path, count, shape):
    chips = faces(1, count).chips
    callback = FirstFaces()
    callback.on_batch(tmp_path, 1, torch.from_numpy(chips.copy()).permute(0, 3, 1, 2).float(), None)
    sheet = np.asarray(Image.open(tmp_path / "batch-2.png"))
    assert sheet.shape == shape
    for i in range(count // (shape[1] // 112) * (shape[1] // 112)):
        y, x = 112 * (i // 12), 112 * (i % 12)
        np.testing.assert_array_equal(sheet[y : y + 112, x : x + 112], chips[i])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Faces to train and to measure on, and a model to start from."""
    folder = tmp_path_factory.mktemp("faces")
    faces(5, 4, unnamed=4).save(folder / "train.npz")
    faces(3, 3, first=50).save(folder / "val.npz")
    write_tiny_embedder(folder / "model")
    return folder


def run(home, folder, **more):
    """Train with the first block frozen, and return the run's files."""
    config = replace(CONFIG, checkpoint_every=1, validate_every=2)
    options = replace(OPTIONS, loss=None, freeze_blocks=1)
    train(
        [home / "train.npz"], [home / "val.npz"], folder, config, options, initial=home / "model",
        log=lambda line: None, **more,
    )  # fmt: skip
    return {name: content for name, content in files(folder).items() if "tensorboard" not in name}


@pytest.fixture(scope="module")
def whole(home):
    """The files of a run that was not interrupted."""
    return run(home, home / "whole" / "run")


@pytest.mark.training
def test_frozen_blocks_and_the_batch_statistics_of_a_model_do_not_change(home, whole):
    before, after = (load_file(folder / "weights.safetensors") for folder in (home / "model", home / "whole/run/best"))
    same = {name for name in before if torch.equal(before[name], after[name])}
    statistics = {name for name in before if "running" in name or "tracked" in name}  # few faces give no better ones
    assert same == statistics | {name for name in before if name.startswith(("stem.", "norm.", "blocks.0."))}


class StoppedError(Exception):
    pass


class Stop:
    def on_batch(self, folder, step, images, targets):
        if step == 2:
            raise StoppedError


@pytest.mark.training
def test_an_interrupted_run_resumes_with_the_same_result(home, whole, tmp_path):
    with pytest.raises(StoppedError):
        run(home, tmp_path / "stopped" / "run", callbacks=[Stop()])
    assert run(home, tmp_path / "stopped" / "run", resume=True) == whole
    assert {"teacher.npz", "scan.csv", "curves.png", "best/model.json", "metrics.csv"} <= set(whole)
    info = find(home / "whole" / "run" / "best").info
    assert info["measured"]["val"].keys() == {"accuracy"}  # 27 pairs of strangers are too few for rates
    assert info["trained"]["loss"] == "both" and info["trained"]["faces"] == 24 and info["trained"]["identities"] == 5


@pytest.mark.parametrize(
    ("people", "photos", "options", "words"),
    [
        (1, 4, {}, "1 people with a name: learning"),
        (4, 1, {}, "nobody has two photos"),
        (4, 2, {"loss": "teacher"}, "--loss teacher: needs a teacher; --teacher names a model"),
        (4, 2, {"people": 40}, "--people 40: with --photos 2 each"),
    ],
)
def test_unusable_data_and_options_are_refused(tmp_path, people, photos, options, words):
    faces(people, photos).save(tmp_path / "train.npz")
    options = replace(OPTIONS, **{"loss": None} | options)
    with pytest.raises((DataError, UsageError), match=words):
        train(str(tmp_path / "train.npz"), [], tmp_path / "run", CONFIG, options, log=lambda line: None)
    assert not (tmp_path / "run" / "last.safetensors").exists()


def test_a_teacher_with_other_embeddings_is_refused(home, tmp_path):
    words = f"--teacher {home / 'model'}: its embeddings have 16 numbers, those of the network 128"
    with pytest.raises(UsageError, match=words):
        train(
            [home / "train.npz"], [], tmp_path / "run", CONFIG, OPTIONS, teacher=home / "model", log=lambda line: None
        )
