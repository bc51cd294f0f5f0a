"""The building blocks, held to what their papers say."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_app.detection.model.blocks import (
    ConvUnit,
    InceptionBlock,
    ResidualBlock,
    ResidualBottleneck,
    SqueezeExcitation,
)


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        ("silu", lambda x: x * x.sigmoid()),
        ("hardswish", lambda x: x * (x + 3).clamp(0, 6) / 6),
        ("relu", lambda x: x.clamp(min=0)),
        ("none", lambda x: x),
    ],
)
def test_a_unit_is_convolution_norm_and_activation(activation, formula):
    unit = ConvUnit(3, 5, 3, stride=2, activation=activation).eval()
    x = torch.randn(2, 3, 9, 8) * 4
    linear = F.conv2d(x, unit.conv.weight, stride=2, padding=1) / (1 + 1e-3) ** 0.5
    torch.testing.assert_close(unit(x), formula(linear))
    assert list(unit.state_dict())[:3] == ["conv.weight", "norm.weight", "norm.bias"]


@pytest.mark.parametrize("kind", [ResidualBlock, ResidualBottleneck])
def test_a_residual_block_whose_body_gives_nothing_lets_its_input_through(kind):
    same, coarser = kind(8, 8).eval(), kind(8, 16, stride=2).eval()
    for block in (same, coarser):
        nn.init.zeros_(block.body[-1].norm.weight)
    x = torch.randn(1, 8, 6, 6)
    assert torch.equal(same(x), x.relu())
    projected = F.conv2d(x, coarser.shortcut.conv.weight, stride=2) / (1 + 1e-3) ** 0.5
    torch.testing.assert_close(coarser(x), projected.relu())


@pytest.mark.parametrize(("kind", "expected"), [(ResidualBlock, 2 * 9 * 64**2), (ResidualBottleneck, 9 * 16**2 + 2048)])
def test_a_bottleneck_saves_weights(kind, expected):
    convolutions = [module for module in kind(64, 64).modules() if isinstance(module, nn.Conv2d)]
    assert sum(module.weight.numel() for module in convolutions) == expected


def test_the_branches_of_an_inception_block_see_windows_of_1_3_5_and_3():
    torch.manual_seed(0)
    block = InceptionBlock(4, 16).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.abs_()
    x = torch.rand(1, 4, 11, 11, requires_grad=True)
    branches = block(x).split([4, 8, 2, 2], dim=1)
    for branch, window in zip(branches[:3], (1, 3, 5), strict=True):
        (gradient,) = torch.autograd.grad(branch[0, :, 5, 5].sum(), x, retain_graph=True)
        assert (gradient[0].sum(dim=0) > 0).nonzero().unique().tolist() == list(range(5 - window // 2, 6 + window // 2))
    pooled = F.conv2d(F.max_pool2d(x, 3, 1, 1), block.pool[1].conv.weight).relu() / (1 + 1e-3) ** 0.5
    torch.testing.assert_close(branches[3], pooled)


def test_squeeze_and_excitation_weights_channels_by_their_means():
    torch.manual_seed(2)
    module, x = SqueezeExcitation(8), torch.rand(1, 8, 3, 4)
    means = x.mean(dim=(2, 3))[0].detach().numpy()
    squeeze, excite = (layer.weight.detach().numpy()[:, :, 0, 0] for layer in (module.squeeze, module.excite))
    hidden = np.maximum(squeeze @ means + module.squeeze.bias.detach().numpy(), 0)
    weight = np.clip((excite @ hidden + module.excite.bias.detach().numpy()) / 6 + 0.5, 0, 1)
    np.testing.assert_allclose(module(x).detach().numpy()[0], x.numpy()[0] * weight[:, None, None], rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (5, 2)])
def test_a_depthwise_convolution_of_a_single_pixel_has_the_value_and_gradient_of_any_other(kernel, stride):
    torch.manual_seed(0)
    unit, x = ConvUnit(6, 6, kernel, stride, groups=6, activation="none"), torch.randn(2, 6, 1, 1)
    unit.norm = torch.nn.Identity()
    found, expected = (torch.autograd.grad(y.square().sum(), unit.conv.weight) for y in (unit(x), unit.conv(x)))
    torch.testing.assert_close(unit(x), unit.conv(x))
    torch.testing.assert_close(found, expected)
