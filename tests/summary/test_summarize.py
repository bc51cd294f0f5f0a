"""The summary's formulas, held to real forward passes, to torch's own count of operations and to real gradients."""

from collections import Counter
from math import inf, prod

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vision_app.core.errors import ModelError
from vision_app.detection.model.rcnn import PROPOSALS, RCNN, RCNNConfig
from vision_app.detection.model.yolo import LAYOUTS, YOLO, YOLOConfig, layout
from vision_app.summary.summarize import run_on_regions, summarize

pytestmark = pytest.mark.slow


class Small(nn.Module):
    """One of everything that the detectors do without: bias, groups, attention, linear layers, a layer used twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.twice = nn.Conv2d(8, 8, (3, 5), padding=(1, 2), groups=2)
        self.pool = nn.AvgPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.classes = nn.Linear(8, 5)

    def forward(self, x):
        x = self.twice(self.twice(self.first(x)).relu())
        x = x + self.up(self.pool(x))
        x = x * self.squeeze(F.adaptive_avg_pool2d(x, 1)).sigmoid()
        x = x * self.scale
        return self.classes(x.mean(dim=(2, 3)))


def detector(backbone: str = "csp") -> YOLO:
    torch.manual_seed(0)
    anchors = (((10.0, 14.0), (24.0, 18.0)),) * len(layout(backbone).neck.strides)
    depths = (1, 2, 1, 1)[: len(layout(backbone).depths)]
    return YOLO(YOLOConfig(3, anchors, backbone, width=4, depths=depths))


@pytest.fixture(params=[*LAYOUTS, "small"])
def network(request) -> nn.Module:
    return (Small() if request.param == "small" else detector(request.param)).eval()


def average(x, kernel, stride, padding, *_, **__):
    """What stands in for max pooling where gradients must reach the whole window."""
    return F.avg_pool2d(x, kernel, stride, padding)


def test_layers_have_the_sizes_of_a_real_forward_pass(network):
    shapes = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.MaxPool2d | nn.Linear):
            module.register_forward_hook(
                lambda _, inputs, output, name=name: shapes.__setitem__(name, output.shape[1:])
            )
    layers = {layer.name: layer for layer in summarize(network, 64, 96)}
    with torch.no_grad():
        network(torch.rand(1, 3, 64, 96))
    assert len(shapes) > 3
    assert {name: layers[name].output for name in shapes} == {name: tuple(shape) for name, shape in shapes.items()}


def test_parameters_are_those_of_the_formulas_and_their_sum_is_all(network):
    layers = summarize(network, 64, 96)
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in network.parameters())
    found = Counter()
    for layer in layers:
        found[layer.name] += layer.parameters
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            per_filter = prod(module.kernel_size) * module.in_channels // module.groups
            assert found[name] == (per_filter + (module.bias is not None)) * module.out_channels
        elif isinstance(module, nn.BatchNorm2d):
            assert found[name] == 2 * module.num_features
        elif isinstance(module, nn.Linear):
            assert found[name] == (module.in_features + 1) * module.out_features


def test_multiply_adds_are_half_of_the_operations_that_torch_counts(network):
    layers = summarize(network, 64, 96)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 3, 64, 96))
    assert sum(layer.multiply_adds for layer in layers) == counter.get_total_flops() / 2


@pytest.mark.parametrize("name", ["csp", "residual", "inception"])
def test_receptive_fields_are_where_gradients_are_not_zero(name, monkeypatch):
    """In a tall, narrow image, which has all of a field's height. Behind an upsampling cells differ: on average."""
    network = detector(name).double().eval()
    expected = {layer.name: layer.receptive_field[0] for layer in summarize(network, 1280, 32)}
    monkeypatch.setattr(F, "max_pool2d", average)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.fill_(1 / module.weight[0].numel())  # positive: nothing cancels
    maps = {}
    for layer in [layer for layer in expected if layer.endswith("conv")][::8]:
        network.get_submodule(layer).register_forward_hook(lambda *call, layer=layer: maps.__setitem__(layer, call[2]))
    x = torch.ones(1, 3, 1280, 32, dtype=torch.float64, requires_grad=True)
    network(x)
    assert len(maps) > 8
    for layer, map in maps.items():
        heights = []
        for row in range(map.shape[2] // 2, map.shape[2] // 2 + 4):
            (gradient,) = torch.autograd.grad(map[0, :, row, 0].sum(), x, retain_graph=True)
            heights.append(gradient[0].sum(dim=(0, 2)).count_nonzero().item())
        assert sum(heights) / 4 == expected[layer], layer


@pytest.mark.parametrize("kind", PROPOSALS)
def test_a_network_on_regions_has_all_its_parameters_and_counts_each_region(kind):
    network = RCNN(RCNNConfig(kind, 3, width=4, depths=(1, 1, 1), pyramid=8, hidden=16, proposals=5)).eval()
    layers = summarize(network, 96, 96, run_on_regions)
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in network.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        maps = network.maps(torch.zeros(1, 3, 96, 96))
        if kind == "faster-rcnn":
            network.rpn.head(list(maps.values()))
    regions = 1 if kind == "rcnn" else 5
    head = regions * (8 * 7 * 7 * 16 + 16 * 16 + 16 * (1 + 3) + 16 * 4)
    assert sum(layer.multiply_adds for layer in layers) == counter.get_total_flops() / 2 + head
    (hidden,) = [layer for layer in layers if layer.name == "roi_heads.box_head.fc6"]
    assert hidden.output[-1] == 16 and hidden.receptive_field == (inf, inf)


def test_attention_over_the_image_has_all_of_it_as_receptive_field():
    layers = summarize(Small(), 64, 64)
    kinds = [(layer.kind, layer.output, layer.receptive_field) for layer in layers]
    assert kinds == [
        ("conv 3x3/2", (8, 32, 32), (3, 3)),
        ("conv of 2 groups 3x5", (8, 32, 32), (7, 11)),
        ("conv of 2 groups 3x5", (8, 32, 32), (11, 19)),
        ("average pool 2x2/2", (8, 16, 16), (13, 21)),
        ("upsample", (8, 32, 32), (17, 25)),
        ("add", (8, 32, 32), (17, 25)),
        ("mean", (8, 1, 1), (inf, inf)),
        ("conv 1x1", (8, 1, 1), (inf, inf)),
        ("multiply", (8, 32, 32), (inf, inf)),
        ("mul", (8, 32, 32), (inf, inf)),
        ("mean", (8,), (inf, inf)),
        ("linear", (5,), (inf, inf)),
    ]
    assert [layer.name for layer in layers[:3]] == ["first", "twice", "twice"]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3)), "1 gets a map of 16x16, not 32x32 cells"),
        (nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2)), "no rule for transposed convolutions"),
    ],
)
def test_what_there_is_no_rule_for_is_refused(network, message):
    with pytest.raises(ModelError, match=message):
        summarize(network, 32, 32)


def test_the_network_stays_as_it_was():
    network = detector().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    summarize(network, 64, 64)
    assert all(module.training and not module._forward_hooks for module in network.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
