"""Annotations of COCO-style files, good and bad, become boxes and a report."""

import json

import numpy as np
import pytest
from coco_files import CATEGORIES, annotation, image
from hypothesis import given
from hypothesis import strategies as st
from image_files import quadrants
from PIL import Image

from vision_app.core.errors import DataError
from vision_app.data.coco import load_coco


def test_crowds_and_difficult_objects_are_ignored(write):
    rows = [
        annotation(1, [1, 1, 9, 9], iscrowd=1),
        annotation(1, [2, 2, 9, 9], difficult=1),
        annotation(1, [3, 3, 9, 9], difficult=0, iscrowd=0),
    ]
    (sample,) = load_coco(write([image(1)], rows)).samples
    np.testing.assert_array_equal(sample.boxes.xyxy, [[1, 1, 10, 10], [2, 2, 11, 11], [3, 3, 12, 12]])
    assert sample.boxes.ignored.tolist() == [True, True, False]


def test_a_photo_labeled_for_animals_only_says_so(write):
    found = load_coco(write([image(1, labels="voc20"), image(2, labels="all")]))
    assert [sample.exhaustive for sample in found.samples] == [False, True]


@pytest.mark.parametrize(
    ("bbox", "kind", "kept"),
    [
        ([10, 10, 20, 20], None, [10, 10, 30, 30]),
        ([-0.5, 0, 64.9, 48.4], None, [0, 0, 64, 48]),  # rounding is no mistake
        ([-5, 10, 20, 20], "box out of range", [0, 10, 15, 30]),
        ([50, 40, 30, 30], "box out of range", [50, 40, 64, 48]),
        ([10, 10, 0, 5], "empty box", None),
        ([10, 10, 5, -5], "empty box", None),
        ([10, 10, 0.5, 20], "empty box", None),
        ([70, 10, 20, 20], "empty box", None),
    ],
)
def test_boxes_are_clipped_to_the_photo_and_odd_ones_reported(write, bbox, kind, kept):
    found = load_coco(write([image(1)], [annotation(1, bbox), annotation(1, [1, 1, 9, 9])]))
    assert found.samples[0].boxes.xyxy.tolist() == ([kept] if kept else []) + [[1, 1, 10, 10]]
    assert dict(found.report.kinds) == ({kind: 1} if kind else {})
    assert all("annotation 101 of 1.png" in problem and str(bbox) in problem for problem in found.report.problems)


@given(x=st.floats(-100, 100), y=st.floats(-100, 100), w=st.floats(-10, 200), h=st.floats(-10, 200))
def test_whatever_the_box_what_is_kept_lies_in_the_photo(tmp_path_factory, x, y, w, h):
    folder = tmp_path_factory.mktemp("set")
    Image.new("RGB", (64, 48)).save(folder / "1.png")
    rows = [annotation(1, [x, y, w, h]), annotation(1, [1, 1, 2, 2], iscrowd=1)]
    content = {"images": [image(1)], "annotations": rows, "categories": CATEGORIES}
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    found = load_coco(folder / "boxes.json")
    for x1, y1, x2, y2 in found.samples[0].boxes.xyxy:
        assert 0 <= x1 < x2 <= 64 and 0 <= y1 < y2 <= 48 and x2 - x1 > 0.99 and y2 - y1 > 0.99
    assert len(found.samples[0].boxes.not_ignored) == 1 - found.report.kinds["empty box"]


def test_a_photo_of_which_one_row_is_unusable_is_left_out(write):
    rows = [annotation(1, [1, 1, 9, 9]), annotation(1, [2, 2, 9, 9], category_id=99), annotation(2, [1, 1, 9, 9])]
    found = load_coco(write([image(1), image(2)], rows))
    assert [sample.name for sample in found.samples] == ["2.png"]
    assert found.report.problems[-1] == "unknown object: a row of 1.png cannot be used (left out)"


def test_a_photo_of_which_no_row_is_usable_is_left_out_and_one_without_rows_is_kept(write):
    rows = [annotation(1, [10, 10, 0, 5]), annotation(1, [1, 1, 9, 9], category_id=99)]
    rows += [annotation(3, [1, 1, 9, 9]), annotation(3, [2, 2, 9, 9])]
    found = load_coco(write([image(1), image(2), image(3)], rows))
    assert [sample.name for sample in found.samples] == ["2.png", "3.png"]
    assert found.report.problems[-1] == "no usable box: none of the 2 rows of 1.png is usable (left out)"
    assert found.report.faults[-1] == found.report.problems[-1]


OUTLINE = [[10, 12, 40, 12, 40, 30, 10, 30]]
NAN, HUGE = float("nan"), 10**400


