"""Model folders of every kind of network: the ONNX file computes what the module does and carries model.json."""

import json
from collections import Counter

import numpy as np
import onnx
import pytest
import torch

from vision_app.detection.model.yolo import LAYOUTS, YOLO, ByteInput, YOLOConfig
from vision_app.detection.train.export import write_model
from vision_app.released.execution import Execution
from vision_app.released.find import find
from vision_app.released.runtime import open_network
from vision_app.released.write import describe

pytestmark = pytest.mark.slow

WIDTHS = {"shuffle": 16}
SMALL = {"csp": (1, 1, 1, 1), "residual": (1, 1, 1, 1), "inception": (1, 1, 1, 1), "shuffle": (2, 2, 2)}


def small_network(backbone: str) -> YOLO:
    """A network that has seen something, in training mode."""
    torch.manual_seed(0)
    scales = len(LAYOUTS[backbone].neck.strides)
    anchors = tuple(((12.0 * 2**i, 16.0 * 2**i), (20.0 * 2**i, 9.0 * 2**i)) for i in range(scales))
    network = YOLO(YOLOConfig(2, anchors, backbone, width=WIDTHS.get(backbone, 8), depths=SMALL[backbone]))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.8, 1.3)
    return network


@pytest.fixture(scope="module", params=SMALL)
def written(request, tmp_path_factory):
    network = small_network(request.param)
    folder = tmp_path_factory.mktemp("models") / request.param
    defaults = {"confidence": 0.3, "iou": 0.5, "max_detections": 100}
    write_model(network, folder, name="tiny", classes=("a", "b"), defaults=defaults, size=96, stretch=1.5)
    return network, folder


def test_every_backbone_is_tested():
    assert SMALL.keys() == LAYOUTS.keys()


def test_the_onnx_file_computes_what_the_network_does(written):
    network, folder = written
    assert network.training  # writing it has changed nothing
    network.eval()
    exported = open_network(find(folder), None, Execution("cpu", threads=1))
    for shape in [(1, 64, 96), (2, 96, 32), (1, 32, 160)]:  # also where the coarsest stride does not divide the sides
        pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = ByteInput(network)(torch.from_numpy(pixels)).numpy()
        np.testing.assert_allclose(exported(pixels), expected, atol=1e-4)
        assert expected.std() > 0.1  # not two constants
    network.train()


def test_batch_norms_are_folded_into_convolutions(written):
    network, folder = written
    operators = Counter(node.op_type for node in onnx.load(folder / "model.onnx").graph.node)
    assert operators["BatchNormalization"] == 0
    assert operators["Conv"] == sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())


def test_the_onnx_file_says_what_the_folder_does(written):
    network, folder = written
    one, other = find(folder), find(folder / "model.onnx")
    one.verify()
    other.verify()
    assert one.info["input"] | {"size": 96, "stretch": 1.5} == one.info["input"]
    assert one.info["architecture"]["strides"] == list(network.config.strides)
    assert {**one.info, "files": None} == {**other.info, "files": None}


def test_what_is_added_to_the_folder_is_added_to_the_file(written):
    _, folder = written
    network = find(folder / "model.onnx").info["files"]
    describe(folder, measured={"set": {"AP": 0.5}}, defaults={"confidence": 0.4, "iou": 0.5, "max_detections": 9})
    one, other = find(folder), find(folder / "model.onnx")
    one.verify()
    other.verify()
    assert one.defaults == other.defaults == {"confidence": 0.4, "iou": 0.5, "max_detections": 9}
    assert one.info["measured"] == other.info["measured"] == {"set": {"AP": 0.5}}
    assert other.info["files"] == network
    assert list(json.loads((folder / "model.json").read_text()))[-1] == "files"
