"""What a photo's row says of a face is checked field by field, and each damage is named in plain words."""

import json

import pytest

from vision_app.faces.gallery.fields import check_places, read_places

BOX, POINTS = [1, 2, 3.5, 4], [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
QUALITY = {
    "size": 60.5, "blur": 0.1, "yaw": 1.0, "pitch": -2.0, "roll": 0, "exposure": 0.5, "reasons": ["blurred"],
    "score": 0.9,
}  # fmt: skip


def test_right_fields_are_returned_as_they_are():
    check_places(BOX, POINTS, QUALITY)
    assert read_places(*map(json.dumps, (BOX, POINTS, QUALITY))) == (BOX, POINTS, QUALITY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box": [1, 2, 3]}, "'box' is [1, 2, 3], not four numbers"),
        ({"box": {"a": []}}, "'box' is {'a': []}, not four numbers"),
        ({"box": None}, "'box' is None, not four numbers"),
        ({"box": [10**400, 2, 3, 4]}, "'box' is [10000000000000000"),
        ({"box": [float("inf"), 2, 3, 4]}, "'box' is [inf, 2, 3, 4], not four numbers"),
        ({"box": ["x", 2, 3, 4]}, "'box' is ['x', 2, 3, 4], not four numbers"),
        ({"landmarks": POINTS[:4]}, "'landmarks' is [[1, 2], [3, 4], [5, 6], [7, 8]], not five pairs of numbers"),
        ({"landmarks": [[1], *POINTS[1:]]}, "'landmarks' is [[1], [3, 4], [5, 6], [7, 8], [9, 10]], not five pairs"),
        ({"quality": []}, "'quality' is [], not an object"),
        ({"quality": {}}, "'quality' has no 'size'"),
        ({"quality": QUALITY | {"more": 1}}, "'quality' has 'more', which is none of size, blur, yaw, pitch, roll"),
        ({"quality": QUALITY | {"score": None}}, "'quality' has 'score': None, not a finite number"),
        ({"quality": QUALITY | {"score": "1"}}, "'quality' has 'score': '1', not a finite number"),
        ({"quality": QUALITY | {"score": 10**400}}, "'quality' has 'score': 100000000000000000..."),
        ({"quality": QUALITY | {"blur": float("nan")}}, "'quality' has 'blur': nan, not a finite number"),
        ({"quality": QUALITY | {"size": float("-inf")}}, "'quality' has 'size': -inf, not a finite number"),
        ({"quality": QUALITY | {"reasons": None}}, "'quality' has 'reasons': None, not a list of texts"),
        ({"quality": QUALITY | {"reasons": [1]}}, "'quality' has 'reasons': [1], not a list of texts"),
        ({"quality": QUALITY | {"reasons": "blurred"}}, "'quality' has 'reasons': 'blurred', not a list of texts"),
    ],
)
def test_damaged_fields_are_named(change, message):
    values = {"box": BOX, "landmarks": POINTS, "quality": QUALITY} | change
    with pytest.raises(ValueError, match=r"^'") as error:
        check_places(**values)
    assert str(error.value).startswith(message)
    with pytest.raises(ValueError, match=r"^'") as error:
        read_places(*map(json.dumps, values.values()))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("text", ["", "[1", "[" * 100_000])
def test_a_field_that_is_no_json_is_named(text):
    with pytest.raises(ValueError, match=r"^'landmarks' is not JSON$"):
        read_places(json.dumps(BOX), text, json.dumps(QUALITY))
