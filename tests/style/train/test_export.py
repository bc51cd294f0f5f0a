"""Model folders of styles: both ONNX files give what the network gives, and nothing else is needed."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_styles import tiny_fast, write_tiny_encoder, write_tiny_fast

from vision_app.core.errors import UsageError
from vision_app.released.find import find, write_file
from vision_app.released.write import describe
from vision_app.style.model.features import load_encoder
from vision_app.style.model.network import from_bytes


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_fast(tmp_path_factory.mktemp("models") / "fast")


@pytest.mark.parametrize(("height", "width"), [(16, 16), (37, 50), (64, 32)])
@torch.no_grad()
def test_the_onnx_files_match_the_network(folder, height, width):
    model, network = find(folder), tiny_fast()
    sessions = [onnxruntime.InferenceSession(model.file(name)) for name in ("style.onnx", "model.onnx")]
    content, style = pixels(height, width), pixels(29, 31, seed=1)
    (code,) = sessions[0].run(["code"], {"pixels": style})
    expected = network.encode(from_bytes(torch.from_numpy(style)))
    np.testing.assert_allclose(code, expected.numpy(), rtol=1e-3, atol=1e-4)
    for statistics in (
        np.full((1, 64), np.nan, np.float32),
        np.random.default_rng(2).random((1, 64), np.float32) + 0.5,
    ):
        inputs = {"pixels": content, "code": code, "statistics": statistics}
        picture, used = sessions[1].run(["picture", "used"], inputs)
        painted, wanted = network.stylize(from_bytes(torch.from_numpy(content)), expected, torch.from_numpy(statistics))
        assert picture.shape == (1, height, width, 3)
        np.testing.assert_allclose(picture, painted.permute(0, 2, 3, 1).numpy(), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(used, wanted.numpy(), rtol=1e-3, atol=1e-3)


def test_model_json_describes_the_inputs(folder):
    info = json.loads((folder / "model.json").read_text())
    assert set(info["files"]) == {"weights.safetensors", "style.onnx", "model.onnx"}
    config = tiny_fast().config
    assert info["input"] | {"code": 128, "statistics": 64, "multiple": 4, "overlap": config.reach} == info["input"]
    assert info["task"] == "style-transfer" and info["parameters"] == sum(p.numel() for p in tiny_fast().parameters())


def test_describing_a_folder_keeps_all_its_files(tmp_path):
    folder = write_tiny_fast(tmp_path / "fast")
    describe(folder, license="MIT")
    model = find(folder)
    model.verify()
    assert set(model.info["files"]) == {"weights.safetensors", "style.onnx", "model.onnx"}
    assert model.info["license"] == "MIT"


def test_a_model_of_two_networks_cannot_be_exported_to_one_file(folder, tmp_path):
    with pytest.raises(UsageError, match=r"needs style\.onnx beside its network"):
        write_file(find(folder), tmp_path / "one.onnx")
    assert not (tmp_path / "one.onnx").exists()


def test_an_encoder_has_no_onnx_file(tmp_path):
    folder = write_tiny_encoder(tmp_path / "encoder")
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]
    assert load_encoder(folder).config.widths == (4, 6, 8, 8, 8)
