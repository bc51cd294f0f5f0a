"""Every value of model.json that another part relies on is checked when the model is opened."""

import json
from copy import deepcopy

import pytest

from vision_app.core.errors import ModelError
from vision_app.released.find import available, find
from vision_app.released.schema import unusable_key

INFO = {
    "task": "detection",
    "classes": ["cat", "dog"],
    "architecture": {"classes": 2, "strides": [8, 16], "anchors": [[[9, 9.5]], [[30, 40]]], "landmarks": 1},
    "input": {"size": 64, "pad": 114, "stretch": 1.5},
    "defaults": {"confidence": 0.3, "iou": 0.5, "max_detections": 100},
    "landmarks": {"names": ["nose"], "flip": [0], "classes": ["cat"]},
    "parameters": 12,
    "files": {"weights.safetensors": {"sha256": "0" * 64, "bytes": 12}},
}
NAN, INFINITY = float("nan"), float("inf")
FILE = {"sha256": "0" * 64, "bytes": 12}


def test_what_the_released_models_say_can_be_used():
    assert unusable_key(INFO) is None
    assert [unusable_key(find(name).info) for name in available()] == [None] * len(available())


@pytest.mark.parametrize(
    ("key", "values"),
    {
        "task": [None, 5, [], "x" * 2000],
        "classes": [
            None, 5, "cat", {"0": "cat"}, ["cat", 5], ["cat", None], ["cat", "x" * 2000], ["cat"], ["a", "b", "c"], [],
        ],
        "architecture": [None, [], "yolo", {"w": NAN}, {"w": 10**9}, {"w": "x" * 2000}, {"w": [0] * 200_000}],
        "architecture.classes": [None, 3, 0, -2, 2.0, True, "2", [2], 10**12],
        "architecture.strides": [None, 8, "8", [8, "16"], [8, 0], [8, -16], [8, None], [8.5], [[8]]],
        "architecture.anchors": [None, 5, [5], [[5]], [[[9, "9"]]], [[[9, 0]]], [[[9, NAN]]], [[[9, -3]]], [[[None]]]],
        "input": [None, [], 64],
        "input.size": [None, 0, -64, 64.0, "64", True, [64], 10**9, NAN],
        "input.pad": [None, -1, 256, 1.5, "114"],
        "input.stretch": [None, 0, 0.5, 100, "1.5", NAN, INFINITY, True],
        "defaults": [None, [], {"limits": [0.5, NAN]}],
        "defaults.confidence": [None, -0.1, 1.1, "0.3", NAN, True, [0.3]],
        "defaults.iou": [None, 2, NAN, "0.5"],
        "defaults.max_detections": [None, 0, -1, 1.5, "100", True, 10**9],
        "landmarks": [None, [], "nose"],
        "landmarks.names": [None, 5, "nose", [5], ["nose", "eye"], []],
        "landmarks.classes": [None, "cat", [5]],
        "parameters": [None, -1, 1.5, "12"],
        "files": [
            None, [], {"a": None}, {"a": "digest"}, {"a": {}}, {"a": {"sha256": 5}},
            *({name: FILE} for name in ("../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "a\0", "C:a")),
            *({"a": {**FILE, "bytes": size}} for size in (-1, 1.5, None, "12")), {"x" * 256: FILE},
        ],
    }.items(),
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_named(tmp_path, key, values):
    *path, last = key.split(".")
    for value in values:
        info = deepcopy(INFO)
        place = info
        for part in path:
            place = place[part]
        place[last] = value
        found = unusable_key(info)
        assert found is not None and (found in key or key in found), value
        (tmp_path / "model.json").write_text(json.dumps(info))
        with pytest.raises(ModelError, match=rf"model\.json: has no usable '{found}'"):
            find(tmp_path)


@pytest.mark.parametrize("info", [None, 5, "x", [], [INFO], {}])
def test_what_is_no_object_lacks_its_first_key(info):
    assert unusable_key(info) == "task"


def test_landmarks_must_fit_the_architecture():
    assert unusable_key({key: value for key, value in INFO.items() if key != "landmarks"}) == "landmarks.names"


def test_deep_nesting_is_refused(tmp_path):
    (tmp_path / "model.json").write_text('{"task":' * 50_000)
    with pytest.raises(ModelError, match=r"model\.json: cannot be read \(nested too deeply\)"):
        find(tmp_path)
    nested = deepcopy(INFO)
    nested["architecture"]["more"] = json.loads("[" * 500 + "]" * 500)
    assert unusable_key(nested) == "architecture"
