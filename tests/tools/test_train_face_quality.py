"""Training of `face-quality`: what faces are labeled with, and a run from crops to a model folder."""

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


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (0.16, 0), (0.2, np.nan), (0.28, 1), (3, 1)])
def test_a_value_is_good_bad_or_unknown(value, expected):
    np.testing.assert_equal(tool.label(value, tool.ALIGNMENT), expected)


def test_every_kind_of_damage_is_drawn_and_most_faces_have_none_of_a_kind(crops):
    faces = tool.SpoiledFaces(crops.subset(np.zeros(80, int)), 0, 0)
    pixels, values = (torch.cat(parts).numpy() for parts in zip(*(faces[i] for i in range(80)), strict=True))
    assert pixels.shape == (80 * tool.VIEWS, 3, 112, 112) and pixels.dtype == np.uint8
    rates = np.nanmean(values[:, 2:], axis=0)
    assert len(rates) == len(CHECKS) and (rates > 0.05).all() and (rates < 0.55).all()
    lengths = np.hypot(*values[:, :2].T)
    assert np.allclose(lengths[~np.isnan(lengths)], 1) and 0.02 < np.isnan(lengths).mean() < 0.4
    np.testing.assert_array_equal(values[: tool.VIEWS], faces[0][1])
    np.testing.assert_array_equal(pixels[: tool.VIEWS], faces[0][0])


def test_the_roll_of_a_view_is_the_angle_that_its_face_is_turned_by():
    crop = np.zeros((SIDE, SIDE, 3), np.uint8)
    crop[:, : SIDE // 2] = 200  # light on the left of the image
    face = tool.Spoiled(crop, False, 0.0, 0.0)
    for seed in range(60):
        pixels, values = tool.view(face, np.random.default_rng(seed))
        if not np.isnan(values[0]) and values[2] == 0 and values[3] == 0:  # neither moved nor stretched much
            light = np.argwhere(pixels.mean(axis=2) > pixels.mean()).mean(axis=0) - 55.5
            angle = np.degrees(np.arctan2(-light[0], -light[1]))  # of what was on the left
            assert abs(angle - np.degrees(np.arctan2(values[1], values[0]))) < 10


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
