"""Training of `face-landmarks`: labels from a teacher's answers, views whose landmarks are known, and a run."""

import json

import cv2
import numpy as np
import pytest
import train_face_landmarks as tool
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.faces.align import MARGIN, SIDE, TEMPLATE, align
from vision_app.faces.landmarker import FaceLandmarker
from vision_app.faces.train.crops import FaceCrops

POINTS = TEMPLATE + np.float32(MARGIN)
CROP = align(data.astronaut(), ASTRONAUT, POINTS, SIDE)


class Teacher:
    """Answers as YuNet does, with landmarks that are off by something else in every image."""

    def __init__(self, offsets, others=()):
        self.offsets, self.others, self.mirrored = iter(offsets), others, False

    def setInputSize(self, size):  # noqa: N802
        self.size = size

    def detect(self, image):
        """The frame around the crop is what makes it as large as the image, which is that of `PASSES`."""
        frame = round(dict(tool.PASSES)[image.shape[0]] * SIDE)
        points = tool.flipped(POINTS) if self.mirrored else POINTS
        self.mirrored = not self.mirrored
        offset = next(self.offsets)
        if offset is None:
            return None, None
        scale = image.shape[0] / (SIDE + 2 * frame)
        rows = [
            np.concatenate([np.zeros(4), ((p + frame) * scale).ravel(), [0.9]]) for p in [*self.others, points + offset]
        ]
        return None, np.float32(rows)


def test_a_label_is_the_mean_of_what_the_teacher_says_of_both_mirror_images_at_both_scales():
    points, spread = tool.labeled(Teacher([1, 2, 3, -2]), CROP)
    expected = POINTS + np.array([(1 - 2 + 3 + 2) / 4, (1 + 2 + 3 - 2) / 4])  # x is mirrored back in two of them
    np.testing.assert_allclose(points, expected, atol=0.01)
    assert spread == pytest.approx(np.mean([np.std([1, -2, 3, 2]), np.std([1, 2, 3, -2])]), abs=0.01)


def test_a_face_elsewhere_is_none_and_one_answer_is_too_few():
    points, spread = tool.labeled(Teacher([0, 0, 0, 0], others=[POINTS + 30, POINTS - 40]), CROP)
    np.testing.assert_allclose(points, POINTS, atol=0.01)
    assert spread == pytest.approx(0, abs=0.01)
    for answers in ([None, 1, None, None], [30, 20, None, 15]):
        points, spread = tool.labeled(Teacher(answers), CROP)
        assert np.isnan(points).all() and np.isnan(spread)


def test_the_landmarks_of_a_view_are_where_they_are_to_be_seen(monkeypatch):
    for name in ("lit", "gray", "compressed"):
        monkeypatch.setattr(tool, name, lambda face, random=None: face)
    for name in ("noisy", "shaken"):
        monkeypatch.setattr(tool.photo_damage, name, lambda face, random: face)
    monkeypatch.setattr(tool, "COVERED", 0)
    monkeypatch.setattr(tool, "CUT", 0)
    monkeypatch.setattr(tool, "SMALLEST", 80)
    checked = 0
    for seed in range(40):
        place = seed % 5
        dot = cv2.circle(
            np.zeros_like(CROP), np.round(POINTS[place] - 0.5).astype(int).tolist(), 3, (255, 255, 255), -1
        )
        points = POINTS.copy()
        points[place] = np.round(POINTS[place] - 0.5) + 0.5
        face, places = tool.view(dot, points, CROP, np.random.default_rng(seed))
        assert face.shape == (112, 112, 3) and places.shape == (5, 2)
        eyes, nose = places[1] - places[0], places[2] - places[0]
        assert eyes[0] * nose[1] - eyes[1] * nose[0] > 0  # also in mirror images, the first eye is the left one there
        if not 8 < places.min() <= places.max() < 104:
            continue
        light = face.astype(float).min(axis=2)  # a border in a color is not white
        y, x = np.mgrid[:112, :112] + 0.5
        seen = np.array([(x * light).sum(), (y * light).sum()]) / light.sum()
        mirrored = tool.FLIP.index(place)
        assert min(np.abs(seen - places[place]).max(), np.abs(seen - places[mirrored]).max()) < 1
        checked += 1
    assert checked > 20


@pytest.mark.training
def test_a_run_leaves_a_model_that_finds_landmarks(tmp_path, capsys):
    moves = np.random.default_rng(0).normal(0, 2, (24, 1, 2))
    pixels = np.stack([align(data.astronaut(), ASTRONAUT + move, POINTS, SIDE) for move in moves])
    crops = FaceCrops(pixels, np.full(24, ""), np.array([f"{i}.png" for i in range(24)]), TEMPLATE)
    crops.save(tmp_path / "crops.npz")
    spread = np.where(np.arange(24) < 4, [np.nan, tool.AGREED + 1] * 12, 1)  # four labels are not sure
    np.savez(tmp_path / "points.npz", points=np.repeat(POINTS[None], 24, axis=0), spread=spread)
    files = [tmp_path / "crops.npz", tmp_path / "points.npz"]
    words = ["train", *files, "--validation", *files, "--output", tmp_path / "run", "--epochs", 1, "--batch-size", 8,
             "--workers", 0]  # fmt: skip
    tool.main(list(map(str, words)))
    one, other = (FaceLandmarker.load(tmp_path / "run" / "best", runtime=runtime) for runtime in ("onnx", "torch"))
    np.testing.assert_allclose(one.locate(crops.chips), other.locate(crops.chips), atol=0.05)
    about = json.loads((tmp_path / "run" / "best" / "model.json").read_text())
    assert about["trained"]["faces"] == 20 and about["measured"]["error before"] > 0.1
    assert "'error'" in capsys.readouterr().out
    np.savez(tmp_path / "points.npz", points=np.zeros((3, 5, 2)), spread=np.ones(3))
    with pytest.raises(SystemExit):
        tool.main(list(map(str, [*words, "--resume"])))
    assert "has 3 faces" in capsys.readouterr().err
