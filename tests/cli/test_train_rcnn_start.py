"""`vision-app train rcnn`, and what the commands of the R-CNN family start from."""

import contextlib
import io
import json

import pytest
import torch
from drawn_sets import coco

from vision_app import Detector
from vision_app.cli import main
from vision_app.detection.model.rcnn import RCNN, RCNNConfig
from vision_app.detection.train.rcnn import write_regions_model

DEFAULTS = {"confidence": 0.4, "iou": 0.5, "max_detections": 100}
SMALL = {"width": 4, "depths": (1, 1, 1), "pyramid": 8, "hidden": 16, "proposals": 12}
TRAINED = {"epochs": 3}


def say(*words):
    """Run the command in this process, which has torch already: its exit code and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        return main([str(word) for word in words]), " ".join(out.getvalue().split())


def write(folder, kind):
    torch.manual_seed(0)
    network = RCNN(RCNNConfig(kind, 2, **SMALL))
    about = {"name": kind, "classes": ("screw", "nut"), "defaults": DEFAULTS, "trained": TRAINED}
    write_regions_model(network, folder, size=96, stretch=1.5, **about)
    return folder


def test_the_weights_of_a_fast_rcnn_become_an_rcnn(tmp_path):
    source, output = write(tmp_path / "fast", "fast-rcnn"), tmp_path / "slow"
    assert say("train", "rcnn", "--initial", source, "--output", output) == (0, str(output))
    old, new = (json.loads((folder / "model.json").read_text()) for folder in (source, output))
    assert new == old | {"name": "slow", "architecture": old["architecture"] | {"type": "rcnn"}}
    assert (output / "weights.safetensors").read_bytes() == (source / "weights.safetensors").read_bytes()
    detector = Detector.load(output)
    assert detector.network.config.kind == "rcnn" and detector.network.config.proposals == 12
    code, said = say("train", "rcnn", "--initial", source, "--output", output)
    assert code == 2 and "contains a model already" in said


@pytest.mark.parametrize("kind", ["rcnn", "faster-rcnn"])
def test_an_rcnn_is_made_of_a_fast_rcnn_only(tmp_path, kind):
    code, said = say("train", "rcnn", "--initial", write(tmp_path / kind, kind), "--output", tmp_path / "out")
    assert code == 2 and f"is of the kind {kind}; R-CNN takes the weights of a fast-rcnn model" in said
    assert not (tmp_path / "out" / "model.json").exists()


@pytest.mark.parametrize("kind", ["fast-rcnn", "faster-rcnn"])
def test_the_family_starts_from_models_not_from_files(tmp_path, kind):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"published")
    data, output = coco(tmp_path / "set"), tmp_path / "run"
    code, said = say("train", kind, "--data", data, "--initial", file, "--output", output)
    assert code == 2 and f"--initial {file}: is a file; {kind} starts from a model, by name or folder" in said
    assert not output.exists()
    _, said = say("train", kind, "--help")
    assert ".pth" not in said and "--backbone" not in said and "--initialize" not in said and "grid detector" in said
