"""Regularized training comes to the minimum that pencil and paper give."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vision_app.training.optimizers import build_optimizer
from vision_app.training.step import adversarial, shrink

AIM = np.array([[1.5, -0.9, 0.3, -0.05]])


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.0, 0.5), (0.4, 0.0), (0.4, 0.5)])
def test_l1_l2_and_elastic_net_come_to_their_minimum(l1, l2):
    """|w - a|^2 / 2 + l1 |w| + l2 |w|^2 / 2 is smallest at sign(a) max(|a| - l1, 0) / (1 + l2)."""
    layer = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    optimizer = build_optimizer("sgd", layer, 0.1, momentum=0.0, weight_decay=l2)
    for _ in range(300):
        layer.weight.grad = layer.weight.detach() - torch.tensor(AIM)
        optimizer.step()
        shrink([layer.weight], 0.1 * l1)
    minimum = np.sign(AIM) * np.maximum(abs(AIM) - l1, 0) / (1 + l2)
    np.testing.assert_allclose(layer.weight.detach(), minimum, atol=1e-9)
    assert ((layer.weight == 0).numpy() == (minimum == 0)).all()  # exactly


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=2), st.floats(-2, 2), st.floats(0.001, 0.1))
def test_no_other_change_of_that_size_raises_a_linear_loss_more(weights, offset, epsilon):
    """For a linear model fast gradient sign is exact: the loss rises by epsilon sum |w| (Goodfellow et al., 2015)."""
    images = torch.full((1, 2, 1, 1), 0.5, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(weights, dtype=torch.float64)[None, :, None, None]
    loss = (weight * images).sum() + offset
    (gradient,) = torch.autograd.grad(loss, images)
    changed = adversarial(images.detach(), gradient, epsilon)
    rise = (weight * changed).sum() + offset - loss
    assert math.isclose(rise.item(), epsilon * sum(map(abs, weights)), abs_tol=1e-9)


def test_adversarial_images_stay_images():
    images = torch.tensor([0.0, 0.99, 0.5])[None, :, None, None]
    changed = adversarial(images, torch.tensor([-1.0, 7.0, 0.0])[None, :, None, None], 0.1)
    assert changed.flatten().tolist() == [0.0, 1.0, 0.5] and not changed.requires_grad
