"""What a picture is to be like: costs relative to their targets, for any sizes, styles and weights."""

import numpy as np
import pytest
import torch
from skimage import data
from tiny_styles import tiny_encoder

from vision_app.style.model.features import CONTENT_LAYER, STYLE_LAYERS
from vision_app.style.optimize.losses import Objective, as_batch, to_picture, to_pixels, total_variation

CONTENT, STYLE, OTHER = data.astronaut()[:96, 150:280], data.coffee()[100:170, 200:290], data.chelsea()[50:130, 100:200]
PLAIN = {"strength": 1.0, "alpha": 1.0, "beta": 1.0, "gamma": 0.0}


@pytest.fixture(scope="module")
def encoder():
    return tiny_encoder().double()  # so that results can be held to a plain computation


def make(encoder, content=CONTENT, styles=(STYLE,), weights=(1.0,), **options):
    return Objective(encoder, content, styles, weights, **PLAIN | options)


def seen(encoder, pixels):
    features = encoder(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float().div(255))
    return {layer: values[0].double().flatten(1).numpy() for layer, values in features.items()}  # (C, positions)


def gram(features):
    return features @ features.T / features.shape[1]


def relative_gram_error(encoder, pixels, wanted):
    """The mean of ||G - wanted||^2 / ||wanted||^2 over layers, by the definition, for one position."""
    found = seen(encoder, pixels)
    errors = [((gram(found[n]) - wanted[n]) ** 2).sum() / (wanted[n] ** 2).sum() for n in STYLE_LAYERS]
    return np.mean(errors)


def grams(encoder, pixels):
    return {layer: gram(values) for layer, values in seen(encoder, pixels).items()}


def test_costs_are_relative_to_their_targets_whatever_the_sizes(encoder):
    picture = np.ascontiguousarray(CONTENT[::-1])
    costs = make(encoder)(to_picture(picture))
    content, found = seen(encoder, CONTENT)[CONTENT_LAYER], seen(encoder, picture)[CONTENT_LAYER]
    assert costs.content.item() == pytest.approx(((found - content) ** 2).sum() / (content**2).sum(), rel=1e-5)
    expected = relative_gram_error(encoder, picture, grams(encoder, STYLE))
    assert costs.style.item() == pytest.approx(expected, rel=1e-5)


def test_content_costs_itself_nothing_and_so_does_the_style(encoder):
    assert make(encoder)(to_picture(CONTENT)).content == 0
    assert make(encoder, content=STYLE)(to_picture(STYLE)).style < 1e-12
    assert make(encoder, strength=0.0)(to_picture(CONTENT)).total < 1e-12


def test_nothing_in_common_costs_one(encoder):
    """A network without biases sees nothing in black."""
    blind = tiny_encoder()
    for layer in blind.convs.values():
        layer.bias.zero_()
    costs = make(blind)(torch.zeros(*CONTENT.shape))
    assert costs.content.item() == pytest.approx(1)
    assert costs.style.item() == pytest.approx(1)


def test_a_target_without_features_leaves_costs_finite():
    blind, black = tiny_encoder(), np.zeros((64, 64, 3), dtype=np.uint8)
    for layer in blind.convs.values():
        layer.bias.zero_()
    costs = Objective(blind, black, [black], [1.0], **PLAIN)(to_picture(CONTENT[:64, :64]))
    assert np.isfinite([cost.item() for cost in costs]).all()
    assert costs.total > 0


def test_strength_and_weights_mix_gram_matrices(encoder):
    own, first, second = grams(encoder, CONTENT), grams(encoder, STYLE), grams(encoder, OTHER)
    mixed = {n: 0.6 * own[n] + 0.4 * (0.25 * first[n] + 0.75 * second[n]) for n in STYLE_LAYERS}
    objective = make(encoder, styles=(STYLE, OTHER), weights=(0.25, 0.75), strength=0.4)
    picture = np.ascontiguousarray(CONTENT[:, ::-1])
    assert objective(to_picture(picture)).style.item() == pytest.approx(
        relative_gram_error(encoder, picture, mixed), rel=1e-5
    )


def test_one_mixed_target_pulls_as_several_styles_would_together(encoder):
    """The gradient towards the mean of Gram matrices is the mean of the gradients towards each."""
    picture = (to_picture(CONTENT).double() * 0.9).requires_grad_()
    found = {n: values.flatten(2)[0] for n, values in encoder(as_batch(picture), STYLE_LAYERS).items()}
    first, second = grams(encoder, STYLE), grams(encoder, OTHER)
    both = 0
    for n in STYLE_LAYERS:
        norm = ((0.5 * first[n] + 0.5 * second[n]) ** 2).sum()
        ours = found[n] @ found[n].T / found[n].shape[1]
        for wanted in (first[n], second[n]):
            both = both + 0.5 * (ours - torch.from_numpy(wanted)).square().sum() / norm / len(STYLE_LAYERS)
    (apart,) = torch.autograd.grad(both, picture)
    objective = make(encoder, styles=(STYLE, OTHER), weights=(0.5, 0.5), alpha=0.0)
    (together,) = torch.autograd.grad(objective(picture).total, picture)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-9)


def test_the_total_weighs_content_style_and_variation(encoder):
    picture = to_picture(np.ascontiguousarray(CONTENT[::-1]))
    costs = make(encoder, alpha=2.0, beta=30.0, gamma=5.0)(picture)
    variation = total_variation(as_batch(picture)) / picture.numel()
    assert costs.total.item() == pytest.approx((2 * costs.content + 30 * costs.style + 5 * variation).item(), rel=1e-6)


def test_pixels_become_a_picture_and_come_back():
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(to_pixels(to_picture(every)), every)
    batch = as_batch(to_picture(CONTENT))
    assert batch.shape == (1, 3, *CONTENT.shape[:2])
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch[0, 1, 5, 7] == CONTENT[5, 7, 1] / np.float32(255)
