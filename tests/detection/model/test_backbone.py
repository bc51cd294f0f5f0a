"""Every backbone under the neck: the maps that it promises, and that it learns."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_app.detection.model.backbone import BACKBONES, ShuffleBlock
from vision_app.detection.model.neck import PathAggregation

pytestmark = pytest.mark.slow

NAMES = ("csp", "residual", "inception")


def trunk(name: str, width: int = 4, depths: tuple[int, ...] = (1, 1, 1, 1)) -> nn.Sequential:
    torch.manual_seed(0)
    backbone = BACKBONES[name](width, depths)
    return nn.Sequential(backbone, PathAggregation(backbone.channels))


@pytest.mark.parametrize("name", NAMES)
def test_maps_have_the_channels_and_strides_that_the_backbone_states(name):
    backbone, neck = network = trunk(name).eval()
    shapes = [(2, c, 64 // s, 96 // s) for c, s in zip(backbone.channels, backbone.strides, strict=True)]
    x = torch.rand(2, 3, 64, 96)
    assert [map.shape for map in backbone(x)] == shapes
    assert [map.shape for map in network(x)] == shapes
    assert neck.channels == backbone.channels


@pytest.mark.parametrize("name", NAMES)
def test_depths_count_the_blocks_of_each_stage(name):
    def parameters(depths):
        backbone = BACKBONES[name](4, depths)
        return [sum(p.numel() for p in stage.parameters()) for stage in backbone.children()]

    plain = parameters((1, 1, 1, 1))
    for stage in range(4):
        deeper = parameters(tuple(2 if i == stage else 1 for i in range(4)))
        assert [a != b for a, b in zip(plain, deeper, strict=True)] == [i == stage + 1 for i in range(5)]


@pytest.mark.parametrize("name", NAMES)
def test_a_trunk_learns_to_tell_images_apart(name):
    network = trunk(name)
    images = torch.rand(4, 3, 64, 64)
    targets = torch.eye(4)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        means = [map.mean(dim=(2, 3))[:, :4] for map in network(images)]  # 3 x (4, 4)
        loss = sum((mean - targets).square().mean() for mean in means)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_a_shuffle_block_shuffles_as_torch_does():
    torch.manual_seed(1)
    block, x = ShuffleBlock(16, 4).eval(), torch.rand(2, 16, 5, 6)
    with torch.no_grad():
        kept, moved = x.chunk(2, dim=1)
        moved = block.expand(moved)
        moved = block.project(block.attend(torch.cat([moved, block.ghost(moved)], dim=1)))
        expected = F.channel_shuffle(torch.cat([kept, moved], dim=1), 2)
        torch.testing.assert_close(block(x), expected)
