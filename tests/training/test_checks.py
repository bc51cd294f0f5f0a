"""The checks must pass what is right and catch what is wrong."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_app.detection.train.loss import giou
from vision_app.training.checks import GRADIENT_BOUND, Check, gradient_errors, overfit


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def boxes(seed):
    corner = 50 * random(4, 2, seed=seed).abs()
    return torch.cat([corner, corner + 20 + 30 * random(4, 2, seed=seed + 1).abs()], dim=1)


SMOOTH = {
    "giou": (lambda a, b: giou(a, b).sum(), (boxes(0), boxes(10))),
    "cross-entropy": (lambda x: F.binary_cross_entropy_with_logits(x, x.new_full(x.shape, 0.3)), (random(3, 4),)),
    "a vector of values": (lambda x, y: torch.stack([(x * y).sum(), x.exp().sum(), x.norm()]), (random(5), random(5))),
}


@pytest.mark.parametrize(("function", "inputs"), SMOOTH.values(), ids=SMOOTH)
def test_right_gradients_pass_here_and_in_torch_s_own_check(function, inputs):
    assert max(gradient_errors(function, inputs)) < GRADIENT_BOUND / 10
    assert torch.autograd.gradcheck(function, [tensor.clone().requires_grad_() for tensor in inputs])


class WronglySquared(torch.autograd.Function):
    """x^2 with a gradient that is wrong by a factor, in one place or in all."""

    @staticmethod
    def forward(context, x, factor):
        context.save_for_backward(x, factor)
        return x.square()

    @staticmethod
    def backward(context, gradient):
        x, factor = context.saved_tensors
        return 2 * x * gradient * factor, None


@pytest.mark.parametrize("factor", [2.0, 1.001, -1.0, 0.0])
@pytest.mark.parametrize("place", [slice(None), slice(3, 4)])
def test_wrong_gradients_are_caught_here_and_in_torch_s_own_check(factor, place):
    factors = torch.ones(7, dtype=torch.float64)
    factors[place] = factor

    def function(x):
        return WronglySquared.apply(x, factors).sum()

    x = random(7)
    assert gradient_errors(function, [x])[0] > 10 * GRADIENT_BOUND
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(function, [x.clone().requires_grad_()], rtol=1e-6)


def test_the_error_is_the_relative_difference_of_the_gradients():
    def function(x):
        return WronglySquared.apply(x, torch.full_like(x, 3.0)).sum()

    assert gradient_errors(function, [random(6)]) == pytest.approx([0.5])  # |3 g - g| / (3 |g| + |g|)


def test_one_wrong_value_of_many_is_named_by_its_place():
    def function(x):
        return torch.stack([x.sum(), WronglySquared.apply(x, torch.full_like(x, 1.1)).sum(), x.prod()])

    assert [error > GRADIENT_BOUND for error in gradient_errors(function, [random(4)])] == [False, True, False]


def test_a_detached_value_counts_as_a_constant():
    """The weight of a focal loss is one, so plain differences of the loss would be another function's gradient."""

    def focal(x):
        return (x.detach().sigmoid().square() * -F.logsigmoid(-x)).sum()

    x = random(6)
    assert gradient_errors(focal, [x])[0] < GRADIENT_BOUND / 10
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(focal, [x.clone().requires_grad_()])


def test_a_function_of_nothing_is_refused():
    with pytest.raises(ValueError, match="does not depend on its inputs"):
        gradient_errors(lambda x: x.detach().sum(), [random(3)])


def tiny():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.Flatten(), nn.Linear(8 * 16, 4))
    return network, torch.rand(4, 3, 6, 6)


def losses(loss, steps=200, **options):
    network, images = tiny()
    return list(overfit(network, images, loss, steps=steps, **options))


def test_a_batch_is_learned_by_heart():
    found = losses(lambda output: F.cross_entropy(output, torch.arange(4)))
    assert found[0] == pytest.approx(1.4, abs=0.5) and found[-1] < 0.01 * found[0]


def test_the_steps_are_those_of_adam_with_a_falling_rate():
    network, images = tiny()
    optimizer, expected = torch.optim.Adam(network.parameters(), 0.01, betas=(0.9, 0.99)), []
    for rate in (0.01, 0.008, 0.006, 0.004, 0.002):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = network(images).square().mean()  # far from the bound on the norm of the gradient
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert losses(lambda output: output.square().mean(), steps=5, learning_rate=0.01) == pytest.approx(expected)


def test_targets_that_change_all_the_time_cannot_be_learned():
    generator = torch.Generator().manual_seed(0)
    found = losses(lambda output: F.cross_entropy(output, torch.randperm(4, generator=generator)))
    assert sum(found[-20:]) / 20 > 0.5 * found[0]


def test_without_a_learning_rate_nothing_is_learned():
    found = losses(lambda output: F.cross_entropy(output, torch.arange(4)), steps=20, learning_rate=0.0)
    assert max(found) - min(found) < 1e-6


def test_a_check_is_one_line():
    assert str(Check("gradients", True, "largest error 1e-9")) == "gradients: ok, largest error 1e-9"
    assert str(Check("gradients", False, "largest error 1")) == "gradients: FAILED, largest error 1"
