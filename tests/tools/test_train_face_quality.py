"""Training of `face-quality`: where it starts, and a run from crops to a model folder."""

import json

import numpy as np
import pytest
import torch
import train_face_quality as tool
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.faces.align import MARGIN, SIDE, TEMPLATE, align
from vision_app.faces.checker import CHECKS, FaceChecker
from vision_app.faces.train.crops import FaceCrops


@pytest.fixture(scope="module")
def crops():
    moves = np.random.default_rng(0).normal(0, 2, (24, 1, 2))
    pixels = [align(data.astronaut(), ASTRONAUT + move, TEMPLATE + np.float32(MARGIN), SIDE) for move in moves]
    return FaceCrops(np.stack(pixels), np.full(24, ""), np.array([f"{i}.png" for i in range(24)]), TEMPLATE)


def test_a_run_starts_from_a_model_with_fewer_checks(crops, tmp_path):
    torch.manual_seed(3)
    old = tool.QualityNetwork(2, (4, 4, 6, 6, 8), (2, 5)).eval()
    tool.write_checker(old, tmp_path / "old", name="old", limits=[0.5] * len(CHECKS), half=False)
    tool.describe(tmp_path / "old", classes=[CHECKS[0], CHECKS[3]])
    new = tool.QualityNetwork(len(CHECKS), (4, 4, 6, 6, 8), (2, 5)).eval()
    tool.start_from(new, tool.find(tmp_path / "old", tool.TASK))
    faces = torch.from_numpy(np.ascontiguousarray(crops.chips[:5])).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        expected, answers = old(faces), new(faces)
    torch.testing.assert_close(answers[:, [0, 1, 2, 5]], expected)


@pytest.mark.training
def test_a_run_leaves_a_model_that_checks_faces(crops, tmp_path, capsys):
    crops.save(tmp_path / "crops.npz")
    words = ["--data", tmp_path / "crops.npz", "--validation", tmp_path / "crops.npz", "--output", tmp_path / "run",
             "--epochs", 1, "--batch-size", 8, "--workers", 0]  # fmt: skip
    tool.main(list(map(str, words)))
    checker, other = (FaceChecker.load(tmp_path / "run" / "best", runtime=runtime) for runtime in ("onnx", "torch"))
    assert checker.limits == pytest.approx(tool.LIMITS)
    seen, expected = checker.check(crops.chips), other.check(crops.chips)
    np.testing.assert_allclose(seen.probabilities, expected.probabilities, atol=1e-4)
    np.testing.assert_allclose(seen.roll, expected.roll, atol=0.1)
    about = json.loads((tmp_path / "run" / "best" / "model.json").read_text())
    assert about["trained"]["faces"] == 24 and "any on good faces" in about["measured"]
    assert "'damage found'" in capsys.readouterr().out
