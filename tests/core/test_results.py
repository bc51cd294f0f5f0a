"""Results: what they accept, what they say and that they cannot be changed."""

import dataclasses
import json

import numpy as np
import pytest

from vision_app.core.results import Classes, Detections


def some(**changes):
    fields = {
        "boxes": [[1, 2, 30.126, 40], [5, 6, 7, 8], [0, 0, 1, 1]],
        "scores": [0.98765, 0.5, 0.25],
        "labels": ("dog", "cat", "dog"),
        "width": 64,
        "height": 48,
        "model": "yolo",
    }
    return Detections(**(fields | changes))


def test_to_dict_is_the_row_of_the_journal():
    assert some().to_dict() == {
        "width": 64,
        "height": 48,
        "model": "yolo",
        "detections": [
            {"label": "dog", "score": 0.9876, "box": [1.0, 2.0, 30.13, 40.0]},
            {"label": "cat", "score": 0.5, "box": [5.0, 6.0, 7.0, 8.0]},
            {"label": "dog", "score": 0.25, "box": [0.0, 0.0, 1.0, 1.0]},
        ],
    }


def test_json_prints_short_numbers_and_no_negative_zero():
    text = json.dumps(some(boxes=[[-0.001, 0.1, 0.3, 1 / 3]], scores=[0.1], labels=["a"]).to_dict())
    assert '"box": [0.0, 0.1, 0.3, 0.33]' in text
    assert '"score": 0.1,' in text


def test_landmarks_appear_only_when_present():
    landmarks = np.arange(12).reshape(3, 2, 2) + 0.004
    row = some(landmarks=landmarks).to_dict()["detections"][1]
    assert row["landmarks"] == [[4.0, 5.0], [6.0, 7.0]]
    assert "landmarks" not in some().to_dict()["detections"][1]


def test_iteration_gives_every_field_of_each_object():
    landmarks = np.arange(12).reshape(3, 2, 2)
    first, second, _ = some(landmarks=landmarks)
    assert (first.label, first.score, first.box.tolist()) == (
        "dog",
        pytest.approx(0.98765),
        pytest.approx([1, 2, 30.126, 40]),
    )
    assert second.landmarks.tolist() == [[4, 5], [6, 7]]
    assert next(iter(some())).landmarks is None


@pytest.mark.parametrize("kind", [int, np.int64])
def test_an_index_gives_one_object(kind):
    found = some()
    assert [found[kind(index)].label for index in (0, 1, -1)] == ["dog", "cat", "dog"]
    assert found[kind(0)].to_dict() == found.to_dict()["detections"][0]
    with pytest.raises(IndexError):
        found[kind(3)]


@pytest.mark.parametrize(
    ("index", "places"),
    [
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        ([2, 0], [2, 0]),
        (np.array([True, False, True]), [0, 2]),
        (np.array([], int), []),
    ],
)
def test_slices_indices_and_masks_give_detections(index, places):
    landmarks = np.arange(12).reshape(3, 2, 2)
    found = some(landmarks=landmarks)
    chosen = found[index]
    assert chosen.to_dict() == found.to_dict() | {"detections": [found.to_dict()["detections"][i] for i in places]}
    assert chosen.landmarks.tolist() == landmarks[places].tolist()
    assert some()[index].landmarks is None


def test_joined_detections_are_those_of_both_in_order():
    with_points = some(landmarks=np.arange(12).reshape(3, 2, 2))
    assert some().joined(some()[[1]]).to_dict()["detections"] == [*some().to_dict()["detections"], some()[1].to_dict()]
    rows = with_points[[0]].joined(with_points[[2, 1]]).to_dict()["detections"]
    assert rows == [with_points[place].to_dict() for place in (0, 2, 1)]


def test_classes_are_pairs_of_a_label_and_a_probability():
    classes = Classes(("dog", "cat"), [0.75, 0.5], 64, 48, "classifier")
    assert list(classes) == [("dog", 0.75), ("cat", 0.5)] and classes[-1] == ("cat", 0.5)


def test_count_names_the_most_frequent_first():
    assert list(some().count().items()) == [("dog", 2), ("cat", 1)]
    assert list(some(labels=("b", "c", "a")).count()) == ["a", "b", "c"]


def test_no_detections_have_length_0_and_an_empty_list():
    nothing = Detections.empty(64, 48, "yolo")
    assert len(nothing) == 0
    assert nothing.boxes.shape == (0, 4)
    assert nothing.to_dict() == {"width": 64, "height": 48, "model": "yolo", "detections": []}


def test_nothing_can_be_changed_afterwards():
    boxes = np.zeros((3, 4), dtype=np.float32)
    detections = some(boxes=boxes)
    boxes[0] = 9
    assert detections.boxes[0].tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="read-only"):
        detections.boxes[0] = 9
    with pytest.raises(ValueError, match="read-only"):
        next(iter(detections)).box[0] = 9
    with pytest.raises(dataclasses.FrozenInstanceError):
        detections.width = 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("boxes", np.zeros((2, 4))),
        ("boxes", np.zeros((3, 5))),
        ("boxes", np.zeros(12)),
        ("boxes", [[3, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]),
        ("boxes", np.full((3, 4), np.nan)),
        ("scores", [0.5, 0.5]),
        ("scores", [0.5, 0.5, 1.1]),
        ("scores", [0.5, 0.5, -0.1]),
        ("scores", [0.5, 0.5, np.nan]),
        ("labels", (1, 2, 3)),
        ("landmarks", np.zeros((3, 5, 3))),
        ("landmarks", np.zeros((2, 5, 2))),
        ("width", 0),
        ("height", -1),
    ],
)
def test_a_wrong_field_is_named(field, value):
    with pytest.raises(ValueError, match=rf"\b{field}\b"):
        some(**{field: value})


def test_an_object_whose_class_has_no_landmarks_says_nothing_of_them():
    landmarks = np.full((2, 3, 2), np.nan)
    landmarks[0] = [[1, 2], [3, 4], [5, 6.5]]
    both = Detections([[0, 0, 9, 9]] * 2, [0.9, 0.8], ("face", "dog"), 10, 10, "m", landmarks)
    face, dog = both
    assert face.landmarks.shape == (3, 2) and dog.landmarks is None
    face, dog = both.to_dict()["detections"]
    assert face["landmarks"] == [[1, 2], [3, 4], [5, 6.5]] and "landmarks" not in dog
    landmarks[0, 0, 0] = np.nan  # a part of an object's landmarks
    with pytest.raises(ValueError, match="landmarks: expected finite numbers"):
        Detections([[0, 0, 9, 9]] * 2, [0.9, 0.8], ("face", "dog"), 10, 10, "m", landmarks)
