"""`FaceLandmarker`: what it answers, where that is in the photo, and which models are refused."""

import numpy as np
import pytest
import torch
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.core.errors import ModelError
from vision_app.core.images import RGBImage, read_image
from vision_app.faces.align import TEMPLATE, align, similarity
from vision_app.faces.landmarker import BATCH, LOOKS, FaceLandmarker
from vision_app.faces.model.aligned import ByteLandmarks, LandmarkNetwork
from vision_app.faces.train.export import write_landmarker
from vision_app.released.write import describe


def tiny_network():
    torch.manual_seed(0)
    return LandmarkNetwork((4, 4, 6, 6, 8), (2, 5)).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_landmarker(tiny_network(), folder, name="tiny", half=False)
    return folder


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_both_runtimes_answer_what_the_network_says(folder, runtime):
    places = [ASTRONAUT + np.array([3, 5]) * step for step in range(BATCH + 3)]
    chips = np.stack([align(data.astronaut(), points) for points in places])
    with torch.inference_mode():
        expected = ByteLandmarks(tiny_network(), TEMPLATE)(torch.from_numpy(chips)).numpy()
    landmarker = FaceLandmarker.load(folder, runtime=runtime, threads=1)
    np.testing.assert_allclose(landmarker.locate(chips), expected, atol=1e-3)
    assert landmarker.locate(chips[:0]).shape == (0, 5, 2)


def sees(folder, answers):
    """Return a landmarker that sees one of some landmarks after the other, in pixels of the aligned face."""
    answers = iter(answers)
    return FaceLandmarker(FaceLandmarker.load(folder).model, lambda chips: np.float32(next(answers)))


@pytest.mark.parametrize("turn", [0, 40, 170])
def test_what_is_seen_in_aligned_faces_is_told_in_pixels_of_the_photo(folder, turn):
    angle = np.radians(turn)
    rough = 90 + 60 * (TEMPLATE - 56) / 56 @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    away = np.random.default_rng(turn).normal(0, 4, (5, 2))
    middle = similarity(rough)  # where the first look says that the landmarks are
    once = (TEMPLATE + away - middle[:, 2]) @ np.linalg.inv(middle[:, :2]).T
    last = similarity(once)
    landmarker = sees(folder, [[TEMPLATE + away]] * (LOOKS - 1) + [[once @ last[:, :2].T + last[:, 2]]])
    found = landmarker.refined(read_image(data.astronaut()), np.float32(rough)[None])
    np.testing.assert_allclose(found[0], once, atol=1e-2)  # the second look agrees with the first one


def test_photos_that_were_decoded_at_a_reduced_size_are_aligned_as_others(folder):
    seen = []

    def network(chips):
        seen.append(chips)
        return np.repeat(TEMPLATE[None], len(chips), axis=0)

    landmarker = FaceLandmarker(FaceLandmarker.load(folder).model, network)
    landmarker.refined(read_image(data.astronaut()), np.float32(ASTRONAUT)[None])
    landmarker.refined(RGBImage(data.astronaut(), 1024, 1024), 2 * np.float32(ASTRONAUT)[None])
    np.testing.assert_array_equal(seen[0], seen[LOOKS])
    assert landmarker.refined(read_image(data.astronaut()), np.zeros((0, 5, 2))).shape == (0, 5, 2)


def test_models_for_something_else_or_with_other_answers_are_refused(folder, tmp_path):
    with pytest.raises(ModelError, match="for face-embedding, not for face-landmarks"):
        FaceLandmarker.load("face-embedder")
    with pytest.raises(ModelError, match="does not give 5 places"):
        sees(folder, [np.zeros((1, 10))]).locate(np.zeros((1, 112, 112, 3), np.uint8))
    write_landmarker(tiny_network(), tmp_path / "one", name="one")
    describe(tmp_path / "one", architecture={"type": "face-landmarks"})
    with pytest.raises(ModelError, match="architecture"):
        FaceLandmarker.load(tmp_path / "one", runtime="torch")
