"""dlib's network becomes a model to start from and a file of targets, with which training runs."""

import json
from dataclasses import replace

import convert_dlib
import numpy as np
import pytest
import torch
from dlib_network import TEMPLATE, DlibNetwork
from drawn_people import faces

from vision_app.cli import main
from vision_app.faces.embedder import Embedder
from vision_app.faces.model.network import FaceNetworkConfig
from vision_app.faces.train.teacher import read_targets


class SmallNetwork(DlibNetwork):
    """As dlib's, but small."""

    def __init__(self):
        super().__init__(FaceNetworkConfig(widths=(6, 8), depths=(1, 1), embedding=16, inner=40))


@pytest.fixture
def dlib(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = SmallNetwork().eval()
    monkeypatch.setattr(convert_dlib, "load_dlib", lambda path: network)
    monkeypatch.setattr(convert_dlib.convert, "__defaults__", ([(0, 0), (4, 4)],))
    path = tmp_path / "dlib.dat"
    path.write_bytes(b"weights")
    return path


@pytest.mark.training
def test_training_starts_from_the_smaller_network_and_its_targets(dlib, tmp_path):
    crops = replace(faces(4, 4), template=TEMPLATE)
    crops.save(tmp_path / "faces.npz")
    start = tmp_path / "start"
    convert_dlib.main([str(dlib), "--data", str(tmp_path / "faces.npz"), "--output", str(start)])
    embedder = Embedder.load(start / "initial")
    np.testing.assert_allclose(embedder.template, TEMPLATE)
    targets = read_targets(start / "teacher.npz", crops)
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), 1, atol=1e-5)
    agreement = (embedder.embed(crops.chips) * targets).sum(axis=1)
    assert agreement.mean() > 0.9, "the last layer is fitted to the targets"
    words = ["train", "faces", "--data", tmp_path / "faces.npz", "--initial", start / "initial", "--teacher"]
    words += [start / "teacher.npz", "--output", tmp_path / "run", "--epochs", 1, "--precision", "fp32"]
    assert main([*map(str, words), "--batch-size", "16", "--people", "4", "--photos", "2"]) == 0
    info = json.loads((tmp_path / "run" / "best" / "model.json").read_text())
    assert info["trained"]["teacher"].startswith("teacher.npz ") and info["trained"]["loss"] == "both"


def test_faces_of_another_template_and_a_missing_file_are_refused(dlib, tmp_path, capsys):
    faces(2, 2).save(tmp_path / "faces.npz")
    for words, problem in (
        ([str(dlib), "--data", str(tmp_path / "faces.npz")], "aligned to another template"),
        ([str(dlib), "--data", str(tmp_path / "gone.npz")], "gone.npz"),
    ):
        with pytest.raises(SystemExit):
            convert_dlib.main([*words, "--output", str(tmp_path / "start")])
        assert problem in capsys.readouterr().err
