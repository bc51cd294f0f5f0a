import numpy as np
import pytest
import torch

from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.prune import shortened

ANCHORS = tuple(((side, side),) for side in (8.0, 16.0, 32.0, 64.0))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = YOLO(YOLOConfig(1, ANCHORS, backbone="shuffle", width=8, depths=(1, 1, 3))).eval()
    for unit in network.modules():
        if isinstance(unit, torch.nn.BatchNorm2d):
            unit.running_mean.normal_(0, 0.1)
            unit.weight.data.uniform_(0.5, 1.5)
    return network


@pytest.fixture(scope="module")
def batches():
    return list(torch.rand(6, 2, 3, 128, 128, generator=torch.Generator().manual_seed(1)))


def lateral(network, batch):
    found = []
    hook = network.neck.lateral5.register_forward_hook(lambda layer, inputs, output: found.append(output.clone()))
    with torch.no_grad():
        network(batch)
    hook.remove()
    return found[0].numpy()


def test_what_the_neck_gets_is_the_best_linear_guess_of_what_it_got(network, batches):
    short = shortened(network, 1, batches)
    assert short.config.depths == (1, 1, 1)
    assert sum(p.numel() for p in short.parameters()) < sum(p.numel() for p in network.parameters())
    plain = YOLO(short.config).eval()
    plain.load_state_dict({name: network.state_dict()[name] for name in plain.state_dict()})
    wanted = np.concatenate([lateral(network, batch) for batch in batches])

    def error(other):
        return np.square(np.concatenate([lateral(other, batch) for batch in batches]) - wanted).mean()

    assert error(short) < 0.5 * error(plain)  # plain: the blocks are cut off and nothing is fitted
    kept = short.state_dict()
    same = [name for name in kept if "lateral5" not in name]
    assert all(torch.equal(kept[name], network.state_dict()[name]) for name in same)


def test_a_network_that_is_short_enough_stays_as_it_is(network, batches):
    assert shortened(network, 3, batches) is network
