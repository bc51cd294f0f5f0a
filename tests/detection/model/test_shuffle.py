import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vision_app.detection.grid import make_grid
from vision_app.detection.model.backbone import ShuffleBackbone, ShuffleBlock
from vision_app.detection.model.blocks import SqueezeExcitation
from vision_app.detection.model.neck import LightPathAggregation
from vision_app.detection.model.yolo import YOLO, YOLOConfig

ANCHORS = tuple(((4.0 * s, 3.0 * s), (6.0 * s, 8.0 * s)) for s in (8, 16, 32, 64))


@pytest.fixture(scope="module")
def network() -> YOLO:
    torch.manual_seed(0)
    return YOLO(YOLOConfig(3, ANCHORS, "shuffle", width=4, depths=(2, 2, 1))).eval()


def test_block_shuffles_as_torch_does():
    torch.manual_seed(1)
    block, x = ShuffleBlock(16, 4).eval(), torch.rand(2, 16, 5, 6)
    with torch.no_grad():
        kept, moved = x.chunk(2, dim=1)
        moved = block.expand(moved)
        moved = block.project(block.attend(torch.cat([moved, block.ghost(moved)], dim=1)))
        expected = F.channel_shuffle(torch.cat([kept, moved], dim=1), 2)
        torch.testing.assert_close(block(x), expected)


def test_squeeze_and_excitation_weighs_channels_by_their_means():
    torch.manual_seed(2)
    module, x = SqueezeExcitation(8), torch.rand(1, 8, 3, 4)
    means = x.mean(dim=(2, 3))[0].detach().numpy()
    squeeze, excite = (layer.weight.detach().numpy()[:, :, 0, 0] for layer in (module.squeeze, module.excite))
    hidden = np.maximum(squeeze @ means + module.squeeze.bias.detach().numpy(), 0)
    weight = np.clip((excite @ hidden + module.excite.bias.detach().numpy()) / 6 + 0.5, 0, 1)
    np.testing.assert_allclose(module(x).detach().numpy()[0], x.numpy()[0] * weight[:, None, None], rtol=1e-5)


def test_maps_have_the_sizes_of_the_grid_also_where_64_does_not_divide():
    backbone = ShuffleBackbone(4, (2, 2, 1)).eval()
    maps = backbone(torch.rand(1, 3, 96, 160))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 12, 20), (32, 6, 10), (64, 3, 5)]
    maps = LightPathAggregation(backbone.channels).eval()(maps)
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 12, 20), (16, 6, 10), (16, 3, 5), (16, 2, 3)]


@pytest.mark.parametrize("shape", [(64, 64), (96, 160)])
def test_network_gives_a_row_for_every_anchor(network, shape):
    with torch.no_grad():
        rows = network(torch.rand(2, 3, *shape))
    assert rows.shape == (2, len(make_grid(*shape, (8, 16, 32, 64), ANCHORS).cells), 8)


def test_released_size():
    network = YOLO(YOLOConfig(80, tuple(anchors[:1] for anchors in ANCHORS), "shuffle"))
    assert sum(p.numel() for p in network.parameters()) == 993_103
