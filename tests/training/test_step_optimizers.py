"""Each optimizer by its published update, in numpy, over a few steps."""

import numpy as np
import pytest
import torch
from torch import nn

from vision_app.core.tensors import set_learning_rate
from vision_app.training.config import OPTIMIZERS
from vision_app.training.step import build_optimizer, optimizer_tensors, restore_optimizer

RATE, BETA, BETA_2, DECAY, EPSILON = 0.1, 0.8, 0.999, 0.3, 1e-8
GRADIENTS = np.array([[0.5, -2.0, 1e-3], [0.4, 1.0, -0.2], [-0.3, 1.0, 0.0], [0.7, -0.1, 0.3]])
START = np.array([1.0, -0.5, 0.25])


def sgd(w, g, s, t):
    return w - RATE * g


def momentum(w, g, s, t):
    s["v"] = BETA * s.get("v", 0) + g
    return w - RATE * s["v"]


def nesterov(w, g, s, t):
    s["v"] = BETA * s.get("v", 0) + g
    return w - RATE * (g + BETA * s["v"])


def adagrad(w, g, s, t):
    s["sum"] = s.get("sum", 0) + g**2
    return w - RATE * g / (np.sqrt(s["sum"]) + 1e-10)


def rmsprop(w, g, s, t):
    s["mean"] = 0.99 * s.get("mean", 0) + 0.01 * g**2
    return w - RATE * g / (np.sqrt(s["mean"]) + EPSILON)


def adadelta(w, g, s, t):
    s["g"] = 0.9 * s.get("g", 0) + 0.1 * g**2
    step = np.sqrt(s.get("d", 0) + 1e-6) / np.sqrt(s["g"] + 1e-6) * g
    s["d"] = 0.9 * s.get("d", 0) + 0.1 * step**2
    return w - RATE * step


def adam(w, g, s, t):
    s["m"], s["v"] = BETA * s.get("m", 0) + (1 - BETA) * g, BETA_2 * s.get("v", 0) + (1 - BETA_2) * g**2
    return w - RATE * s["m"] / (1 - BETA**t) / (np.sqrt(s["v"] / (1 - BETA_2**t)) + EPSILON)


def adamax(w, g, s, t):
    s["m"], s["u"] = BETA * s.get("m", 0) + (1 - BETA) * g, np.maximum(BETA_2 * s.get("u", 0), abs(g) + EPSILON)
    return w - RATE / (1 - BETA**t) * s["m"] / s["u"]


def nadam(w, g, s, t):
    """Dozat, 2016, with its slow start of the momentum."""
    now, following = (BETA * (1 - 0.5 * 0.96 ** (0.004 * k)) for k in (t, t + 1))
    s["product"] = s.get("product", 1) * now
    s["m"], s["v"] = BETA * s.get("m", 0) + (1 - BETA) * g, BETA_2 * s.get("v", 0) + (1 - BETA_2) * g**2
    ahead = following * s["m"] / (1 - s["product"] * following) + (1 - now) * g / (1 - s["product"])
    return w - RATE * ahead / (np.sqrt(s["v"] / (1 - BETA_2**t)) + EPSILON)


UPDATES = {
    "sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adagrad": adagrad, "rmsprop": rmsprop,
    "adadelta": adadelta, "adam": adam, "adamax": adamax, "nadam": nadam, "adamw": adam,
}  # fmt: skip


class Weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(START[None]))
        self.bias = nn.Parameter(torch.tensor(START))
        self.frozen = nn.Parameter(torch.tensor(START), requires_grad=False)


def test_every_optimizer_has_its_formula():
    assert UPDATES.keys() == set(OPTIMIZERS)


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_the_published_ones_and_only_weights_decay(name, decay):
    network = Weights()
    optimizer = build_optimizer(name, network, 77.0, momentum=BETA, weight_decay=decay)
    set_learning_rate(optimizer, RATE)
    wanted, states = {"weight": START, "bias": START}, {"weight": {}, "bias": {}}
    for step, gradient in enumerate(GRADIENTS, start=1):
        for key, value in wanted.items():
            pull = decay if key == "weight" else 0.0
            if name == "adamw":
                value, added = value * (1 - RATE * pull), 0.0
            else:
                added = pull * value
            wanted[key] = UPDATES[name](value, gradient + added, states[key], step)
        network.weight.grad, network.bias.grad = torch.tensor(gradient[None]), torch.tensor(gradient)
        optimizer.step()
        np.testing.assert_allclose(network.weight.detach()[0], wanted["weight"], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(network.bias.detach(), wanted["bias"], rtol=1e-6, atol=1e-9)
    assert torch.equal(network.frozen, torch.tensor(START))


def steps(network, optimizer, count, seed):
    torch.manual_seed(seed)
    for _ in range(count):
        optimizer.zero_grad()
        network(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()


def test_an_optimizer_resumes_exactly_where_it_stopped():
    def fresh():
        torch.manual_seed(0)
        network = nn.Linear(3, 2)
        return network, torch.optim.AdamW([{"params": [network.weight]}, {"params": [network.bias]}], lr=0.1)

    one, through = fresh()
    steps(one, through, 3, seed=1)
    other, resumed = fresh()
    other.load_state_dict(one.state_dict())
    memory = {name: tensor.clone() for name, tensor in optimizer_tensors(through).items()}
    restore_optimizer(resumed, memory)
    for group in resumed.param_groups:
        assert group["lr"] == 0.1
    steps(one, through, 3, seed=2)
    steps(other, resumed, 3, seed=2)
    assert torch.equal(one.weight, other.weight) and torch.equal(one.bias, other.bias)


def test_restored_optimizer_state_has_the_memory_layout_of_its_weights():
    """Torch steps many tensors in one go on a GPU only where they do."""
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.rand(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    memory = {name: tensor.contiguous() for name, tensor in optimizer_tensors(optimizer).items()}
    restore_optimizer(optimizer, memory)
    entry = optimizer.state[network.weight]
    assert entry["exp_avg"].stride() == entry["exp_avg_sq"].stride() == network.weight.stride() == (27, 1, 9, 3)
