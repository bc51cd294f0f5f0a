"""A fast network learns to paint; commands are in tests/cli."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_styles import tiny_encoder, tiny_fast, write_photos, write_tiny_encoder, write_tiny_fast
from tiny_task import files

from vision_app.core.errors import UsageError
from vision_app.core.images import read_image
from vision_app.released.find import find
from vision_app.style.model.features import STYLE_LAYERS
from vision_app.style.optimize.losses import gram_error
from vision_app.style.train.datasets import HELD_OUT, list_photos
from vision_app.style.train.fast import CONTENT_LAYERS, FastTask, content_error, lattice, train
from vision_app.style.train.initial import initial_fast
from vision_app.style.train.options import FastOptions
from vision_app.training.config import TrainConfig

CONFIG = TrainConfig(epochs=2, batch_size=4, learning_rate=2e-3, validate_every=1, precision="fp32", ema_decay=0.5)
OPTIONS = FastOptions(content=2.0, style=3.0, identity=4.0, lattice=5.0, size=64)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), 12)


def task(photos):
    network = tiny_fast()
    about = {"encoder": tiny_encoder(), "options": OPTIONS, "size": OPTIONS.size, "workers": 0}
    return FastTask(network, list_photos([photos]), list_photos([photos]), **about)


@given(scale=st.floats(0.5, 3), shift=st.floats(-2, 2))
def test_content_error_ignores_contrast(scale, shift):
    x = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert content_error(x, scale * x + shift).item() < 1e-3
    assert content_error(x, x.flip(3)).item() > 0.1


def test_lattice_measures_dots_every_four_pixels_only():
    random = torch.Generator().manual_seed(0)
    flat = torch.full((1, 3, 128, 128), 0.5)
    dots, ramp, edge = flat.clone(), flat * torch.linspace(0, 1, 128), flat.clone()
    dots[..., 1::4, 2::4] += 0.2
    edge[..., 40:] = 1
    every_five = flat.clone()
    every_five[..., ::5, ::5] += 0.2
    noise = flat + 0.05 * torch.randn(flat.shape, generator=random)
    assert lattice(flat).item() < 1e-7 > 0.1 * lattice(ramp).item()
    expected = 0.2**2 * (1 / 16) * (15 / 16)  # the variance of one place of sixteen
    assert lattice(dots).item() == pytest.approx(expected, rel=0.3)
    for other in (edge, every_five, noise):
        assert lattice(other).item() < 0.05 * expected


def test_a_batch_holds_pairs_and_every_eighth_style_is_the_content(photos):
    one = task(photos)
    whole = list(one.batches(CONFIG, 1))
    same = [bool((c == s).all()) for contents, styles in whole for c, s in zip(contents, styles, strict=True)]
    assert same == [place % 8 == 0 for place in range(12)]
    ((contents, styles),) = one.batches(CONFIG, 1, start=2)
    assert torch.equal(contents, whole[2][0]) and torch.equal(styles, whole[2][1])
    assert contents.shape == styles.shape == (4, 3, 64, 64) and contents.min() >= 0 and contents.max() <= 1
    assert not torch.equal(next(iter(one.batches(CONFIG, 0)))[0], whole[0][0])


def halved(images):
    """(B, 3, H, W) at half the size, each pixel the mean of four."""
    return images.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean((3, 5))


def test_the_loss_is_the_sum_of_its_parts(photos):
    one = task(photos)
    contents, styles = next(iter(one.batches(CONFIG, 0)))
    output = one.network(contents, styles).detach()
    loss, count, parts = one.loss(contents, output, styles)
    eye = one.encoder
    half = [eye(halved(x)) for x in (output, contents, styles)]
    content = sum(content_error(half[0][name], half[1][name]) for name in CONTENT_LAYERS).sum() / 2
    errors = [gram_error(half[0][name], half[2][name]) for name in STYLE_LAYERS]
    errors += [gram_error(eye(output)[name], eye(styles)[name]) for name in ("conv1_1", "conv2_1")]
    style = torch.log(0.01 + torch.stack(errors)).sum() / 7
    torch.testing.assert_close(parts["content"], 2 * content)
    torch.testing.assert_close(parts["style"], 3 * style)
    torch.testing.assert_close(parts["identity"], 4 * (output[0] - contents[0]).abs().mean())  # the first is plain
    torch.testing.assert_close(parts["lattice"], 5 * lattice(output).sum())
    torch.testing.assert_close(loss, sum(parts.values()))
    assert count == 4


@pytest.mark.training
def test_it_learns_and_an_interrupted_run_resumes_exactly(photos, tmp_path, without_onnx):
    encoder, initial = write_tiny_encoder(tmp_path / "encoder"), write_tiny_fast(tmp_path / "initial")
    settings = {"options": OPTIONS, "encoder": encoder, "initial": initial, "workers": 0}
    settings["log"] = lambda line: None
    whole, parts = tmp_path / "whole" / "run", tmp_path / "parts" / "run"
    best = train([photos], whole, CONFIG, **settings)
    before = find(whole / "initial").info["measured"][HELD_OUT]
    assert best["quality"] > -(2 * before["content"] + 3 * before["style"]) + 0.02
    assert find(whole / "best").info["measured"][HELD_OUT] == {key: best[key] for key in ("content", "style")}
    assert initial_fast(whole / "best").config == tiny_fast().config

    class Stopper:
        def on_epoch(self, folder, row):
            if row["epoch"] == 2:  # before its checkpoint is written
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(str(photos), parts, CONFIG, callbacks=[Stopper()], **settings)
    train(photos, parts, CONFIG, resume=True, **settings)
    assert files(whole / "best") == files(parts / "best")


def test_a_release_contains_sample_results(photos, tmp_path, without_onnx):
    task(photos).release(tiny_fast(), tmp_path / "run" / "best")
    sheet = read_image(tmp_path / "run" / "best" / "samples.png").pixels
    assert sheet.shape == (8 * 64, 3 * 64, 3)
    assert np.array_equal(sheet[:64, :64], list_photos([photos]).center(0, 64))


@pytest.mark.parametrize(
    ("name", "value", "nearest"), [("size", 32, 64), ("content", -1.0, 0.0), ("style", 1e5, 10000.0)]
)
def test_an_option_out_of_range_names_the_nearest_value(name, value, nearest):
    with pytest.raises(UsageError, match=f"^{name} {value}: must lie between .*; the nearest valid value is {nearest}"):
        FastOptions(**{name: value})
