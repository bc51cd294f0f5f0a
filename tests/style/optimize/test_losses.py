"""The costs of style transfer, held to their formulas as plain loops in double precision."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import data
from skimage.restoration import denoise_tv_chambolle
from tiny_styles import tiny_encoder

from vision_app.style.model.features import CONTENT_LAYER, STYLE_LAYERS
from vision_app.style.optimize.losses import (
    Objective,
    as_batch,
    content_cost,
    gram_error,
    gram_matrix,
    style_layer_cost,
    to_pixels,
    to_tensor,
    total_cost,
    total_variation,
)
from vision_app.style.options import OptimizeConfig
from vision_app.training.checks import GRADIENT_BOUND, gradient_errors


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram_by_loop(a):
    """Of one image's features, (C, H, W)."""
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
    expected = torch.tensor([gram_by_loop(image) for image in a], dtype=torch.float64)
    torch.testing.assert_close(gram_matrix(a), expected, rtol=1e-12, atol=1e-12)
    in_memory_otherwise = a.to(memory_format=torch.channels_last)
    torch.testing.assert_close(gram_matrix(in_memory_otherwise), expected, rtol=1e-12, atol=1e-12)


@given(st.permutations(range(12)))
def test_gram_matrix_ignores_positions(order):
    a = random(1, 3, 3, 4)
    moved = a.flatten(2)[..., list(order)].view_as(a)
    torch.testing.assert_close(gram_matrix(moved), gram_matrix(a))


def test_style_layer_cost_follows_the_formula():
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
def test_gradients_agree_with_finite_differences(function, inputs):
    assert max(gradient_errors(function, inputs)) < GRADIENT_BOUND


def test_total_cost_weighs_its_parts():
    content, style, variation = torch.tensor(3.0), torch.tensor(5.0), torch.tensor(7.0)
    assert total_cost(content, style, variation, alpha=2, beta=0.5, gamma=10) == 2 * 3 + 0.5 * 5 + 10 * 7


def test_gram_error_matches_a_loop():
    found, wanted = random(2, 3, 4, 5), random(2, 3, 6, 2, seed=1)
    for b, error in enumerate(gram_error(found, wanted)):
        apart = size = 0.0
        for i in range(3):
            for j in range(3):
                first, second = ((x[b, i] * x[b, j]).mean() for x in (found, wanted))
                apart, size = apart + (first - second) ** 2, size + second**2
        assert error.item() == pytest.approx((apart / size).item())


CONTENT, STYLE, OTHER = data.astronaut()[:96, 150:280], data.coffee()[100:170, 200:290], data.chelsea()[50:130, 100:200]
PLAIN = {"alpha": 1.0, "beta": 1.0, "total_variation": 0.0}


@pytest.fixture(scope="module")
def encoder():
    return tiny_encoder().double()  # so that results can be held to a plain computation


def make(encoder, content=CONTENT, styles=(STYLE,), weights=(1.0,), **options):
    return Objective(encoder, content, styles, weights, OptimizeConfig(**PLAIN | options))


def features_of(encoder, pixels):
    features = encoder(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float().div(255))
    return {layer: values[0].double().flatten(1).numpy() for layer, values in features.items()}  # (C, positions)


def gram(features):
    return features @ features.T / features.shape[1]


def relative_gram_error(encoder, pixels, wanted):
    """The mean of ||G - wanted||^2 / ||wanted||^2 over layers, by the definition, for one position."""
    found = features_of(encoder, pixels)
    errors = [((gram(found[n]) - wanted[n]) ** 2).sum() / (wanted[n] ** 2).sum() for n in STYLE_LAYERS]
    return np.mean(errors)


def grams(encoder, pixels):
    return {layer: gram(values) for layer, values in features_of(encoder, pixels).items()}


