"""torchvision's detectors with a local file of random weights in place of the published one; no network is used."""

import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torchvision.models import get_model, get_model_weights

from vision_app import Detections, DetectOptions, Detector, read_image
from vision_app.cli import main
from vision_app.core.errors import ModelError, UsageError
from vision_app.detection.base import ResolvedOptions
from vision_app.detection.torchvision_detector import published
from vision_app.released.find import find

pytestmark = pytest.mark.slow

SMALL = "ssdlite320_mobilenet_v3_large"
NAME = f"torchvision:{SMALL}"
COFFEE = np.ascontiguousarray(data.coffee()[::4, ::4])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder for $TORCH_HOME with weights whose name ends in the digest, and their address."""
    home = tmp_path_factory.mktemp("torch")
    torch.manual_seed(0)
    state = get_model(SMALL, weights=None, weights_backbone=None).state_dict()
    for name, values in state.items():
        if name.startswith("head.classification_head.") and values.ndim == 1 and len(values) % 91 == 0:
            values.view(-1, 91)[:, 12] += 0.01  # a category that is no class is found, too
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    path = (folder / "new.pth").rename(folder / f"{SMALL}_coco-{digest[:8]}.pth")
    return home, path


@pytest.fixture(autouse=True)
def offline(home, monkeypatch):
    def refuse(*words):
        raise OSError("there is no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TORCH_HOME", str(home[0]))
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    monkeypatch.setattr(get_model_weights(SMALL).DEFAULT.value, "url", f"https://nowhere.invalid/{home[1].name}")


def test_boxes_are_those_of_torchvision(home):
    detector = Detector.load(NAME)
    (raw,) = detector.forward(detector.preprocess([read_image(COFFEE)]))
    reference = get_model(SMALL, weights=None, weights_backbone=None, score_thresh=0.01, nms_thresh=0.7).eval()
    reference.load_state_dict(torch.load(home[1], weights_only=True))
    with torch.inference_mode():
        (expected,) = reference([torch.from_numpy(COFFEE).permute(2, 0, 1) / 255])
    categories = get_model_weights(SMALL).DEFAULT.meta["categories"]
    labels = [categories[i] for i in expected["labels"]]
    real = [i for i, label in enumerate(labels) if label != "N/A"]
    assert 0 < len(real) < len(labels)
    order = np.lexsort([*expected["boxes"][real].numpy().T, expected["scores"][real].numpy()])
    mine = np.lexsort([*raw.boxes.T, raw.scores])
    np.testing.assert_allclose(raw.boxes[mine], expected["boxes"][real][order], atol=1e-3)
    np.testing.assert_allclose(raw.scores[mine], expected["scores"][real][order], atol=1e-6)
    assert [raw.labels[i] for i in mine] == [labels[real[i]] for i in order]


def test_it_is_a_detector_like_the_others(tmp_path):
    detector = Detector.load(NAME)
    assert detector.classes == find("yolo").classes
    assert (detector.name, detector.runtime, detector.models[0].info["parameters"]) == (NAME, "torch", 3440060)
    large = read_image(np.kron(COFFEE, np.ones((2, 2, 1), np.uint8)))
    small = type(large)(COFFEE, large.width, large.height)  # as if decoded at half the size
    inputs = detector.join([detector.preprocess([large]), detector.preprocess([small])])
    options = DetectOptions(confidence=0.01, max_detections=5)
    one, two = detector.postprocess(detector.forward(inputs), options)
    assert (len(one), len(two)) == (5, 5) and (two.width, two.height) == (one.width, one.height)
    (alone,) = detector.predict([small], options)
    assert alone.to_dict() == two.to_dict()
    assert two.boxes.max() > max(COFFEE.shape)  # in pixels of the photo
    Image.fromarray(COFFEE).save(tmp_path / "a.png")
    assert main(["detect", str(tmp_path / "a.png"), "--model", NAME, "--output", str(tmp_path / "out")]) == 0


def test_options_select_among_detections():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8], [50, 50, 60, 60]]
    found = Detections(np.array(boxes), np.array([0.9, 0.8, 0.7, 0.2]), ("cat", "dog", "cat", "dog"), 80, 80, "any")

    def kept(**changes):
        given = {"confidence": 0.1, "iou": 0.5, "classes": None, "max_detections": 9, "agnostic": False}
        return ResolvedOptions(**given | changes).select(found).scores.astype(float).round(3).tolist()

    assert kept() == [0.9, 0.8, 0.2]
    assert kept(iou=0.85) == [0.9, 0.8, 0.7, 0.2]
    assert kept(agnostic=True) == [0.9, 0.2]
    assert kept(classes=("dog",)) == [0.8, 0.2]
    assert kept(classes=("dog",), confidence=0) == [0.8, 0.2]
    assert kept(confidence=0.75, max_detections=1) == [0.9]
    assert kept(classes=("bird",)) == []


def test_without_a_network_the_error_says_which_file_to_put_where(home, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / home[1].name
    with pytest.raises(ModelError) as raised:
        Detector.load(NAME)
    assert str(raised.value).startswith(f"{NAME}: cannot fetch its weights (")
    assert str(raised.value).endswith(f"put https://nowhere.invalid/{home[1].name} at {place} by hand")
    assert capsys.readouterr().err.startswith(f"{NAME}: fetching https://nowhere.invalid/{home[1].name} (13 MB) to ")
    assert list(place.parent.iterdir()) == []


def test_weights_are_fetched_once_and_checked(home, tmp_path, monkeypatch):
    """A file stands for the server."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = get_model_weights(SMALL).DEFAULT.value
    monkeypatch.setattr(weights, "url", home[1].as_uri())
    detector = Detector.load(NAME)
    place = tmp_path / "hub" / "checkpoints" / home[1].name
    assert place.read_bytes() == home[1].read_bytes()
    monkeypatch.setattr(weights, "url", f"https://nowhere.invalid/{home[1].name}")
    assert Detector.load(NAME).digest == detector.digest
    wrong = tmp_path / f"{SMALL}_coco-00000000.pth"
    wrong.write_bytes(home[1].read_bytes())
    monkeypatch.setattr(weights, "url", wrong.as_uri())
    with pytest.raises(ModelError, match=r"cannot fetch its weights \(invalid hash value"):
        Detector.load(NAME)
    assert not (place.parent / wrong.name).exists()


