"""Published networks are read as what they are: held to their formulas, written out in functions."""

import sys
from functools import partial

import convert_style_weights
import pytest
import torch
from convert_style_weights import distilled_encoder, micro_ast, shrink
from tiny_styles import tiny_fast, write_distilled, write_micro_ast, write_photos
from torch.nn import functional as F

from vision_app.core.errors import DataError
from vision_app.style.model.features import LAYERS, load_encoder
from vision_app.style.model.network import FastConfig
from vision_app.style.train.datasets import hold_out, list_photos
from vision_app.style.train.encoder import Teachers
from vision_app.style.train.initial import initial_fast


@pytest.fixture
def convert(monkeypatch):
    """Run the tool."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["convert_style_weights.py", *map(str, words)])
        convert_style_weights.main()

    return run


def conv(x, weights, name, stride=1, groups=1):
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    reach = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (reach,) * 4, mode="reflect"), weight, bias, stride=stride, groups=groups)


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_a_distilled_encoder_follows_its_formula(tmp_path, depth):
    weights = write_distilled(tmp_path)[depth - 1]
    network, images = distilled_encoder(tmp_path, depth), torch.rand(1, 3, 48, 40)
    names = [f"conv{block}_1" for block in range(1, depth + 1)]
    found = network(images, names)
    taught, x = network.teach(found), conv(images, weights, "conv0")
    for block, places in enumerate((2, 2, 4, 4, 1)[:depth], 1):
        x = F.max_pool2d(x, 2) if block > 1 else x
        for place in range(1, places + 1):
            if block == depth and place > 1:
                break
            x = F.relu(conv(x, weights, f"conv{block}{place}"))
            if place == 1:
                torch.testing.assert_close(found[f"conv{block}_1"], x, rtol=1e-4, atol=1e-5)
                aux = F.relu(conv(x, weights, f"conv{block}1_aux"))
                torch.testing.assert_close(taught[f"conv{block}_1"], aux, rtol=1e-4, atol=1e-5)


def moved(x, style):
    """Adaptive instance normalization."""
    mean, deviation = x.mean((2, 3), keepdim=True), (x.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    wanted = (style.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    return (x - mean) / deviation * wanted + style.mean((2, 3), keepdim=True)


def test_micro_ast_follows_its_formula(tmp_path):
    parts = write_micro_ast(tmp_path)

    def layer(part, name, x, **options):
        return conv(x, parts[part], f"{name}.conv_layer", **options)

    def residual(part, name, x, scale=1.0, shift=0.0):
        hidden = F.relu(scale * layer(part, f"{name}.conv1", x) + shift * x)
        return x + scale * layer(part, f"{name}.conv2", hidden) + shift * hidden

    def encode(part, x):
        for name, stride, groups in (("0", 1, 1), ("2", 2, 16), ("4", 1, 1), ("6", 2, 32), ("8", 1, 1)):
            x = F.relu(layer(part, f"enc1.{name}", x, stride=stride, groups=groups))
        x = residual(part, "enc1.10", x)
        return x, residual(part, "enc2.0", x)

    def pooled(name, x):
        return layer("modulator", f"{name}.0", x, groups=64).mean((2, 3), keepdim=True)

    content, style = torch.rand(1, 3, 40, 32), torch.rand(1, 3, 24, 28)
    shallow, deep = encode("style_encoder", style)
    x = moved(encode("content_encoder", content)[1], deep)
    x = residual("decoder", "dec1", x, pooled("weight2", deep), pooled("bias2", deep))
    x = moved(x, shallow)
    x = residual("decoder", "dec2", x, pooled("weight1", shallow), pooled("bias1", shallow))
    for first, second, groups in (("1", "3", 32), ("6", "8", 16)):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = F.relu(layer("decoder", f"dec3.{second}", F.relu(layer("decoder", f"dec3.{first}", x, groups=groups))))
    expected = layer("decoder", "dec3.10", x)
    with torch.no_grad():
        torch.testing.assert_close(micro_ast(tmp_path)(content, style), expected, rtol=1e-3, atol=1e-4)


def test_files_that_hold_something_else_are_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"vgg19_small_encoder5\.pth: No such file"):
        distilled_encoder(tmp_path)
    torch.save({"model": {"conv0.weight": torch.zeros(1)}}, tmp_path / "vgg19_small_encoder5.pth")
    with pytest.raises(DataError, match=r"vgg19_small_encoder5\.pth: not a distilled encoder"):
        distilled_encoder(tmp_path)
    write_micro_ast(tmp_path)
    torch.save({}, tmp_path / "microast_modulator.pth")
    with pytest.raises(DataError, match=r"microast_modulator\.pth: not a part of MicroAST"):
        micro_ast(tmp_path)
    (tmp_path / "microast_decoder.pth").write_text("text")
    (tmp_path / "microast_modulator.pth").unlink()
    with pytest.raises(DataError, match=r"microast_modulator\.pth: No such file"):
        micro_ast(tmp_path)


@torch.no_grad()
def test_a_shrunk_network_approximates_the_larger_one(tmp_path):
    photos = list_photos([write_photos(tmp_path)])
    whole = tiny_fast(side=5)
    for part in (whole.content.stem, whole.style.stem, whole.decoder.last):  # nothing outside of 3 x 3
        part.weight[..., [0, 4], :] = 0
        part.weight[..., :, [0, 4]] = 0
    same = shrink(whole, photos, tiny_fast().config, size=48, count=3)
    content, style = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(same(content, style), whole(content, style), rtol=0.01, atol=0.01)
    whole = tiny_fast(side=5)
    near = shrink(whole, photos, tiny_fast().config, size=48, count=3)
    pixels = torch.from_numpy(photos.center(0, 64)).permute(2, 0, 1)[None] / 255
    wanted, stem = whole.content.stem(pixels), whole.content.stem
    cut = F.conv2d(F.pad(pixels, (1,) * 4, mode="reflect"), stem.weight[..., 1:-1, 1:-1], stem.bias)
    assert (near.content.stem(pixels) - wanted).square().mean() < 0.1 * (cut - wanted).square().mean()


def test_distilled_encoders_become_teachers(tmp_path, convert):
    write_distilled(tmp_path / "published")
    convert("encoders", tmp_path / "published", "--output", tmp_path / "teachers")
    images = torch.rand(1, 3, 48, 48)
    for depth in range(1, 6):
        ours, theirs = (
            load_encoder(tmp_path / "teachers" / str(depth)),
            distilled_encoder(tmp_path / "published", depth),
        )
        names = LAYERS[: depth if depth < 5 else None]
        torch.testing.assert_close(ours.teach(ours(images, names)), theirs.teach(theirs(images, names)))
    assert set(Teachers(tmp_path / "teachers")(images)) == set(LAYERS)


def test_micro_ast_becomes_a_model_with_a_smaller_last_convolution(tmp_path, convert, monkeypatch, without_onnx):
    monkeypatch.setattr(convert_style_weights, "shrink", partial(shrink, size=32, count=2))
    photos = write_photos(tmp_path / "photos")
    write_micro_ast(tmp_path / "published")
    convert("micro-ast", tmp_path / "published", "--photos", photos, "--output", tmp_path / "model")
    ours, theirs = initial_fast(tmp_path / "model"), micro_ast(tmp_path / "published")
    assert ours.config == FastConfig() and ours.config.last == 5
    assert torch.equal(ours.content.deep.first.weight, theirs.content.deep.first.weight)
    expected = shrink(theirs, hold_out(list_photos([photos]), 0)[0], FastConfig(), size=32, count=2)
    torch.testing.assert_close(ours.decoder.last.weight, expected.decoder.last.weight)


def test_micro_ast_needs_photos(tmp_path, convert, capsys):
    with pytest.raises(SystemExit):
        convert("micro-ast", tmp_path, "--output", tmp_path / "model")
    assert "micro-ast needs --photos" in capsys.readouterr().err