@pytest.mark.parametrize(
    ("images", "annotations", "words"),
    [
        ([image(2, width=NAN)], [], "images[1] has 'width': nan"),
        ([image(2, height=-1)], [], "images[1] has 'height': -1"),
        ([image(2, height="wide")], [], "images[1] has 'height': 'wide'"),
        ([image(True)], [], "images[1] has 'id': True"),
        ([image(2.5)], [], "images[1] has 'id': 2.5"),
        ([image(2, height=HUGE)], [], "images[1] has 'height': 1000"),
        ([image(2, file_name=None)], [], "images[1] has 'file_name': None"),
        ([image(2, id=[2])], [], "images[1] has 'id': [2]"),
        ([{"id": 2, "width": 64, "height": 48}], [], "images[1] has no 'file_name'"),
        (["2.png"], [], "images[1] is '2.png', not an object"),
        ([], [annotation(1, [1, 2, 3])], "annotations[1] has 'bbox': [1, 2, 3], not four numbers"),
        ([], [annotation(1, [1, 2, 3, NAN])], "annotations[1] has 'bbox': [1, 2, 3, nan], not four numbers"),
        ([], [annotation(1, [1, 2, 3, "wide"])], "annotations[1] has 'bbox': [1, 2, 3, 'wide'], not four numbers"),
        ([], [annotation(1, [1, 2, 3, 4, 0.5])], "annotations[1] has 'bbox': [1, 2, 3, 4, 0.5], not four numbers"),
        ([], [annotation(1, [])], "annotations[1] has 'bbox': [], not four numbers"),
        ([], [annotation(1, [], segmentation=[[1, 2, 3, 4]])], "annotations[1] has 'bbox': [], not four numbers"),
        (
            [],
            [annotation(1, [], segmentation={"counts": "abc", "size": [9, 9]})],
            "annotations[1] has 'bbox': [], not four numbers",
        ),
        ([], [annotation(1, [1, 2, 3, 4], category_id=1.5)], "annotations[1] has 'category_id': 1.5"),
        ([], [annotation(1, None)], "annotations[1] has 'bbox': None, not four numbers"),
        ([], [{"image_id": 1, "category_id": 7}], "annotations[1] has no 'bbox'"),
        ([], [{"image_id": 1, "bbox": [1, 1, 9, 9]}], "annotations[1] has no 'category_id'"),
        ([], [{"category_id": 7, "bbox": [1, 1, 9, 9]}], "annotations[1] has no 'image_id'"),
        ([], [annotation(1, [1, 1, 9, 9], category_id={})], "annotations[1] has 'category_id': {}"),
        ([], [None], "annotations[1] is None, not an object"),
    ],
)
def test_malformed_rows_are_named_and_the_others_used(write, tmp_path, images, annotations, words):
    path = write([image(1), *images, image(9)], [annotation(9, [2, 2, 9, 9]), *annotations], photos=False)
    for number in "19":
        Image.fromarray(quadrants()).save(tmp_path / "images" / f"{number}.png")
    found = load_coco(path)
    problem, *left_out = found.report.problems
    assert problem.startswith(f"malformed row: {words}") and len(problem) < 120
    kept = [] if any(row and row.get("image_id") == 1 for row in annotations) else ["1.png"]
    assert [sample.name for sample in found.samples] == [*kept, "9.png"] and len(left_out) == 1 - len(kept)
    assert found.samples[-1].boxes.xyxy.tolist() == [[2, 2, 11, 11]]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bbox": ["10", "12", "30", "18"]}, "number written as text: 1, such as annotation 101 of 1.png: ['10', '12'"),
        ({"bbox": None, "segmentation": OUTLINE}, "box from its outline: 1, such as annotation 101 of 1.png"),
        ({"bbox": [], "segmentation": [*OUTLINE, [20, 14, 22, 14, 22, 16]]}, "box from its outline: 1"),
        ({"bbox": [10, 12, 0, 0], "segmentation": OUTLINE}, "box from its outline: 1"),
        ({"bbox": [10, 12, 30, 18, 0.5], "segmentation": OUTLINE}, "box from its outline: 1"),
        ({"bbox": [10, 12, 30, NAN], "segmentation": OUTLINE[0]}, "box from its outline: 1"),
        ({"category_id": 7.0}, "id of another type: 1, such as 'category_id': 7.0 for 7"),
        ({"image_id": "1"}, "id of another type: 1, such as 'image_id': '1' for 1"),
        ({"iscrowd": "0"}, "flag written as text: 1, such as annotation 101 of 1.png: 'iscrowd' is '0'"),
        ({"difficult": "false"}, "flag written as text: 1, such as annotation 101 of 1.png: 'difficult' is 'false'"),
        ({"iscrowd": "maybe"}, "unknown flag: 1, such as annotation 101 of 1.png: 'iscrowd' is 'maybe' (taken as not"),
        ({"iscrowd": ""}, None),
    ],
)
def test_what_can_be_understood_is_taken_and_counted(write, changes, told):
    found = load_coco(write([image(1), image(2)], [annotation(1, [10, 12, 30, 18]) | changes]))
    assert [sample.boxes.xyxy.tolist() for sample in found.samples] == [[[10, 12, 40, 30]], []]
    assert not found.samples[0].boxes.ignored.any() and found.report.faults == []
    assert [problem[: len(told or "")] for problem in found.report.problems] == ([told] if told else [])


@pytest.mark.parametrize("flag", [1, True, "1", "true", "True", 1.0])
def test_flags_that_are_set_in_any_words_are_set(write, flag):
    found = load_coco(write([image(1)], [annotation(1, [1, 1, 9, 9], iscrowd=flag)]))
    assert found.samples[0].boxes.ignored.tolist() == [True]


@pytest.mark.parametrize(
    "changes", [{"bbox": [1, 1, 9, NAN]}, {"bbox": "1 1 9 9"}, {"bbox": [1, 1, 9, 9, 9]}, {"category_id": None}]
)
def test_a_photo_whose_annotations_cannot_be_used_is_no_background(write, changes):
    good = [annotation(i, [1, 1, 9, 9]) for i in (1, 2)]
    found = load_coco(write([image(i) for i in (1, 2, 3)], [*good, annotation(3, [1, 1, 9, 9]) | changes]))
    assert [sample.name for sample in found.samples] == ["1.png", "2.png"]
    assert found.report.kinds == {"malformed row": 1, "no usable box": 1}
    bad = [annotation(i, [1, 1, 9, 9]) | changes for i in (2, 3)]
    with pytest.raises(DataError, match=r"2 of 3 rows of its annotations cannot be used \(malformed row: annot"):
        load_coco(write([image(i) for i in (1, 2, 3)], [good[0], *bad]))
