import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vision_app.faces.model.network import FaceBlock, FaceNetwork, FaceNetworkConfig, convolution

TINY = FaceNetworkConfig(widths=(4, 6, 8), depths=(1, 2, 1), ranks=((0, 0), (3, 0)), embedding=5, inner=60)


@pytest.fixture
def faces():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 112, 112))).float()


def test_vectors_have_length_one_and_do_not_depend_on_the_rest_of_the_batch(faces):
    torch.manual_seed(0)
    network = FaceNetwork(TINY).eval()
    together = network(faces).detach()
    assert together.shape == (3, 5)
    assert together.norm(dim=1).numpy() == pytest.approx(np.ones(3), abs=1e-6)
    assert network(faces[1:2]).detach().numpy() == pytest.approx(together[1:2].numpy(), abs=1e-5)


def test_the_way_around_a_block_of_stride_2_is_the_mean_of_2_x_2_pixels_with_zeros_for_what_is_missing():
    torch.manual_seed(0)
    block = FaceBlock(4, 6, 8, 2, (3, 0)).eval()
    x = torch.randn(2, 4, 8, 8)
    y = block.norm2(block.second(F.relu(block.norm1(block.first(x))))).detach()
    assert y.shape == (2, 6, 3, 3)
    wanted = np.zeros((2, 6, 4, 4), np.float32)
    wanted[:, :, :3, :3] = y
    for row in range(4):
        for column in range(4):
            patch = x[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].numpy()
            wanted[:, :4, row, column] += patch.mean((2, 3))
    assert block(x).detach().numpy() == pytest.approx(wanted.clip(0), abs=1e-5)


def test_a_convolution_of_low_rank_has_as_many_parameters_as_it_says():
    whole, low = convolution(16, 32, 1), convolution(16, 32, 2, rank=4)
    assert sum(p.numel() for p in whole.parameters()) == (9 * 16 + 1) * 32
    assert sum(p.numel() for p in low.parameters()) == 9 * 16 * 4 + (4 + 1) * 32
    assert low(torch.zeros(1, 16, 9, 9)).shape == (1, 32, 4, 4)


def test_the_configuration_survives_json():
    assert FaceNetworkConfig.from_dict(json.loads(json.dumps(asdict(TINY))) | {"type": "face-embedder"}) == TINY
