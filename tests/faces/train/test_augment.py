"""Augmented faces: what each change does to the pixels, and that the same seed gives the same face."""

import cv2
import numpy as np
import pytest
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.faces.align import MARGIN, SIDE, SIZE, TEMPLATE, align
from vision_app.faces.train import augment
from vision_app.faces.train.augment import augmented
from vision_app.released.find import find

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255))
COUNT = 60


@pytest.fixture(scope="module")
def crop():
    return align(data.astronaut(), ASTRONAUT, TEMPLATE + np.float32(MARGIN), SIDE)


def generators():
    return [np.random.default_rng(seed) for seed in range(COUNT)]


def dotted():
    """A gray crop with a dot of its own color on each landmark."""
    pixels = np.full((SIDE, SIDE, 3), 128, np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for (cx, cy), color in zip(TEMPLATE + MARGIN, COLORS, strict=True):
        pixels[(x - cx) ** 2 + (y - cy) ** 2 <= 16] = color
    return pixels


def places(pixels):
    """(5, 2) the centers of the dots."""
    found = []
    for color in COLORS:
        y, x = np.nonzero(np.abs(pixels.astype(int) - color).sum(axis=2) < 150)
        found.append([x.mean() + 0.5, y.mean() + 0.5])
    return np.array(found)


def test_an_augmented_face_depends_on_its_seed_alone_and_leaves_the_crop_unchanged(crop):
    before, first = crop.copy(), augmented(crop, TEMPLATE, 1, 2, 3)
    assert first.shape == (SIZE, SIZE, 3) and first.dtype == np.uint8
    np.random.seed(5)
    augmented_faces = [augmented(crop, TEMPLATE, 1, 2, place) for place in range(COUNT)]
    np.testing.assert_array_equal(augmented_faces[3], first)
    assert len({face.tobytes() for face in augmented_faces}) == COUNT
    np.testing.assert_array_equal(crop, before)
    gray = np.mean([(face == face[..., :1]).all() for face in augmented_faces])
    assert 0.15 < gray < 0.6


@pytest.mark.parametrize("flip", [False, True])
def test_a_warp_moves_landmarks_slightly_and_flips_them_exactly(flip):
    pixels, moves = dotted(), []
    for generator in generators():
        found = places(augment.warped(pixels, generator, flip=flip))
        moves.append(([SIZE, 0] + found * [-1, 1] if flip else found) - TEMPLATE)
    moves = np.array(moves)  # (COUNT, 5, 2)
    limit = augment.SHIFT + 60 * (np.exp(augment.SCALE) - 1) + 60 * np.deg2rad(augment.ROTATION)
    assert np.abs(moves).max() < limit and np.abs(moves).max() > augment.SHIFT / 2
    assert np.abs(moves.mean(axis=0)).max() < 1.5  # no direction is preferred
    still = augment.warped(pixels, Still(), flip=flip)
    middle = pixels[MARGIN:-MARGIN, MARGIN:-MARGIN]
    np.testing.assert_array_equal(still, middle[:, ::-1] if flip else middle)


class Still:
    """Draws the middle of every range."""

    def uniform(self, low, high, size=None):
        middle = (low + high) / 2
        return middle if size is None else np.full(size, middle)


def test_gray_is_the_brightness_in_all_channels(crop):
    face = augment.gray(crop)
    assert (face == face[..., :1]).all()
    assert np.abs(face[..., 0] - crop @ [0.299, 0.587, 0.114]).max() <= 1


def test_light_keeps_the_order_of_brightness_and_spans_dark_and_bright(crop):
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    means = []
    for generator in generators():
        lit = augment.lit(ramp, generator)
        assert (np.diff(lit.astype(int), axis=1) >= 0).all()
        means.append(lit.mean())
    assert min(means) < 100 and max(means) > 155 and abs(np.mean(means) - 127.5) < 15


def test_a_low_resolution_and_compression_lose_detail_but_not_the_face(crop):
    face = crop[MARGIN:-MARGIN, MARGIN:-MARGIN]
    detail = cv2.Laplacian(face, cv2.CV_64F).std()
    for change in (augment.low_resolution, augment.compressed):
        changed = [change(face, generator) for generator in generators()]
        assert {one.shape for one in changed} == {face.shape}
        assert max(np.abs(one.astype(int) - face).mean() for one in changed) < 25
    small = [cv2.Laplacian(augment.low_resolution(face, generator), cv2.CV_64F).std() for generator in generators()]
    assert min(small) < 0.2 * detail and max(small) < 1.1 * detail


@pytest.mark.parametrize("template", [TEMPLATE, np.float32(find("face-embedder").value("input.template", list))])
def test_masks_cover_the_mouth_and_sunglasses_the_eyes(crop, template):
    eyes, mouth = template[:2], template[3:].mean(axis=0)

    def changed(draw, place, radius, generator):
        """Share of the pixels around a place in the aligned face."""
        covered = crop.copy()
        draw(covered, template + MARGIN, generator)
        y, x = np.mgrid[:SIDE, :SIDE] + 0.5 - MARGIN
        return (covered != crop).any(axis=2)[(x - place[0]) ** 2 + (y - place[1]) ** 2 <= radius**2].mean()

    for generator in generators()[:20]:
        assert changed(augment.mask, mouth, 8, generator) > 0.95
        assert changed(augment.mask, eyes[0], 5, generator) < 0.1
        assert min(changed(augment.sunglasses, eye, 5, generator) for eye in eyes) > 0.95
        assert changed(augment.sunglasses, mouth, 8, generator) == 0


def test_a_box_covers_no_more_than_a_ninth_of_the_face(crop):
    for generator in generators():
        covered = crop.copy()
        augment.box(covered, TEMPLATE + MARGIN, generator)
        y, x = np.nonzero((covered != crop).any(axis=2))
        assert min(x.min(), y.min()) >= MARGIN and max(x.max(), y.max()) < MARGIN + SIZE
        assert 0 < len(x) <= (SIZE / 3) ** 2


@pytest.mark.parametrize("seed", range(12))
def test_a_motion_spreads_a_point_over_a_line_and_keeps_its_light(seed):
    dot = np.zeros((112, 112, 3), np.uint8)
    dot[56, 56] = 255
    light = augment.shaken(dot, np.random.default_rng(seed))[..., 0].astype(float)
    rows, columns = np.nonzero(light)
    spread = np.linalg.svd(np.column_stack([rows, columns]) - [rows.mean(), columns.mean()], compute_uv=False)
    length, width = np.sqrt(12 / len(rows)) * spread  # of a rectangle of as much variance
    assert augment.LENGTHS[0] * 112 - 1 < length < augment.LENGTHS[1] * 112 + 3 and width < max(4, length / 3)
    assert light.sum() == pytest.approx(255, rel=0.25)  # rounded to whole levels, pixel by pixel
    plain = augment.shaken(np.full((112, 112, 3), 90, np.uint8), np.random.default_rng(seed))
    assert np.ptp(plain) == 0 and abs(int(plain[0, 0, 0]) - 90) <= 1
