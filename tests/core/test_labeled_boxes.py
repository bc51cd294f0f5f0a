"""The container of boxes with labels: selection, concatenation and scaling keep all fields together."""

import numpy as np
import pytest
from labeled import boxes

from vision_app.core.labeled_boxes import REGION, LabeledBoxes, missing_landmarks

FOUR = boxes(
    [[0, 0, 10, 20], [5, 5, 15, 9]], [3, 1], [1, 0.5], landmarks=[[[1, 2]], [[np.nan, np.nan]]],
    ignored=[[2, 2, 4, 4]], ignored_labels=[7], regions=[[0, 0, 9, 9]],
)  # fmt: skip


def test_left_out_fields_have_the_usual_values():
    made = LabeledBoxes.make(np.zeros((2, 4)), np.array([0, 1]))
    assert len(made) == 2 and made.scores.tolist() == [1, 1] and not made.ignored.any()
    assert made.landmarks.shape == (2, 0, 2)
    assert LabeledBoxes.empty(points=3).landmarks.shape == (0, 3, 2) and len(LabeledBoxes.empty()) == 0


def test_fields_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="of one length"):
        LabeledBoxes.make(np.zeros((2, 4)), np.array([0]))


@pytest.mark.parametrize("index", [np.array([True, False, True, True]), np.array([0, 2, 3])])
def test_a_selection_keeps_the_fields_together(index):
    chosen = FOUR[index]
    assert chosen.labels.tolist() == [3, 7, REGION] and chosen.ignored.tolist() == [False, True, False]
    assert chosen.xyxy[1].tolist() == [2, 2, 4, 4] and chosen.landmarks[0].tolist() == [[1, 2]]
    assert FOUR.not_ignored.labels.tolist() == [3, 1, REGION] and FOUR[1:2].scores.tolist() == [0.5]


def test_parts_are_put_one_after_the_other():
    both = LabeledBoxes.concatenate([FOUR, FOUR[:1]])
    assert both.labels.tolist() == [3, 1, 7, REGION, 3] and both.landmarks.shape == (5, 1, 2)
    assert both.ignored.dtype == bool and both.xyxy.dtype == np.float32


@pytest.mark.parametrize(("scale", "offset", "box", "point"), [
    (2, (0, 0), [10, 10, 30, 18], [2, 4]),
    ((2, 0.5), (1, 3), [11, 5.5, 31, 7.5], [3, 4]),
])  # fmt: skip
def test_scaling_moves_boxes_and_landmarks(scale, offset, box, point):
    moved = FOUR.scaled(scale, offset)
    assert moved.xyxy[1].tolist() == box and moved.landmarks[0].tolist() == [point]
    assert np.isnan(moved.landmarks[1:]).all() and moved.xyxy.dtype == np.float32
    assert moved.labels is FOUR.labels


def test_missing_landmarks_are_not_a_number():
    assert np.isnan(missing_landmarks(2, 5)).all() and missing_landmarks(2, 5).shape == (2, 5, 2)
