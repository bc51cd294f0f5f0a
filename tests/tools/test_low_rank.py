"""A smaller network keeps what the large one says, and a sphere keeps distances."""

import numpy as np
import pytest
import torch
from low_rank import Sphere, compressed

from vision_app.faces.model.network import FaceNetwork, FaceNetworkConfig

CONFIG = FaceNetworkConfig(widths=(6, 8), depths=(1, 2), embedding=5, inner=40)


def test_cosines_on_the_sphere_say_what_distances_said():
    vectors = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) * 0.2 + 3
    vectors[:, 6] = vectors[:, :6].sum(1)  # six dimensions are all that there is
    sphere = Sphere.of(vectors)
    sphere = Sphere(sphere.mean, sphere.directions, radius=4.0)
    units = sphere(vectors)
    assert units.norm(dim=1).numpy() == pytest.approx(np.ones(50), abs=1e-6)
    lengths = (vectors - vectors.mean(0)).square().sum(1)
    heights = (16 - lengths).sqrt()
    for i, j in [(0, 1), (2, 40), (7, 7)]:
        wanted = (vectors[i] - vectors[j]).square().sum() + (heights[i] - heights[j]).square()
        assert 2 * 16 * (1 - units[i] @ units[j]).item() == pytest.approx(wanted.item(), abs=1e-3)


@pytest.fixture(scope="module")
def large():
    torch.manual_seed(0)
    network = FaceNetwork(CONFIG).eval()
    network.stem.weight.data *= 30  # variances that stand out against the norms' epsilon
    for block in network.blocks:  # statistics of nothing, as folded norms have
        block.norm1.bias.data.uniform_(-0.1, 0.1)
    return network


@pytest.fixture(scope="module")
def chips():
    low = torch.rand(60, 3, 6, 6, generator=torch.Generator().manual_seed(1)) * 255
    return torch.nn.functional.interpolate(low, size=112, mode="bilinear").byte().permute(0, 2, 3, 1).numpy()


def features(network, chips):
    with torch.inference_mode():
        return network.features(torch.from_numpy(chips).permute(0, 3, 1, 2).float())


def test_at_full_rank_everything_is_kept(large, chips):
    targets = torch.nn.functional.normalize(features(large, chips) @ torch.randn(8, 5))
    small = compressed(large, chips, targets, ranks=[(6, 6), (8, 8), (8, 8)])
    scale = features(large, chips).abs().max().item()
    assert features(small, chips).numpy() == pytest.approx(features(large, chips).numpy(), abs=1e-4 * scale)


def test_a_lower_rank_moves_the_features_less_the_higher_it_is(large, chips):
    targets = torch.nn.functional.normalize(torch.randn(60, 5))
    wanted = features(large, chips)
    errors = []
    for rank in (1, 3, 6):
        small = compressed(large, chips, targets, ranks=[(0, 0), (rank, rank), (0, 0)])
        errors.append((features(small, chips) - wanted).square().mean().item())
    assert errors[0] > errors[1] > errors[2]


def test_norms_get_the_statistics_of_real_faces_so_that_training_goes_on_from_there(large, chips):
    targets = torch.nn.functional.normalize(torch.randn(60, 5))
    small = compressed(large, chips, targets, ranks=[(3, 3), (4, 4), (4, 4)])
    pixels = torch.from_numpy(chips).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        resting, learning = small(pixels), small.train()(pixels)
    assert learning.numpy() == pytest.approx(resting.numpy(), abs=2e-2)


def test_the_last_layer_is_the_ridge_regression_on_the_targets(large, chips):
    weight = torch.randn(8, 5, generator=torch.Generator().manual_seed(2))
    wanted = features(large, chips) @ weight + 1
    small = compressed(large, chips, wanted, ranks=[(0, 0)] * 3)
    with torch.inference_mode():
        found = small.embedding(small.features(torch.from_numpy(chips).permute(0, 3, 1, 2).float()))
    error = (found - wanted).square().mean() / (wanted - wanted.mean(0)).square().mean()
    assert error < 0.05


def test_convolutions_get_outputs_of_size_one_as_fresh_ones_have(large, chips):
    targets = torch.nn.functional.normalize(torch.randn(60, 5))
    small = compressed(large, chips, targets, ranks=[(3, 3), (0, 0), (4, 4)])
    for block in small.blocks:
        for norm in (block.norm1, block.norm2):
            assert norm.running_var.mean().item() == pytest.approx(1, rel=0.05)
