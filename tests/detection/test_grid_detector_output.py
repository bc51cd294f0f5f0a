"""A network whose output is not what model.json tells of it is refused, most often when it is loaded."""

import hashlib
import json

import numpy as np
import pytest
from onnx import TensorProto, helper
from skimage import data
from tiny_classifiers import write_tiny as write_tiny_classifier
from tiny_detectors import ANCHORS, NAMES, write_tiny

from vision_app import Classifier, Detector
from vision_app.core.errors import ModelError

pytestmark = pytest.mark.slow

KINDS = {"detector": (write_tiny, Detector), "classifier": (write_tiny_classifier, Classifier)}


@pytest.fixture(params=KINDS)
def model(request, tmp_path):
    """A model folder, and the class that loads it."""
    write, kind = KINDS[request.param]
    return write(tmp_path / "tiny"), kind


def change(folder, classes=NAMES, network: bytes | None = None, **architecture):
    info = json.loads((folder / "model.json").read_text())
    info["classes"] = list(classes)
    info["architecture"] |= {"classes": len(classes)} | architecture
    if network is not None:
        (folder / "model.onnx").unlink()
        (folder / "model.onnx").write_bytes(network)
        info["files"]["model.onnx"] = {"sha256": hashlib.sha256(network).hexdigest(), "bytes": len(network)}
    (folder / "model.json").write_text(json.dumps(info))


@pytest.mark.parametrize("classes", [NAMES[:2], (*NAMES, "dog"), ("cat",)])
def test_a_list_of_classes_that_does_not_fit_the_output_is_refused_at_loading(model, classes):
    folder, kind = model
    change(folder, classes)
    reason = rf"tiny: predicts 3 class and landmark values per box, but model\.json names {len(classes)} classes"
    with pytest.raises(ModelError, match=reason):
        kind.load(folder, runtime="onnx")
    with pytest.raises(ModelError, match=r"weights\.safetensors: not the weights of this network"):
        kind.load(folder, runtime="torch")


def test_other_names_of_as_many_classes_are_taken(model):
    folder, kind = model
    change(folder, ("x", "y", "z"))
    assert kind.load(folder, runtime="onnx").classes == kind.load(folder, runtime="torch").classes == ("x", "y", "z")


@pytest.mark.parametrize(
    "architecture",
    [
        {"strides": [16, 32, 64]},
        {"strides": [4, 8, 16]},
        {"anchors": [scale[:1] for scale in ANCHORS]},
        {"anchors": [scale * 2 for scale in ANCHORS]},
    ],
)
def test_strides_and_anchors_of_another_grid_are_refused_at_loading(tmp_path, architecture):
    change(write_tiny(tmp_path / "tiny"), **architecture)
    for runtime in ("onnx", "torch") if "strides" in architecture else ("onnx",):
        with pytest.raises(ModelError, match=r"tiny/model\.json: has no usable 'architecture\.anchors'"):
            Detector.load(tmp_path / "tiny", runtime=runtime)


def test_a_classifier_does_not_point_to_a_row_outside_of_its_grid(tmp_path):
    """Its output is one row, which does not tell how many rows the grid has."""
    photo = data.rocket()
    folder = write_tiny_classifier(tmp_path / "tiny")
    assert Classifier.load(folder)(photo).box is not None
    change(folder, strides=[512, 512, 1024])
    with pytest.raises(ModelError, match=r"has no usable 'architecture\.anchors'"):
        Classifier.load(folder)(photo)


def network(operator: str, shape: list[int], kind: int = TensorProto.UINT8, **attributes) -> bytes:
    """An ONNX file whose input has another type or shape than pixels, or which does something else with them."""
    x = helper.make_tensor_value_info("x", kind, shape)
    cast = helper.make_node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT)
    nodes = [cast, helper.make_node(operator, ["floats"], ["y"], **attributes)]
    graph = helper.make_graph(nodes, "any", [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("content", "reason"),
    {
        "floats": (network("Identity", [1, 64, 64, 3], TensorProto.FLOAT), "model '.*tiny' cannot be run .*float"),
        "channels first": (network("Identity", [1, 3, 64, 64]), "model '.*tiny' cannot be run .*dimensions"),
        "an image": (network("Identity", [1, 64, 64, 3]), "predicts -2 class and landmark values per box"),
        "one number": (
            network("ReduceSum", [1, 64, 64, 3], keepdims=0),
            "predicts -5 class and landmark values",
        ),
    }.values(),
)
def test_a_network_with_other_inputs_or_outputs_is_refused_at_loading(model, content, reason):
    folder, kind = model
    change(folder, network=content)
    with pytest.raises(ModelError, match=reason):
        kind.load(folder)
    assert kind.load(folder, runtime="torch")(np.zeros((64, 64, 3), np.uint8)) is not None
