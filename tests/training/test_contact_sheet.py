"""Contact sheets, compared with their pixels."""

import numpy as np
import pytest
import torch
from labeled import boxes

from vision_app.core.draw import label_color
from vision_app.training.contact_sheet import BACKGROUND, GAP, IGNORED, contact_sheet, landmark_color

CLASSES = ("cat", "dog")
BLUE = (0, 0, 200)


def image(height, width):
    return np.full((height, width, 3), BLUE, np.uint8)


def test_boxes_are_drawn_in_their_label_s_color_at_the_tile_s_scale():
    sheet = contact_sheet([image(50, 100)], [boxes([[20, 10, 60, 40]], [1])], CLASSES, side=200)
    assert sheet.shape == (100 + 2 * GAP, 200 + 2 * GAP, 3) and sheet.dtype == np.uint8
    assert tuple(sheet[0, 0]) == BACKGROUND
    tile = sheet[GAP:-GAP, GAP:-GAP]
    drawn = (tile == label_color("dog")).all(axis=2)
    assert drawn[50, 40:42].all() and drawn[50, 118:120].all()  # left and right sides of the box, scaled by 2
    assert drawn[78:80, 40:120].all()  # its lower side
    inside = drawn[22:78, 42:118]
    assert not inside.any() and not drawn[:, 121:].any() and not drawn[81:].any()


def test_ignored_boxes_are_gray_and_dashed():
    sheet = contact_sheet([image(100, 100)], [boxes(ignored=[[20, 20, 80, 80]])], CLASSES, side=100)
    side = (sheet[GAP:-GAP, GAP:-GAP][79, 20:80] == IGNORED).all(axis=1)
    assert 0.3 < side.mean() < 0.7
    assert np.abs(np.diff(side.astype(int))).sum() >= 4


def test_a_confidence_is_written_where_it_is_none_that_people_gave():
    sure, unsure = (contact_sheet([image(64, 64)], [boxes([[9, 30, 50, 60]], [0], [c])], CLASSES) for c in (1, 0.5))
    color = label_color("cat")
    assert (unsure == color).all(axis=2).sum() > 1.1 * (sure == color).all(axis=2).sum()


def test_images_of_any_size_go_in_rows():
    shapes = [(50, 100), (100, 50), (10, 10), (30, 30), (100, 20)]
    sheet = contact_sheet([image(*shape) for shape in shapes], [boxes()] * 5, CLASSES, columns=2, side=40)
    assert sheet.shape == (40 + 40 + 40 + 4 * GAP, 2 * 40 + 3 * GAP, 3)
    blue = (sheet == BLUE).all(axis=2)
    assert blue.sum() == 20 * 40 + 40 * 20 + 40 * 40 * 2 + 40 * 8
    assert blue[GAP, GAP] and not blue[GAP + 20, GAP]  # a wide image at the top of its tile


def test_captions_are_under_the_images():
    plain = contact_sheet([image(40, 40)], [boxes()], CLASSES, side=40)
    sheet = contact_sheet([image(40, 40)], [boxes()], CLASSES, side=40, captions=["ground truth"])
    assert sheet.shape[0] > plain.shape[0]
    np.testing.assert_array_equal(sheet[: 40 + GAP], plain[: 40 + GAP])
    assert (sheet[40 + GAP :] == 255).any()


def test_network_inputs_and_their_targets_are_taken_as_they_are():
    target = boxes([[4, 8, 30, 24]], [1], ignored=[[40, 2, 60, 30]])
    images = torch.from_numpy(image(32, 64)).permute(2, 0, 1)[None] / 255
    taken = contact_sheet(images, [target], CLASSES)
    arrays = contact_sheet([image(32, 64)], [target], CLASSES)
    np.testing.assert_array_equal(taken, arrays)


def test_a_sheet_needs_images_and_as_many_targets():
    with pytest.raises(ValueError, match="needs an image"):
        contact_sheet([], [], CLASSES)
    with pytest.raises(ValueError, match="shorter"):
        contact_sheet([image(9, 9)] * 2, [boxes()], CLASSES)


def test_every_landmark_is_a_dot_of_its_own_color_and_an_unknown_one_is_none():
    points = np.float32([[[20, 30], [40, 30], [np.nan, np.nan]]])
    truth = boxes([[10, 10, 90, 90]], [0], landmarks=points)
    sheet = contact_sheet([image(100, 100)], [truth], CLASSES, side=200)
    tile = sheet[GAP:-GAP, GAP:-GAP]
    first, second, third = (landmark_color(i, 3) for i in range(3))
    assert len({first, second, third}) == 3
    assert tuple(tile[60, 40]) == first and tuple(tile[60, 80]) == second
    assert not (tile == third).all(axis=2).any()


def test_proposed_regions_are_not_drawn():
    plain, proposed = boxes([[4, 8, 30, 24]], [1]), boxes([[4, 8, 30, 24]], [1], regions=[[0, 0, 20, 20]] * 3)
    sheets = [contact_sheet([image(32, 64)], [one], CLASSES) for one in (plain, proposed)]
    np.testing.assert_array_equal(*sheets)
