"""The generator of the sample styles draws the files that the package ships."""

import sys

import draw_style_samples
import numpy as np
import pytest
from draw_style_samples import DRAWINGS

from vision_app import read_image
from vision_app.style.samples.samples import SAMPLES, SIZE, sample

pytestmark = pytest.mark.slow


def test_every_sample_has_a_drawing():
    assert tuple(DRAWINGS) == SAMPLES


@pytest.mark.parametrize("name", SAMPLES)
def test_a_drawing_looks_like_the_shipped_file(name):
    pixels = DRAWINGS[name]()
    assert pixels.shape == (SIZE, SIZE, 3) and pixels.dtype == np.uint8
    differences = np.abs(pixels.astype(int) - sample(name))
    # Other processors round otherwise, which moves strokes here and there.
    assert (differences > 8).mean() < 0.05


def test_drawings_are_written_without_loss(tmp_path, monkeypatch):
    corner = sample("gravel")[:32, :32]
    monkeypatch.setattr(draw_style_samples, "DRAWINGS", {"corner": lambda: corner})
    monkeypatch.setattr(sys, "argv", ["draw_style_samples.py", "--output", str(tmp_path / "new")])
    draw_style_samples.main()
    (path,) = (tmp_path / "new").iterdir()
    assert path.name == "corner.webp"
    np.testing.assert_array_equal(read_image(path).pixels, corner)
