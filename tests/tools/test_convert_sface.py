"""SFace's network is read from its file exactly, and becomes a smaller one that training starts from."""

import json

import convert_sface
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from drawn_people import faces
from onnx import TensorProto, helper, numpy_helper

from vision_app.cli import main
from vision_app.core.errors import ModelError
from vision_app.faces.embedder import Embedder
from vision_app.faces.model.mobile import MobileFaceConfig
from vision_app.faces.train.teacher import read_targets

TINY = MobileFaceConfig(widths=(8, 12, 16), strides=(2, 2, 4), bottleneck=0, embedding=16)
BLOCK = 4  # outputs of a layer that share a scale


class Writer:
    """Writes a file in SFace's manner: weights in blocks of 8 bits, batch norms apart, the input scaled inside."""

    def __init__(self):
        self.random = np.random.default_rng(0)
        self.nodes, self.constants = [], []

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weights(self, name, shape):
        rows = int(np.prod(shape[1:]))
        codes = self.random.integers(-127, 128, (shape[0], rows)).astype(np.int8)
        blocks = -(-rows // BLOCK)
        scale = (self.random.uniform(0.5, 1.5, (shape[0], blocks)) / 127 / rows**0.5).astype(np.float32)
        zero = self.random.integers(-5, 6, (shape[0], blocks)).astype(np.int8)
        parts = [self.constant(f"{name}_{i}", part) for i, part in enumerate((codes, scale, zero))]
        flat = self.node("DequantizeLinear", parts, f"{name}_flat", axis=1, block_size=BLOCK)
        return self.node("Reshape", [flat, self.constant(f"{name}_shape", np.array(shape))], name)

    def norm(self, x, name, channels, epsilon):
        values = {
            "gamma": self.random.uniform(0.5, 1.5, channels),
            "beta": self.random.normal(0, 0.2, channels),
            "moving_mean": self.random.normal(0, 0.2, channels),
            "moving_var": self.random.uniform(0.5, 1.5, channels),
        }
        names = [self.constant(f"{name}_{key}", one.astype(np.float32)) for key, one in values.items()]
        return self.node("BatchNormalization", [x, *names], f"{name}_out", epsilon=epsilon)

    def unit(self, x, name, inputs, outputs, kernel, stride, groups):
        weight = self.weights(f"{name}_w", (outputs, inputs // groups, kernel, kernel))
        places = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        x = self.node("Conv", [x, weight], f"{name}_conv", group=groups, **places)
        x = self.norm(x, f"{name}_bn", outputs, 1e-3)
        slopes = self.random.uniform(0, 0.5, (outputs, 1, 1)).astype(np.float32)
        return self.node("PRelu", [x, self.constant(f"{name}_slope", slopes)], f"{name}_out")

    def write(self, path):
        x = self.node("Sub", ["data", self.constant("middle", np.array([127.5], np.float32))], "centered")
        x = self.node("Mul", [x, self.constant("spread", np.array([1 / 128], np.float32))], "scaled")
        x = self.unit(x, "stem", 3, TINY.widths[0], 3, TINY.strides[0], 1)
        for i, (inputs, outputs) in enumerate(zip(TINY.widths, TINY.widths[1:], strict=False)):
            x = self.unit(x, f"depth{i}", inputs, inputs, 3, TINY.strides[i + 1], inputs)
            x = self.unit(x, f"point{i}", inputs, outputs, 1, 1, 1)
        x = self.node("Flatten", [self.norm(x, "bn1", TINY.widths[-1], 2e-5)], "flat")
        weight = self.weights("linear_w", (TINY.embedding, TINY.widths[-1] * 49))
        bias = self.constant("linear_b", self.random.normal(0, 0.1, TINY.embedding).astype(np.float32))
        x = self.node("Gemm", [x, weight, bias], "linear", transB=1)
        self.norm(x, "fc1", TINY.embedding, 2e-5)
        ends = [helper.make_tensor_value_info(*one) for one in (
            ("data", TensorProto.FLOAT, [None, 3, 112, 112]), ("fc1_out", TensorProto.FLOAT, [None, TINY.embedding]),
        )]  # fmt: skip
        graph = helper.make_graph(self.nodes, "sface", ends[:1], ends[1:], self.constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


@pytest.fixture(scope="module")
def sface(tmp_path_factory):
    path = tmp_path_factory.mktemp("sface") / "sface.onnx"
    Writer().write(path)
    return path


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(convert_sface, "WHOLE", TINY)


def test_the_network_that_is_read_answers_as_the_file_does(sface):
    chips = faces(2, 2).chips
    pixels = np.ascontiguousarray(chips.transpose(0, 3, 1, 2), np.float32)
    (expected,) = onnxruntime.InferenceSession(sface).run(None, {"data": pixels})
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    with torch.no_grad():
        answers = convert_sface.load_sface(sface)(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_a_reduction_that_keeps_all_channels_changes_no_embedding_and_a_smaller_one_changes_them_more(sface):
    whole, chips = convert_sface.load_sface(sface), faces(4, 4).chips
    pixels = torch.from_numpy(np.ascontiguousarray(chips)).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        wanted = whole(pixels)
        error = {
            width: (convert_sface.reduced(whole, chips, width)(pixels) - wanted).norm(dim=1).mean().item()
            for width in (16, 12, 4)
        }
    assert 10 * error[16] < error[12] < error[4] < 0.01, error


@pytest.mark.training
def test_training_starts_from_the_smaller_network_and_its_targets(sface, tmp_path):
    crops, start = faces(4, 4), tmp_path / "start"
    crops.save(tmp_path / "faces.npz")
    data = ["--data", str(tmp_path / "faces.npz")]
    convert_sface.main([str(sface), *data, "--output", str(start), "--width", "12"])
    targets = read_targets(start / "teacher.npz", crops)
    agreement = (Embedder.load(start / "initial").embed(crops.chips) * targets).sum(axis=1)
    assert agreement.mean() > 0.9, "one view of the smaller network is near two views of the whole one"
    words = ["--initial", start / "initial", "--teacher", start / "teacher.npz", "--output", tmp_path / "run"]
    words += ["--epochs", 1, "--batch-size", 16, "--people", 4, "--photos", 2, "--freeze-blocks", 1]
    assert main(["train", "faces", *data, *map(str, words), "--precision", "fp32"]) == 0
    info = json.loads((tmp_path / "run" / "best" / "model.json").read_text())
    assert info["input"]["views"] == ["face"], "as the model that it started from"
    assert info["architecture"] | {"type": ""} == {
        "widths": [8, 12, 16], "strides": [2, 2, 4], "bottleneck": 12, "embedding": 16, "side": 112, "type": "",
    }  # fmt: skip


def test_another_onnx_file_is_refused_by_name(tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(ModelError, match=r"other\.onnx: not SFace's network"):
        convert_sface.load_sface(path)