def test_the_whole_digest_is_remembered_at_the_first_use_and_checked_from_then_on(home, tmp_path, monkeypatch):
    """The name of published weights holds eight characters of their digest, which another file may have, too."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = get_model_weights(SMALL).DEFAULT.value
    monkeypatch.setattr(weights, "url", home[1].as_uri())
    digest = Detector.load(NAME).digest
    place = tmp_path / "hub" / "checkpoints" / home[1].name
    kept = place.with_name(f"{place.name}.sha256")
    assert kept.read_text() == f"{hashlib.sha256(place.read_bytes()).hexdigest()}  {place.name}\n"
    assert Detector.load(NAME).digest == digest
    alike = f"{place.stem[-8:]}{'0' * 56}"  # as if a file of the same eight characters had been used first
    kept.write_text(f"{alike}  {place.name}\n")
    with pytest.raises(ModelError, match=rf"changed, its digest is not the one in {kept.name}; delete both if"):
        Detector.load(NAME)
    place.unlink()  # fetched again, it must be what was used first
    with pytest.raises(ModelError, match="its digest is not the one in"):
        Detector.load(NAME)


def test_a_file_that_was_changed_or_runs_code_is_not_loaded(home, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / home[1].name
    place.parent.mkdir(parents=True)
    place.write_bytes(home[1].read_bytes() + b" ")
    with pytest.raises(ModelError, match=rf"{place.name}: damaged or changed, its digest does not begin with"):
        Detector.load(NAME)

    class Code:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"weights": Code()}, tmp_path / "code.pth")
    prefix = hashlib.sha256((tmp_path / "code.pth").read_bytes()).hexdigest()[:8]
    evil = (tmp_path / "code.pth").rename(place.with_name(f"code-{prefix}.pth"))
    monkeypatch.setattr(get_model_weights(SMALL).DEFAULT.value, "url", f"https://nowhere.invalid/{evil.name}")
    with pytest.raises(ModelError, match=f"{evil.name}: not the weights of this network"):
        Detector.load(NAME)
    assert not (tmp_path / "ran").exists()


def test_wrong_names_and_options_are_told():
    for name in ("torchvision:nope", "torchvision:", "torchvision:maskrcnn_resnet50_fpn"):
        with pytest.raises(ModelError, match=f"unknown model '{name}'; torchvision:NAME takes fasterrcnn_") as error:
            Detector.load(name)
        assert str(error.value).partition(" takes ")[2].split(", ") == published()
    assert {"ssd300_vgg16", SMALL} <= {*published()}
    with pytest.raises(UsageError, match=r"runtime onnx: model 'torchvision:.*' runs on torch only"):
        Detector.load(NAME, runtime="onnx")
    with pytest.raises(UsageError, match="tta: not with torchvision:ssdlite320"):
        Detector.load(NAME, tta=True)
