"""The classifier's network against a plain loop, and the model folder that is made of it."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage import data
from tiny_classifiers import SIZE, tiny_network, write_tiny
from tiny_detectors import NAMES

from vision_app.classification.classifier import Classifier
from vision_app.classification.model.network import BIAS, SCALE, ClassifierNetwork, from_detector
from vision_app.classification.train.trainer import write_model
from vision_app.detection.model.yolo import YOLO
from vision_app.released.find import find, write_file

pytestmark = pytest.mark.slow


def answers_of_a_loop(network: ClassifierNetwork, images: torch.Tensor) -> list[list[float]]:
    """What the docstring of `ClassifierNetwork` says, number by number."""
    rows = YOLO.forward(network, images).double()
    context = network.backbone(images)[-1].double().mean(dim=(2, 3))
    answers = []
    for image, seen in zip(rows, context, strict=True):
        scores = [[float(row[0].sigmoid() * row[5 + i].sigmoid()) for i in range(len(NAMES))] for row in image]
        logits = []
        for i in range(len(NAMES)):
            pooled = np.log(sum(row[i] ** 4 for row in scores)) / 4
            linear = float(network.context.weight[i].double() @ seen + network.context.bias[i])
            logits.append(float(network.scale[i]) * pooled + linear)
        first = int(np.argmax(logits))
        best = int(np.argmax([row[first] for row in scores]))
        answers.append([best, *image[best, 1:5].tolist(), *logits])
    return answers


@torch.no_grad()
def test_answers_are_those_of_a_plain_loop():
    network = tiny_network()
    with torch.no_grad():
        network.scale.copy_(torch.tensor([1.0, 4.0, 7.0]))
    images = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    found = network(images)
    assert found.shape == (3, 5 + len(NAMES))
    np.testing.assert_allclose(found, answers_of_a_loop(network, images), atol=2e-4)


@torch.no_grad()
def test_at_first_classes_rank_images_as_the_detector_does():
    torch.manual_seed(1)
    detector = YOLO(tiny_network().config).eval()
    network = from_detector(detector).eval()
    images = torch.rand(6, 3, 64, 64)
    rows = detector(images)
    scores = rows[..., :1].sigmoid() * rows[..., 5:].sigmoid()
    pooled = scores.double().pow(4).sum(dim=1).log() / 4
    torch.testing.assert_close(network(images)[:, 5:].double(), SCALE * pooled + BIAS, atol=1e-4, rtol=0)
    assert (pooled >= scores.amax(dim=1).log()).all()


def test_scores_too_small_for_single_precision_keep_logits_and_gradients_finite():
    network = tiny_network()
    for head in network.heads:
        torch.nn.init.constant_(head.objectness.bias, -100)
    logits = network(torch.rand(1, 3, 64, 64))[:, 5:]
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_both_files_hold_the_same_weights_in_half_precision(tmp_path):
    network = tiny_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    write_model(network, tmp_path / "tiny", name="tiny", classes=NAMES, size=SIZE)
    stored = load_file(tmp_path / "tiny" / "weights.safetensors")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])  # writing has changed nothing
        assert stored[name].dtype == (torch.float16 if tensor.ndim > 1 else tensor.dtype)
    onnx, torched = (
        Classifier.load(tmp_path / "tiny", runtime=name, device="cpu", threads=1) for name in ("onnx", "torch")
    )
    inputs = onnx.preprocess([onnx.read(image()) for image in (data.chelsea, data.rocket, data.coffee)])
    for one, other in zip(onnx.forward(inputs), torched.forward(inputs), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-4)


def test_an_exported_file_answers_as_the_folder_does(tmp_path):
    folder = write_tiny(tmp_path / "tiny")
    write_file(find(folder), tmp_path / "copy.onnx")
    one, other = (Classifier.load(path)(data.chelsea()).to_dict() for path in (folder, tmp_path / "copy.onnx"))
    assert one | {"model": "copy"} == other


def test_model_json_says_what_it_is(without_onnx, tmp_path):
    info = json.loads((write_tiny(tmp_path / "tiny", license="A license") / "model.json").read_text())
    assert (info["task"], info["architecture"]["type"], info["license"]) == (
        "classification",
        "classifier",
        "A license",
    )
    assert info["parameters"] == sum(p.numel() for p in tiny_network().parameters())
    with pytest.raises(ValueError, match="the network has 3 classes, 1 names were given"):
        write_model(tiny_network(), tmp_path / "other", name="other", classes=("a",))