def test_costs_are_relative_to_their_targets_whatever_the_sizes(encoder):
    image = np.ascontiguousarray(CONTENT[::-1])
    costs = make(encoder)(to_tensor(image))
    content, found = features_of(encoder, CONTENT)[CONTENT_LAYER], features_of(encoder, image)[CONTENT_LAYER]
    assert costs.content.item() == pytest.approx(((found - content) ** 2).sum() / (content**2).sum(), rel=1e-5)
    expected = relative_gram_error(encoder, image, grams(encoder, STYLE))
    assert costs.style.item() == pytest.approx(expected, rel=1e-5)


def test_content_and_style_have_no_cost_for_themselves(encoder):
    assert make(encoder)(to_tensor(CONTENT)).content == 0
    assert make(encoder, content=STYLE)(to_tensor(STYLE)).style < 1e-12
    assert make(encoder, strength=0.0)(to_tensor(CONTENT)).total < 1e-12


def test_costs_are_one_where_nothing_is_in_common(encoder):
    """A network without biases sees nothing in black."""
    blind = tiny_encoder()
    for layer in blind.convs.values():
        layer.bias.zero_()
    costs = make(blind)(torch.zeros(*CONTENT.shape))
    assert costs.content.item() == pytest.approx(1)
    assert costs.style.item() == pytest.approx(1)


def test_costs_are_finite_for_a_target_without_features():
    blind, black = tiny_encoder(), np.zeros((64, 64, 3), dtype=np.uint8)
    for layer in blind.convs.values():
        layer.bias.zero_()
    costs = Objective(blind, black, [black], [1.0], OptimizeConfig(**PLAIN))(to_tensor(CONTENT[:64, :64]))
    assert np.isfinite([cost.item() for cost in costs]).all()
    assert costs.total > 0


def test_strength_and_weights_mix_gram_matrices(encoder):
    own, first, second = grams(encoder, CONTENT), grams(encoder, STYLE), grams(encoder, OTHER)
    mixed = {n: 0.6 * own[n] + 0.4 * (0.25 * first[n] + 0.75 * second[n]) for n in STYLE_LAYERS}
    objective = make(encoder, styles=(STYLE, OTHER), weights=(0.25, 0.75), strength=0.4)
    image = np.ascontiguousarray(CONTENT[:, ::-1])
    assert objective(to_tensor(image)).style.item() == pytest.approx(
        relative_gram_error(encoder, image, mixed), rel=1e-5
    )


def test_a_mixed_target_has_the_mean_gradient_of_several_styles(encoder):
    """The gradient towards the mean of Gram matrices is the mean of the gradients towards each."""
    image = (to_tensor(CONTENT).double() * 0.9).requires_grad_()
    found = {n: values.flatten(2)[0] for n, values in encoder(as_batch(image), STYLE_LAYERS).items()}
    first, second = grams(encoder, STYLE), grams(encoder, OTHER)
    both = 0
    for n in STYLE_LAYERS:
        norm = ((0.5 * first[n] + 0.5 * second[n]) ** 2).sum()
        ours = found[n] @ found[n].T / found[n].shape[1]
        for wanted in (first[n], second[n]):
            both = both + 0.5 * (ours - torch.from_numpy(wanted)).square().sum() / norm / len(STYLE_LAYERS)
    (apart,) = torch.autograd.grad(both, image)
    objective = make(encoder, styles=(STYLE, OTHER), weights=(0.5, 0.5), alpha=0.0)
    (together,) = torch.autograd.grad(objective(image).total, image)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-9)


def test_the_total_weighs_content_style_and_variation(encoder):
    image = to_tensor(np.ascontiguousarray(CONTENT[::-1]))
    costs = make(encoder, alpha=2.0, beta=30.0, total_variation=5.0)(image)
    variation = total_variation(as_batch(image)) / image.numel()
    assert costs.total.item() == pytest.approx((2 * costs.content + 30 * costs.style + 5 * variation).item(), rel=1e-6)


def test_pixels_become_a_tensor_and_come_back():
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(to_pixels(to_tensor(every)), every)
    batch = as_batch(to_tensor(CONTENT))
    assert batch.shape == (1, 3, *CONTENT.shape[:2])
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch[0, 1, 5, 7] == CONTENT[5, 7, 1] / np.float32(255)
