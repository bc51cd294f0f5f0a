"""An encoder learns what its teachers see; commands are in tests/cli."""

import numpy as np
import pytest
import torch
from tiny_styles import tiny_encoder, write_photos, write_teachers, write_tiny_encoder

from vision_app.core.errors import UsageError
from vision_app.released.find import find
from vision_app.style.model.features import (
    CONTENT_LAYER,
    LAYERS,
    STYLE_LAYERS,
    EncoderConfig,
    EncoderNetwork,
    load_encoder,
)
from vision_app.style.train.datasets import HELD_OUT, list_photos
from vision_app.style.train.encoder import EncoderTask, Teachers, relative_error, train
from vision_app.style.train.export import write_encoder
from vision_app.style.train.initial import initial_encoder
from vision_app.training.config import TrainConfig

CONFIG = TrainConfig(epochs=2, batch_size=3, learning_rate=2e-3, validate_every=1, precision="fp32", ema_decay=0.5)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return write_teachers(tmp_path_factory.mktemp("teachers"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), 12)


def test_each_target_comes_from_the_encoder_distilled_for_its_layer(teacher):
    teachers, images = Teachers(teacher), torch.rand(1, 3, 48, 48)
    wanted = teachers(images)
    assert set(wanted) == set(LAYERS) and teachers.widths == (5, 6, 7, 8, 6, 8)
    assert tuple(wanted[name].shape[1] for name in LAYERS) == teachers.widths
    for depth, name in enumerate(STYLE_LAYERS, 1):
        one = load_encoder(teacher / str(depth))
        torch.testing.assert_close(wanted[name], one.teach(one(images, [name]))[name])
    deepest = load_encoder(teacher / "5")
    torch.testing.assert_close(wanted[CONTENT_LAYER], deepest(images, [CONTENT_LAYER])[CONTENT_LAYER])


def test_the_loss_is_the_relative_error_of_all_layers(teacher, photos):
    network = tiny_encoder(heads=Teachers(teacher).widths).requires_grad_(True)
    task = EncoderTask(
        network, list_photos([photos]), list_photos([photos]), teachers=Teachers(teacher), size=32, workers=0
    )
    images, targets = next(iter(task.batches(CONFIG, 0)))
    assert images.shape == (3, 3, 32, 32) and 0 <= images.min() < images.max() <= 1 and len(targets) == 3
    loss, count, parts = task.loss(images, network(images), targets)
    found, wanted = network.teach(network(images)), Teachers(teacher)(images)
    errors = [((found[n] - wanted[n]) ** 2).sum() / (wanted[n] ** 2).sum() for n in LAYERS]
    torch.testing.assert_close(loss, 3 * torch.stack(errors).mean())
    torch.testing.assert_close(parts["conv3_1"], 3 * errors[2])
    assert count == 3
    assert relative_error(2 * wanted["conv1_1"], wanted["conv1_1"]).item() == pytest.approx(1)


@pytest.mark.training
def test_it_learns_and_reports_how_well(teacher, photos, tmp_path):
    run = tmp_path / "run"
    found = train([photos], run, CONFIG, teacher=teacher, size=64, workers=0, log=lambda line: None)
    before = find(run / "initial").info["measured"][HELD_OUT]
    after = find(run / "best").info["measured"][HELD_OUT]
    assert found == {key: after[key] for key in ("features", "gram")}
    assert after["features"] > before["features"] + 0.01 and {f"error {name}" for name in LAYERS} < set(after)
    assert find(run / "best").info["trained"]["photos"] == 10
    network = load_encoder(run / "best")
    assert network.config.heads == Teachers(teacher).widths


def test_an_encoder_that_starts_from_its_teacher_has_its_features(teacher, tmp_path):
    teachers, images = Teachers(teacher), torch.rand(1, 3, 48, 48)
    network = initial_encoder(teacher / "5", teachers.widths)
    with torch.no_grad():
        found, wanted = network.teach(network(images)), teachers(images)
    for name in (CONTENT_LAYER, "conv5_1"):  # the deepest encoder's own
        torch.testing.assert_close(found[name], wanted[name])
    assert all(parameter.requires_grad for parameter in network.parameters())
    zeros = EncoderNetwork(EncoderConfig(widths=(3, 4, 5, 6, 6), padding="zeros", heads=(9, 6, 0, 0, 0, 0)))
    write_encoder(zeros, tmp_path / "zeros", name="zeros")
    other = initial_encoder(tmp_path / "zeros", teachers.widths)  # heads of another teacher stay where they fit
    assert other.config.padding == "zeros" and other.heads["conv1_1"].out_channels == teachers.widths[0]
    torch.testing.assert_close(other.heads["conv2_1"].bias, zeros.heads["conv2_1"].bias)
    folder = write_tiny_encoder(tmp_path / "ours")
    ours = initial_encoder(folder, teachers.widths)
    assert ours.config.widths == (4, 6, 8, 8, 8) and ours.config.heads == teachers.widths
    np.testing.assert_allclose(ours.convs["conv2_2"].weight.detach(), load_encoder(folder).convs["conv2_2"].weight)


def test_a_size_out_of_range_is_refused(teacher, photos, tmp_path):
    with pytest.raises(UsageError, match="size 32: must lie between 64 and 1024; the nearest valid value is 64"):
        train([photos], tmp_path / "run", CONFIG, teacher=teacher, size=32)
    assert not (tmp_path / "run").exists()
