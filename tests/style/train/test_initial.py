"""Training starts from a model or from random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_styles import tiny_fast, write_teachers, write_tiny_encoder, write_tiny_fast

from vision_app.core.errors import ModelError
from vision_app.released.write import describe
from vision_app.style.train.initial import identity, initial_fast


def test_training_starts_from_a_model_or_random_weights(tmp_path):
    folder = write_tiny_fast(tmp_path / "model")
    ours = initial_fast(folder)
    assert ours.config == tiny_fast().config and all(parameter.requires_grad for parameter in ours.parameters())
    torch.testing.assert_close(ours.content.stem.weight, tiny_fast().content.stem.weight)
    random = initial_fast(None)
    assert np.isclose(random.content.deep.first.weight.std().item(), (2 / 576) ** 0.5, rtol=0.05)
    write_tiny_encoder(tmp_path / "encoder")
    with pytest.raises(ModelError, match="is for style-features, not for style-transfer"):
        initial_fast(tmp_path / "encoder")
    describe(folder, architecture={"type": "style-fast", "widths": [4, 8, 16]})
    with pytest.raises(ModelError, match="has no usable 'architecture'"):
        initial_fast(folder)


def test_an_identity_changes_with_the_weights_alone(tmp_path):
    first, second = write_tiny_encoder(tmp_path / "a" / "model"), write_tiny_encoder(tmp_path / "b" / "model")
    assert identity(first) == identity(second) != identity(write_tiny_encoder(tmp_path / "c" / "model", seed=1))
    assert identity(first).startswith("model ") and identity(None) == "none" and identity(Path("vgg19")) == "vgg19"
    teachers = write_teachers(tmp_path / "teachers")
    before = identity(teachers)
    write_tiny_encoder(teachers / "3")
    assert identity(teachers) != before
    torch.save({}, tmp_path / "vgg19.pth")
    assert identity(tmp_path / "vgg19.pth").startswith("vgg19.pth ")
