"""What a student is told by its teacher, and that the teacher is asked once."""

import numpy as np
import pytest
import torch
from torch import nn

from vision_app.core.errors import DataError
from vision_app.faces.align import MARGIN, SIDE, TEMPLATE
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.teacher import Teacher, read_targets, store_answers, teacher_loss, teacher_targets
from vision_app.training.checks import GRADIENT_BOUND, gradient_errors


class Means(nn.Module):
    """Says how bright the left and the right half are, and what (x, y) = (30, 50) shows; counts its questions."""

    def __init__(self, stop=None):
        super().__init__()
        self.weight, self.asked, self.stop = nn.Parameter(torch.ones(1)), 0, stop

    def forward(self, x):
        self.asked += len(x)
        if self.stop is not None and self.asked > self.stop:
            raise KeyboardInterrupt
        return torch.stack([x[..., :56].mean((1, 2, 3)), x[..., 56:].mean((1, 2, 3)), x[:, 0, 50, 30]], dim=1)


def crops(count, seed=0):
    pixels = np.random.default_rng(seed).integers(1, 256, (count, SIDE, SIDE, 3), np.uint8)
    return FaceCrops(pixels, np.full(count, "a"), np.arange(count).astype(str), TEMPLATE)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_loss_is_that_of_a_plain_loop():
    generator = np.random.default_rng(0)
    mine, wanted = unit(generator.normal(size=(6, 4))), unit(generator.normal(size=(6, 4)))
    distance, relations = teacher_loss(torch.from_numpy(mine), torch.from_numpy(wanted), 10.0)
    assert distance.item() == pytest.approx(np.mean([1 - a @ b for a, b in zip(mine, wanted, strict=True)]))
    pairs = [(mine[i] @ mine[j] - wanted[i] @ wanted[j]) ** 2 for i in range(6) for j in range(6)]
    assert relations.item() == pytest.approx(10 * np.mean(pairs))
    turned = torch.from_numpy(wanted @ np.linalg.qr(generator.normal(size=(4, 4)))[0])
    assert teacher_loss(turned, torch.from_numpy(wanted), 10.0)[1].item() == pytest.approx(0, abs=1e-12)


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    vectors = [torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(2)]

    def losses(vectors):
        return torch.stack(teacher_loss(nn.functional.normalize(vectors), nn.functional.normalize(wanted), 10.0))

    wanted = vectors[1]
    assert max(gradient_errors(losses, vectors[:1])) < GRADIENT_BOUND


def test_targets_are_directions_of_means_over_the_face_and_its_mirror_image(tmp_path):
    faces = crops(3)
    targets = teacher_targets(Teacher(Means(), "means"), faces, tmp_path / "teacher.npz")
    chips = faces.pixels[:, MARGIN:-MARGIN, MARGIN:-MARGIN].astype(float)
    half = chips.mean(axis=(1, 2, 3))
    expected = unit(np.stack([half, half, (chips[:, 50, 30, 0] + chips[:, 50, 111 - 30, 0]) / 2], axis=1))
    np.testing.assert_allclose(targets, expected, rtol=1e-5)


def test_targets_from_a_file_are_for_the_same_faces_only(tmp_path):
    wanted = np.eye(3, dtype=np.float32)
    store_answers(tmp_path / "teacher.npz", crops(3).digest(), wanted)
    np.testing.assert_array_equal(read_targets(tmp_path / "teacher.npz", crops(3)), wanted)
    for path, faces in (("teacher.npz", crops(3, seed=1)), ("missing.npz", crops(3))):
        with pytest.raises(DataError, match=f"{path}: not the answers of a teacher for these 3 faces"):
            read_targets(tmp_path / path, faces)


def test_a_teacher_embeds_each_face_once_even_if_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr("vision_app.faces.train.teacher.KEPT", 4)
    path, faces, lines = tmp_path / "teacher.npz", crops(10), []
    with pytest.raises(KeyboardInterrupt):
        teacher_targets(Teacher(Means(stop=16), "means"), faces, path, lines.append)
    assert lines == ["the teacher has embedded 4 of 10 faces", "the teacher has embedded 8 of 10 faces"]
    again = Means()
    targets = teacher_targets(Teacher(again, "means"), faces, path)
    assert again.asked == 2 * 2  # two faces are left, and their mirror images
    whole = teacher_targets(Teacher(Means(), "means"), faces, tmp_path / "whole.npz")
    np.testing.assert_array_equal(targets, whole)
    nobody = Means(stop=0)
    np.testing.assert_array_equal(teacher_targets(Teacher(nobody, "means"), faces, path), whole)
    for teacher, others in (("another", faces), ("means", crops(10, seed=1))):
        asked = Means()
        teacher_targets(Teacher(asked, teacher), others, path)
        assert asked.asked == 20
    path.write_bytes(b"broken")
    np.testing.assert_array_equal(teacher_targets(Teacher(Means(), "means"), faces, path), whole)
