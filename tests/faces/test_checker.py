"""`FaceChecker` on a tiny network: what it answers, what counts as bad, and which models are refused."""

import numpy as np
import pytest
import torch
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.core.errors import ModelError
from vision_app.core.images import read_image
from vision_app.faces.align import align
from vision_app.faces.checker import BATCH, CHECKS, MAX_ROLL, UNSURE_LANDMARKS, FaceChecker
from vision_app.faces.model.aligned import ByteQuality, QualityNetwork
from vision_app.faces.train.export import write_checker
from vision_app.released.write import describe


def tiny_network():
    torch.manual_seed(0)
    return QualityNetwork(len(CHECKS), (4, 4, 6, 6, 8), (2, 5)).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_checker(tiny_network(), folder, name="tiny", limits=(0.5, 0.4, 0.5, 0.6, 0.5, 0.5, 0.3), half=False)
    return folder


@pytest.fixture(scope="module")
def chips():
    places = [ASTRONAUT + np.array([3, 5]) * step for step in range(BATCH + 3)]
    return np.stack([align(data.astronaut(), points) for points in places])


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_both_runtimes_answer_what_the_network_says(folder, chips, runtime):
    with torch.inference_mode():
        expected = ByteQuality(tiny_network())(torch.from_numpy(chips)).numpy()
    checker = FaceChecker.load(folder, runtime=runtime, threads=1)
    found = checker.check(chips)
    np.testing.assert_allclose(found.probabilities, expected[:, 2:], atol=1e-5)
    np.testing.assert_allclose(found.roll, np.degrees(np.arctan2(expected[:, 1], expected[:, 0])), atol=1e-2)
    assert checker.check(chips[:0]).bad.shape == (0, len(CHECKS))


class Answers:
    """A network that says what it is told."""

    runtime, device = "onnx", "cpu"

    def __init__(self, rolls, probabilities):
        turns = np.radians(rolls)
        self.rows = np.column_stack([np.cos(turns), np.sin(turns), probabilities]).astype(np.float32)

    def __call__(self, pixels, stages=None):
        return self.rows[: len(pixels)]


def test_a_face_is_bad_above_the_limits_and_unsure_where_it_seems_turned(folder):
    model = FaceChecker.load(folder).model
    rolls = [0, MAX_ROLL + 1, -MAX_ROLL - 1, MAX_ROLL - 1]
    odds = [[0.1] * 7, [0.1] * 7, [0.45] * 7, [0.55] * 7]
    found = FaceChecker(model, Answers(rolls, odds)).check(np.zeros((4, 112, 112, 3), np.uint8))
    assert found.bad.tolist() == [
        [False] * 7,
        [True, False, False, False, False, False, False],
        [True, True, False, False, False, False, True],
        [True, True, True, False, True, True, True],
    ]
    assert found.sure.tolist() == [True, False, False, False]
    assert CHECKS[0] == UNSURE_LANDMARKS


def test_faces_of_a_photo_are_checked_as_they_are_aligned(folder):
    checker, image = FaceChecker.load(folder), read_image(data.astronaut())
    (alone,) = checker.check(align(data.astronaut(), ASTRONAUT)[None]).probabilities
    np.testing.assert_array_equal(checker.at(image, ASTRONAUT[None]).probabilities[0], alone)
    assert checker.at(image, np.zeros((0, 5, 2))).sure.shape == (0,)


def test_a_model_of_other_checks_or_for_something_else_is_refused(folder, tmp_path):
    with pytest.raises(ModelError, match="for face-embedding, not for face-quality"):
        FaceChecker.load("face-embedder")
    write_checker(tiny_network(), tmp_path / "one", name="one", limits=[0.5] * len(CHECKS))
    describe(tmp_path / "one", defaults={"limits": [0.5]})
    with pytest.raises(ModelError, match="limits"):
        FaceChecker.load(tmp_path / "one")
    describe(tmp_path / "one", defaults={"limits": [0.5] * 5}, classes=list(CHECKS[:5]))  # as version 1 of the model
    expected = "one' checks unsure_landmarks, .*, eyes_covered; this version needs .*, degraded, half_hidden: use"
    with pytest.raises(ModelError, match=expected):
        FaceChecker.load(tmp_path / "one")
