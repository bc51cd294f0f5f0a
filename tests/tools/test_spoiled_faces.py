"""Faces to train `face-quality` on: what is drawn on them, and what they are labeled with."""

import numpy as np
import pytest
import spoiled_faces
import torch
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.faces.align import MARGIN, SIDE, TEMPLATE, align
from vision_app.faces.checker import CHECKS
from vision_app.faces.train.crops import FaceCrops


@pytest.fixture(scope="module")
def crops():
    moves = np.random.default_rng(0).normal(0, 2, (24, 1, 2))
    pixels = [align(data.astronaut(), ASTRONAUT + move, TEMPLATE + np.float32(MARGIN), SIDE) for move in moves]
    return FaceCrops(np.stack(pixels), np.full(24, ""), np.array([f"{i}.png" for i in range(24)]), TEMPLATE)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (0.16, 0), (0.2, np.nan), (0.28, 1), (3, 1)])
def test_a_value_is_good_bad_or_unknown(value, expected):
    np.testing.assert_equal(spoiled_faces.label(value, spoiled_faces.ALIGNMENT), expected)


def test_every_kind_of_damage_is_drawn_and_most_faces_have_none_of_a_kind(crops):
    faces = spoiled_faces.SpoiledFaces(crops.subset(np.zeros(160, int)), np.tile([0.02, 0.1, 0.3, 0.4], 40), 0, 0)
    pixels, values = (torch.cat(parts).numpy() for parts in zip(*(faces[i] for i in range(160)), strict=True))
    assert pixels.shape == (160 * spoiled_faces.VIEWS, 3, 112, 112) and pixels.dtype == np.uint8
    rates = np.nanmean(values[:, 2:], axis=0)
    assert len(rates) == len(CHECKS) and (rates > 0.04).all() and (rates < 0.55).all()
    lengths = np.hypot(*values[:, :2].T)
    assert np.allclose(lengths[~np.isnan(lengths)], 1) and 0.02 < np.isnan(lengths).mean() < 0.4
    np.testing.assert_array_equal(values[: spoiled_faces.VIEWS], faces[0][1])
    np.testing.assert_array_equal(pixels[: spoiled_faces.VIEWS], faces[0][0])


def test_the_roll_of_a_view_is_the_angle_that_its_face_is_turned_by():
    crop = np.zeros((SIDE, SIDE, 3), np.uint8)
    crop[:, : SIDE // 2] = 200  # light on the left of the image
    face = spoiled_faces.Spoiled(crop, False, 0.0, 0.0)
    checked = 0
    for seed in range(60):
        pixels, values = spoiled_faces.view(face, np.random.default_rng(seed))
        if not np.isnan(values[0]) and values[2] == 0 and values[3] == 0:  # neither moved nor stretched much
            light = np.argwhere(pixels.mean(axis=2) > pixels.mean()).mean(axis=0) - 55.5
            angle = np.degrees(np.arctan2(-light[0], -light[1]))  # of what was on the left
            assert abs(angle - np.degrees(np.arctan2(values[1], values[0]))) < 10
            checked += 1
    assert checked >= 15


@pytest.mark.parametrize(("change", "expected", "least"), [(0.01, {0.0}, 20), (0.1, set(), 0), (0.4, {1.0}, 20)])
def test_a_face_is_degraded_where_its_embedding_changed(crops, change, expected, least):
    face = spoiled_faces.Spoiled(crops.pixels[0], False, 0.0, 0.0, change=change)
    seen = [
        spoiled_faces.view(face, np.random.default_rng(seed))[1][2 + CHECKS.index("degraded")] for seed in range(40)
    ]
    known = [value for value in seen if not np.isnan(value)]  # the others are not where a face would be
    assert set(known) == expected and len(known) >= least


def test_the_change_of_a_face_is_that_of_its_embedding(crops):
    class Embedder:
        template = TEMPLATE

        def embed(self, chips):  # the shares of three colors
            sums = chips.astype(float).sum(axis=(1, 2)) + 1
            return sums / np.linalg.norm(sums, axis=1, keepdims=True)

    few = crops.subset(np.arange(3))
    found = spoiled_faces.changes(few, 0, Embedder())
    whole = [align(few.pixels[i], TEMPLATE + np.float32(MARGIN)) for i in range(3)]
    worse = [align(spoiled_faces.degraded(few, 0, i), TEMPLATE + np.float32(MARGIN)) for i in range(3)]
    before, after = Embedder().embed(np.stack(whole)), Embedder().embed(np.stack(worse))
    np.testing.assert_allclose(found, np.maximum(1 - (before * after).sum(axis=1), 1e-6), atol=1e-9)
    assert (found > 0).all()
    np.testing.assert_array_equal(spoiled_faces.degraded(few, 0, 1), spoiled_faces.degraded(few, 0, 1))
    assert (spoiled_faces.degraded(few, 0, 1) != spoiled_faces.degraded(few, 1, 1)).any()
