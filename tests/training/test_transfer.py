"""Transfer learning: what is frozen does not change by one bit, and all else does."""

import copy
import math

import pytest
import torch
from torch import nn

from vision_app.core.errors import UsageError
from vision_app.detection.model.backbone import BACKBONES
from vision_app.detection.model.neck import PathAggregation
from vision_app.training.initialize import TRANSFER, keep_statistics, set_trainable

STAGES = [f"backbone.{stage}" for stage in ("stem", "stage2", "stage3", "stage4", "stage5")]
TRAINED = {"head": ["heads"], "last": ["heads", "neck", "backbone.stage5"], "all": ["heads", "neck", *STAGES]}


class Network(nn.Module):
    """A backbone, a neck, and a head with a batch norm for each of the three scales."""

    def __init__(self, backbone: str):
        super().__init__()
        self.backbone = BACKBONES[backbone](4, (1, 1, 1, 1))
        self.neck = PathAggregation(self.backbone.channels)
        self.heads = nn.ModuleList(nn.Sequential(nn.Conv2d(c, 2, 1), nn.BatchNorm2d(2)) for c in self.neck.channels)

    def forward(self, x):
        maps = self.neck(self.backbone(x))
        return sum((head(map).square() - head(map)).mean() for head, map in zip(self.heads, maps, strict=True))


def changed(network: nn.Module) -> set[str]:
    """The names of all tensors that a step of training changes, running statistics included."""
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW((p for p in network.parameters() if p.requires_grad), lr=0.01, weight_decay=0.1)
    network.train()
    network(torch.rand(2, 3, 64, 64)).backward()
    optimizer.step()
    return {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}


def names(network: nn.Module, step: str) -> set[str]:
    return {name for name in network.state_dict() if name.startswith(tuple(TRAINED[step]))}


@pytest.mark.parametrize("backbone", ["csp", "residual", "inception"])
@pytest.mark.parametrize("step", TRANSFER)
def test_exactly_what_the_step_names_is_trained(backbone, step):
    torch.manual_seed(0)
    network = Network(backbone)
    set_trainable(network, step)
    assert changed(network) == names(network, step)


def test_steps_follow_each_other():
    torch.manual_seed(0)
    network = Network("residual")
    for step in ("head", "last", "all", "head"):
        set_trainable(network, step)
        assert changed(network) == names(network, step)


def test_what_is_frozen_stays_so_in_a_copy_and_through_evaluation():
    torch.manual_seed(0)
    network = Network("residual")
    set_trainable(network, "last")
    network.eval()
    network = copy.deepcopy(network).train()
    frozen = [network.backbone.stem, network.backbone.stage2, network.backbone.stage3, network.backbone.stage4]
    assert not any(module.training for part in frozen for module in part.modules())
    assert all(module.training for part in (network.backbone.stage5, network.neck) for module in part.modules())
    assert changed(network) == names(network, "last")


def test_an_unknown_step_is_named_with_the_nearest():
    with pytest.raises(UsageError, match="unknown transfer step 'heads'; did you mean 'head'"):
        set_trainable(Network("residual"), "heads")


def test_norms_that_keep_their_statistics_still_learn():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    network[1].running_mean.fill_(0.5)
    keep_statistics(network)
    network.train()
    images = torch.randn(8, 3, 5, 5)
    wanted = network[0](images) - 0.5
    torch.testing.assert_close(network(images), wanted / math.sqrt(1 + network[1].eps))
    network(images).square().sum().backward()
    assert torch.equal(network[1].running_mean, torch.full((4,), 0.5))
    assert network[1].weight.grad.abs().min() > 0 and network[0].weight.grad.abs().min() > 0
