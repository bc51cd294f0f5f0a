"""The statistics of random weights; what is frozen does not change by one bit, and all else does."""

import copy
import math

import pytest
import torch
from torch import nn

from vision_app.core.errors import UsageError
from vision_app.detection.model.backbone import BACKBONES
from vision_app.detection.model.neck import PathAggregation
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.training.initialize import TRANSFER, initialize, keep_statistics, set_trainable


def layers() -> list[nn.Module]:
    return [nn.Conv2d(32, 64, 3), nn.Conv2d(64, 64, 5, groups=64), nn.Conv2d(64, 128, 1, groups=4), nn.Linear(200, 50)]


@pytest.mark.parametrize(("index", "n_in", "n_out"), [(0, 288, 576), (1, 25, 25), (2, 16, 32), (3, 200, 50)])
def test_weights_have_the_variance_of_the_papers(index, n_in, n_out):
    torch.manual_seed(0)
    for scheme, variance in (("he", 2 / n_in), ("xavier", 2 / (n_in + n_out))):
        layer = layers()[index]
        initialize(layer, scheme)
        weight, count = layer.weight.double(), layer.weight.numel()
        assert weight.var().item() == pytest.approx(variance, rel=6 * math.sqrt(2 / count))
        assert abs(weight.mean().item()) < 5 * math.sqrt(variance / count)
        bound = math.sqrt(3 * variance)
        outside = (weight.abs() > bound).double().mean().item()  # 8 % of a normal distribution
        assert outside == (0 if scheme == "xavier" else pytest.approx(0.083, abs=0.03))


def test_he_keeps_the_size_of_a_signal_through_many_rectified_layers():
    torch.manual_seed(0)
    network = nn.Sequential(*(layer for _ in range(20) for layer in (nn.Linear(256, 256), nn.ReLU())))
    x = torch.randn(64, 256)
    sizes = {}
    for scheme in ("he", "xavier"):
        initialize(network, scheme)
        with torch.no_grad():
            sizes[scheme] = (network(x).square().mean() / x.square().mean()).item()
    assert 0.3 < sizes["he"] < 3
    assert sizes["xavier"] < 1e-4  # it halves the variance in every layer


@pytest.mark.parametrize("scheme", ["he", "xavier"])
def test_a_detector_keeps_its_belief_that_objects_are_rare_and_forgets_all_else(scheme):
    anchors = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
    network = YOLO(YOLOConfig(classes=3, anchors=anchors, width=4, depths=(1, 1, 1, 1)))
    network.train()(torch.rand(2, 3, 64, 64))
    nn.init.normal_(network.backbone.stem.norm.weight)
    priors = {
        name: bias.clone() for name, bias in network.named_parameters() if name.endswith(("logits.bias", "ness.bias"))
    }
    torch.manual_seed(0)
    initialize(network, scheme)
    first = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert len(priors) == 6
    assert all(torch.equal(first[name], bias) for name, bias in priors.items())
    assert first["heads.0.offsets.bias"].eq(0).all()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        values = (norm.weight, 1), (norm.bias, 0), (norm.running_mean, 0), (norm.running_var, 1)
        assert all(tensor.eq(value).all() for tensor, value in values)
    initialize(network, scheme)
    assert not torch.equal(network.backbone.stem.conv.weight, first["backbone.stem.conv.weight"])
    torch.manual_seed(0)
    initialize(network, scheme)
    assert all(torch.equal(tensor, first[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("layer", [nn.Linear(7, 1), nn.Conv2d(2, 1, 1), nn.Conv2d(8, 4, 3, groups=4), nn.Linear(9, 4)])
def test_a_bias_is_zeroed_but_for_one_that_was_set(layer):
    initialize(layer, "he")
    assert layer.bias.eq(0).all()
    nn.init.constant_(layer.bias, -4.6)
    initialize(layer, "he")
    assert layer.bias.eq(-4.6).all()


def test_an_unknown_scheme_is_named_with_the_nearest():
    with pytest.raises(UsageError, match="unknown initialization 'xavir'; did you mean 'xavier'"):
        initialize(nn.Linear(2, 2), "xavir")


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
def test_only_the_chosen_part_is_trained(backbone, step):
    torch.manual_seed(0)
    network = Network(backbone)
    set_trainable(network, step)
    assert changed(network) == names(network, step)


def test_choices_can_follow_each_other():
    torch.manual_seed(0)
    network = Network("residual")
    for step in ("head", "last", "all", "head"):
        set_trainable(network, step)
        assert changed(network) == names(network, step)


def test_frozen_parts_stay_frozen_in_a_copy_and_through_evaluation():
    torch.manual_seed(0)
    network = Network("residual")
    set_trainable(network, "last")
    network.eval()
    network = copy.deepcopy(network).train()
    frozen = [network.backbone.stem, network.backbone.stage2, network.backbone.stage3, network.backbone.stage4]
    assert not any(module.training for part in frozen for module in part.modules())
    assert all(module.training for part in (network.backbone.stage5, network.neck) for module in part.modules())
    assert changed(network) == names(network, "last")


def test_an_unknown_choice_is_named_with_the_nearest():
    with pytest.raises(UsageError, match="unknown transfer 'heads'; did you mean 'head'"):
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
