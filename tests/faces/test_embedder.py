"""`Embedder` on tiny networks: both runtimes, the contract, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from skimage import data
from tiny_faces import ASTRONAUT, tiny_network, write_tiny_embedder

from vision_app.core.errors import ModelError
from vision_app.faces.align import TEMPLATE, align
from vision_app.faces.embedder import BATCH, Embedder
from vision_app.released.find import find, write_file
from vision_app.released.write import describe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_embedder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def chips():
    """(N, 112, 112, 3) faces and other things, more than go through the network at once."""
    pixels = data.astronaut()
    return np.stack([align(pixels, ASTRONAUT + np.array([3, 5]) * step) for step in range(BATCH + 3)])


def test_onnx_and_torch_give_the_network_s_vector_between_face_and_mirror_image(folder, chips):
    network = tiny_network()
    with torch.inference_mode():
        faces = torch.from_numpy(chips).permute(0, 3, 1, 2).float()
        expected = (network(faces) + network(faces[..., range(111, -1, -1)])).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert len(np.unique(expected.round(3), axis=0)) == len(chips)
    for runtime in ("onnx", "torch"):
        embedder = Embedder.load(folder, runtime=runtime, threads=1)
        found = embedder.embed(chips)
        assert found.shape == (len(chips), embedder.dimension) and found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
        assert (found * expected).sum(1).min() > 0.9999  # weights in half precision
        assert embedder.embed(chips[:0]).shape == (0, 16)
        np.testing.assert_allclose(embedder.embed(chips[:, :, ::-1].copy()), found, atol=1e-5)


def test_the_model_id_depends_on_the_weights_and_the_template_only(folder, chips, tmp_path):
    embedder = Embedder.load(folder)
    same = shutil.copytree(folder, tmp_path / "same")
    describe(same, license="MIT", calibration={"anything": 1})
    assert Embedder.load(same).model_id == embedder.model_id
    write_file(find(same), tmp_path / "same.onnx")
    exported = Embedder.load(tmp_path / "same.onnx")
    assert exported.model_id == embedder.model_id
    np.testing.assert_array_equal(exported.embed(chips[:2]), embedder.embed(chips[:2]))
    others = [
        write_tiny_embedder(tmp_path / "seed", seed=1),
        write_tiny_embedder(tmp_path / "t", template=TEMPLATE + 1),
    ]
    assert len({embedder.model_id, *(Embedder.load(other).model_id for other in others)}) == 3
    np.testing.assert_allclose(Embedder.load(others[1]).template, TEMPLATE + 1, atol=1e-4)


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 112, 112, 3)), np.zeros((112, 112, 3), np.uint8), np.zeros((1, 160, 160, 3), np.uint8)]
)
def test_anything_but_aligned_faces_is_refused(folder, wrong):
    with pytest.raises(ValueError, match="chips: expected N x 112 x 112 x 3 of uint8, got"):
        Embedder.load(folder).embed(wrong)


def test_a_model_that_is_no_embedder_or_damaged_is_refused(folder, chips, tmp_path):
    with pytest.raises(ModelError, match="is for detection, not for face-embedding"):
        Embedder.load("yolo")
    info = json.loads((folder / "model.json").read_text())
    info["input"]["template"] = [[1, 2]]
    (tmp_path / "model.json").write_text(json.dumps(info))
    for name in info["files"]:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelError, match=r"has no usable 'input\.template'"):
        Embedder.load(tmp_path)


class Broken:
    """A network whose weights are not finite."""

    runtime, device = "onnx", "cpu"

    def __call__(self, pixels, stages=None):
        return np.full((len(pixels), 16), np.nan, np.float32)


def test_vectors_that_are_not_unit_vectors_are_refused(folder, chips):
    with pytest.raises(ModelError, match="does not give unit vectors"):
        Embedder(find(folder), Broken()).embed(chips[:1])


def test_an_uncalibrated_model_says_how_to_calibrate_it(folder):
    with pytest.raises(ModelError, match="vision-app faces calibrate"):
        _ = Embedder.load(folder).calibration
