import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from vision_app.faces.model.mobile import MobileFaceConfig, MobileFaceNetwork, separable

TINY = MobileFaceConfig(widths=(4, 6, 8), strides=(2, 4, 2), bottleneck=3, embedding=5)


def test_vectors_have_length_one_and_do_not_depend_on_the_rest_of_the_batch():
    torch.manual_seed(0)
    network = MobileFaceNetwork(TINY).eval()
    faces = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 112, 112))).float()
    with torch.no_grad():
        together, alone = network(faces), network(faces[1:2])
    assert together.shape == (3, 5)
    assert together.norm(dim=1).numpy() == pytest.approx(np.ones(3), abs=1e-6)
    assert alone.numpy() == pytest.approx(together[1:2].numpy(), abs=1e-5)


def test_a_separable_convolution_filters_each_channel_by_itself_and_mixes_them_at_each_place():
    torch.manual_seed(0)
    block = separable(4, 6, 2)
    assert sum(p.numel() for p in block.parameters()) == (9 + 1 + 1) * 4 + (4 + 1 + 1) * 6  # weights, biases, slopes
    x = torch.randn(1, 4, 8, 8)
    (depthwise, first), (pointwise, second) = block
    y = torch.zeros(1, 4, 4, 4)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    for row in range(4):
        for column in range(4):
            patch = padded[0, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]  # (4, 3, 3)
            y[0, :, row, column] = (patch * depthwise.weight[:, 0]).sum((1, 2)) + depthwise.bias
    y = torch.where(y > 0, y, y * first.weight[:, None, None])
    y = torch.einsum("oi,bihw->bohw", pointwise.weight[..., 0, 0], y) + pointwise.bias[:, None, None]
    y = torch.where(y > 0, y, y * second.weight[:, None, None])
    torch.testing.assert_close(block(x), y)


def test_the_linear_layer_sees_every_place_of_the_last_feature_map():
    network = MobileFaceNetwork(TINY)
    assert network.features(torch.zeros(1, 3, 112, 112)).shape == (1, 8, 7, 7)
    assert network.embedding.in_features == 3 * 7 * 7
    assert MobileFaceNetwork(MobileFaceConfig(widths=(4, 6), strides=(4, 3), bottleneck=0)).embedding.in_features == 600


def test_the_configuration_survives_json():
    stored = json.loads(json.dumps(asdict(TINY))) | {"type": "mobile-face-embedder"}
    assert MobileFaceConfig.from_dict(stored) == TINY
