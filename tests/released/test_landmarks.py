"""Named points of objects: read from a COCO file, checked, mirrored and joined."""

import numpy as np
import pytest
from drawn_sets import HEIGHT, WIDTH, coco
from hypothesis import given
from hypothesis import strategies as st

from vision_app.core.errors import DataError
from vision_app.data.coco import load_coco
from vision_app.released.landmarks import NO_LANDMARKS, Landmarks

CATEGORIES = [{"id": 7, "name": "kite", "keypoints": ["left_end", "tail", "right_end"]}, {"id": 8, "name": "ball"}]
POINTS = [30, 20, 2, 0, 0, 0, 79.5, 20.25, 1]


NAMES = [side + part for side in ("", "left_", "right_") for part in ("a", "b", "aa", "ab", "ba", "bb")]


def annotation(**changes):
    return {"id": 1, "image_id": 0, "category_id": 7, "bbox": [30, 20, 50, 40], "keypoints": POINTS} | changes


def load(folder, *rows, categories=CATEGORIES):
    return load_coco(coco(folder / "set", photos=1, annotations=list(rows), categories=categories))


@pytest.mark.parametrize(
    ("names", "flip"),
    [
        ((), ()),
        (("nose",), (0,)),
        (("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"), (1, 0, 2, 4, 3)),
        (("right_ear", "tail", "left_ear"), (2, 1, 0)),
        (("left_horn", "leftover", "mouth_left", "left"), (0, 1, 2, 3)),  # none of them has a partner
    ],
)
def test_left_and_right_change_places_in_a_mirror(names, flip):
    assert Landmarks(names).flip == flip


@given(st.lists(st.sampled_from(NAMES), unique=True, max_size=8))
def test_a_mirror_s_mirror_changes_nothing(names):
    flip = Landmarks(tuple(names)).flip
    assert [flip[i] for i in flip] == list(range(len(names)))


def test_points_of_a_coco_file_are_not_known_where_v_is_0_or_there_are_none(tmp_path):
    ball = annotation(category_id=8, bbox=[1, 1, 9, 9], keypoints=[3, 3, 2])  # of a class without points
    data = load(tmp_path, annotation(), ball, annotation(bbox=[0, 0, 9, 9], keypoints=[]), annotation(iscrowd=1))
    assert data.landmarks == Landmarks(("left_end", "tail", "right_end"), ("kite",)) and not data.report.entries
    (sample,) = data.samples
    found = sample.boxes.not_ignored.landmarks
    assert found.dtype == np.float32 and found.shape == (3, 3, 2) and sample.boxes.ignored.sum() == 1
    np.testing.assert_array_equal(found[0], [[30, 20], [np.nan, np.nan], [79.5, 20.25]])
    assert np.isnan(found[1:]).all()


@pytest.mark.parametrize(
    ("points", "kind", "kept"),
    [
        ([-0.5, HEIGHT + 0.5, 2, 5, 6, 2, WIDTH, 0, 2], None, [[0, HEIGHT], [5, 6], [WIDTH, 0]]),  # rounding
        ([-3, 5, 2, 5, 6, 2, 5, HEIGHT + 3, 2], "point out of range", [None, [5, 6], None]),
        ([-3, 5, 0, 5, 6, 2, 7, 8, 1], None, [None, [5, 6], [7, 8]]),
        ([5, 6, 2], "malformed keypoints", [None] * 3),
        ([5, 6, 2] * 2 + [5, "six", 2], "malformed keypoints", [None] * 3),
        ([5, 6, 2] * 2 + [5, float("nan"), 2], "malformed keypoints", [None] * 3),
        ("all of them", "malformed keypoints", [None] * 3),
    ],
)
def test_odd_points_are_reported_and_the_box_is_kept(tmp_path, points, kind, kept):
    data = load(tmp_path, annotation(keypoints=points))
    wanted = [[np.nan, np.nan] if point is None else point for point in kept]
    np.testing.assert_array_equal(data.samples[0].boxes.landmarks, np.float32([wanted]))
    assert dict(data.report.kinds) == ({kind: 1} if kind else {})
    assert bool(data.report.faults) == (kind == "malformed keypoints")
    assert all("annotation 1 of 0.png" in problem for problem in data.report.problems)


@pytest.mark.parametrize(
    ("keypoints", "words"),
    [
        (["left_end", "tail"], "categories 'kite' and 'ball' name different keypoints"),
        (["a", "a"], "category 'ball' has 'keypoints': ['a', 'a'], not a list of names"),
        (["a", 3], "category 'ball' has 'keypoints': ['a', 3], not a list of names"),
        ("tail", "category 'ball' has 'keypoints': 'tail', not a list of names"),
    ],
)
def test_lists_of_points_that_cannot_be_learned_are_refused(tmp_path, keypoints, words):
    with pytest.raises(DataError) as error:
        load(tmp_path, annotation(), categories=[CATEGORIES[0], CATEGORIES[1] | {"keypoints": keypoints}])
    assert words in str(error.value)


def test_the_digest_follows_the_points_and_their_names(tmp_path):
    other = [{**CATEGORIES[0], "keypoints": ["left_end", "tail", "end"]}, CATEGORIES[1]]
    sets = [
        load(tmp_path, annotation()),
        load(tmp_path, annotation(keypoints=[31, *POINTS[1:]])),
        load(tmp_path, annotation(), categories=other),
        load(tmp_path, annotation(), categories=[{**CATEGORIES[0], "keypoints": []}, CATEGORIES[1]]),
    ]
    assert len({data.digest() for data in sets}) == 4


def test_a_set_without_points_joins_one_with(tmp_path):
    data = load(tmp_path, annotation())
    plain = load(tmp_path, annotation(), categories=[{"id": 7, "name": "kite"}]).relabeled(data.classes, "plain")
    assert plain.landmarks == NO_LANDMARKS and plain.samples[0].boxes.landmarks.shape == (1, 0, 2)
    with pytest.raises(ValueError, match="same classes and landmarks"):
        data.joined(plain)
    both = data.joined(plain.with_landmarks(data.landmarks, "plain"))
    assert both.landmarks == data.landmarks and np.isnan(both.samples[1].boxes.landmarks).all()
    assert both.samples[1].boxes.landmarks.shape == both.samples[0].boxes.landmarks.shape
    assert data.with_landmarks(NO_LANDMARKS, "data").samples[0].boxes.landmarks.shape == (1, 0, 2)
    with pytest.raises(DataError, match=r"^there: its keypoints are left_end, tail, right_end, not nose"):
        data.with_landmarks(Landmarks(("nose",), ("kite",)), "there")


def test_the_classes_that_have_points_are_renamed_with_the_others(tmp_path):
    data = load(tmp_path, annotation()).relabeled(["ball", "box", "kite"], "there")
    assert data.landmarks.classes == ("kite",) and data.samples[0].boxes.labels.tolist() == [2]
