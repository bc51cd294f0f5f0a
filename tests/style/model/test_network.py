"""The fast network: held to plain formulas, to sizes of any kind, and to itself in parts."""

import json
from dataclasses import asdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_styles import tiny_fast
from torch.nn import functional as F

from vision_app.style.model.network import FastConfig, ModulatedBlock, moments, restyle


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_restyled_features_have_the_requested_moments():
    x, wanted = torch.randn(2, 3, 9, 7), torch.cat([torch.randn(2, 3), torch.rand(2, 3) + 0.5], 1)
    found, used = restyle(x, wanted, torch.full((2, 6), torch.nan))
    torch.testing.assert_close(found.mean((2, 3)), wanted[:, :3], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.std((2, 3), unbiased=False), wanted[:, 3:], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(used, moments(x))
    torch.testing.assert_close(used[:, 3:], (x.var((2, 3), unbiased=False) + 1e-5).sqrt())


def test_given_statistics_replace_computed_ones():
    x, given = torch.randn(1, 2, 5, 5), torch.tensor([[1.0, -1.0, 2.0, 0.5]])
    found, used = restyle(x, torch.tensor([[0.0, 0.0, 1.0, 1.0]]), given)
    assert torch.equal(used, given)
    torch.testing.assert_close(found[0, 0], (x[0, 0] - 1) / 2)
    torch.testing.assert_close(found[0, 1], (x[0, 1] + 1) / 0.5)


def test_a_block_with_scale_one_and_shift_zero_is_unmodulated():
    block, x = ModulatedBlock(4), torch.randn(2, 4, 6, 6)
    ones = torch.ones(2, 4, 1, 1)
    torch.testing.assert_close(block.modulated(x, ones, 0 * ones), block(x))
    scale, shift = torch.rand(2, 4, 1, 1), torch.rand(2, 4, 1, 1)

    def conv(layer, x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), layer.weight, layer.bias)

    hidden = F.relu(scale * conv(block.first, x) + shift * x)
    torch.testing.assert_close(
        block.modulated(x, scale, shift), x + scale * conv(block.second, hidden) + shift * hidden
    )


@settings(max_examples=15)
@given(height=st.integers(16, 45), width=st.integers(16, 45))
@torch.no_grad()
def test_results_have_the_size_of_the_content(height, width):
    network = tiny_fast()
    code = network.encode(images(1, 3, 33, 20))
    assert code.shape == (1, network.config.code) == (1, 128)
    painted, used = network.stylize(images(1, 3, height, width), code)
    assert painted.shape == (1, 3, height, width) and used.shape == (1, network.config.statistics) == (1, 64)


@torch.no_grad()
def test_returned_statistics_reproduce_the_result():
    network, content = tiny_fast(), images(2, 3, 40, 36)
    codes = network.encode(images(2, 3, 24, 24, seed=1))
    painted, used = network.stylize(content, codes)
    again, same = network.stylize(content, codes, used)
    assert torch.equal(used, same)
    torch.testing.assert_close(again, painted)
    torch.testing.assert_close(network(content, images(2, 3, 24, 24, seed=1)), painted)


@torch.no_grad()
def test_the_receptive_field_is_no_larger_than_the_reach():
    network, content = tiny_fast(), images(1, 3, 160, 160)
    code = network.encode(images(1, 3, 24, 24, seed=1))
    painted, used = network.stylize(content, code)
    changed = content.clone()
    changed[..., :40] = 0
    other, _ = network.stylize(changed, code, used)
    different = (painted != other).any(1)[0].any(0).nonzero()
    assert 40 < different.max() < 40 + network.config.reach
    part, _ = network.stylize(content[..., 40:], code, used)  # cut at a multiple of 4, as tiles are
    reach = network.config.reach
    torch.testing.assert_close(part[..., reach:], painted[..., 40 + reach :], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changes", [{"stem": 4}, {"last": 0}, {"widths": (4, 6, 8)}, {"widths": (0, 4, 8)}])
def test_an_impossible_architecture_is_refused(changes):
    with pytest.raises(ValueError, match="must be"):
        FastConfig(**changes)


def test_a_config_survives_json():
    config = FastConfig(widths=(4, 8, 16), stem=7, last=3)
    assert FastConfig.from_dict(json.loads(json.dumps(asdict(config) | {"type": "style-fast"}))) == config
