"""The costs of style transfer, held to their formulas as plain loops in double precision."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.restoration import denoise_tv_chambolle

from vision_app.style.optimize.losses import (
    content_cost,
    gram_error,
    gram_matrix,
    style_layer_cost,
    total_cost,
    total_variation,
)
from vision_app.training.checks import GRADIENT_BOUND, gradient_errors


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram_by_loop(a):
    """Of one picture's features, (C, H, W)."""
    channels, rows, columns = range(a.shape[0]), range(a.shape[1]), range(a.shape[2])
    return [
        [sum(a[k, i, j].item() * a[m, i, j].item() for i in rows for j in columns) for m in channels] for k in channels
    ]


def test_content_cost_is_half_the_squared_distance():
    a, b = random(1, 3, 4, 5), random(1, 3, 4, 5, seed=1)
    places = itertools.product(range(3), range(4), range(5))
    expected = 0.5 * sum((a[0, k, i, j].item() - b[0, k, i, j].item()) ** 2 for k, i, j in places)
    assert content_cost(a, b).item() == pytest.approx(expected, rel=1e-12)
    assert content_cost(a, a) == 0


def test_gram_matrix_sums_products_of_channels_over_all_positions():
    a = random(2, 3, 4, 5)
    expected = torch.tensor([gram_by_loop(picture) for picture in a], dtype=torch.float64)
    torch.testing.assert_close(gram_matrix(a), expected, rtol=1e-12, atol=1e-12)
    in_memory_otherwise = a.to(memory_format=torch.channels_last)
    torch.testing.assert_close(gram_matrix(in_memory_otherwise), expected, rtol=1e-12, atol=1e-12)


@given(st.permutations(range(12)))
def test_gram_matrix_does_not_know_where_features_are(order):
    a = random(1, 3, 3, 4)
    moved = a.flatten(2)[..., list(order)].view_as(a)
    torch.testing.assert_close(gram_matrix(moved), gram_matrix(a))


def test_style_layer_cost_is_the_formula():
    a, b = random(1, 3, 4, 5), random(1, 3, 4, 5, seed=1)
    ours, theirs = gram_by_loop(a[0]), gram_by_loop(b[0])
    squares = sum((ours[k][m] - theirs[k][m]) ** 2 for k in range(3) for m in range(3))
    expected = squares / (2 * 4 * 5 * 3) ** 2
    assert style_layer_cost(gram_matrix(a), gram_matrix(b), 4 * 5).item() == pytest.approx(expected, rel=1e-12)


def test_total_variation_sums_the_lengths_of_gradients():
    x = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = 0.0
    for b, c, i, j in itertools.product(range(2), range(3), range(4), range(5)):
        across, down = x[b, c, i, j + 1] - x[b, c, i, j], x[b, c, i + 1, j] - x[b, c, i, j]
        expected += math.sqrt(across**2 + down**2 + 1e-4) - 1e-2
    assert total_variation(x).item() == pytest.approx(expected, rel=1e-12)


def test_total_variation_counts_steps_and_not_slopes_and_falls_with_noise():
    flat = torch.full((1, 1, 8, 9), 0.3, dtype=torch.float64)
    edge, ramp = flat.clone(), flat.clone()
    edge[..., 4:] = 0.9
    ramp[..., :] = torch.linspace(0.3, 0.9, 9, dtype=torch.float64)
    assert total_variation(flat) == 0
    assert total_variation(edge).item() == pytest.approx(7 * 0.6, rel=0.02)  # 7 rows, a step of 0.6
    assert total_variation(ramp).item() == pytest.approx(total_variation(edge).item(), rel=0.15)
    noisy = edge + 0.1 * random(1, 1, 8, 9)
    cleaned = torch.from_numpy(denoise_tv_chambolle(noisy[0, 0].numpy(), weight=0.1))[None, None]
    assert total_variation(edge) < total_variation(cleaned) < total_variation(noisy)


FUNCTIONS = {
    "content": (content_cost, (random(1, 2, 3, 3), random(1, 2, 3, 3, seed=1))),
    "style": (lambda a, g: style_layer_cost(gram_matrix(a), g, 9), (random(1, 2, 3, 3), random(1, 2, 2, seed=1))),
    "variation": (total_variation, (random(1, 2, 3, 4),)),
}


@pytest.mark.parametrize(("function", "inputs"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_gradients(function, inputs):
    assert max(gradient_errors(function, inputs)) < GRADIENT_BOUND


def test_total_cost_weighs_its_parts():
    content, style, variation = torch.tensor(3.0), torch.tensor(5.0), torch.tensor(7.0)
    assert total_cost(content, style, variation, alpha=2, beta=0.5, gamma=10) == 2 * 3 + 0.5 * 5 + 10 * 7


def test_gram_errors_are_held_to_a_loop():
    found, wanted = random(2, 3, 4, 5), random(2, 3, 6, 2, seed=1)
    for b, error in enumerate(gram_error(found, wanted)):
        apart = size = 0.0
        for i in range(3):
            for j in range(3):
                first, second = ((x[b, i] * x[b, j]).mean() for x in (found, wanted))
                apart, size = apart + (first - second) ** 2, size + second**2
        assert error.item() == pytest.approx((apart / size).item())
