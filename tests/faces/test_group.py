"""Grouping of faces without names, held to SciPy's clustering of all faces at once."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from vision_app.faces.group import group_faces, together, write_groups


def unit(values):
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 60), st.floats(0.1, 0.9))
def test_groups_are_those_of_average_linkage_over_all_faces(seed, count, threshold):
    embeddings = unit(np.random.default_rng(seed).standard_normal((count, 4)))
    labels = group_faces(embeddings, threshold)
    wanted = fcluster(linkage(embeddings.astype(float), "average", metric="cosine"), 1 - threshold, "distance")
    assert adjusted_rand_score(wanted, labels) == 1
    sizes = np.bincount(labels)
    assert (np.diff(sizes) <= 0).all() and sizes.all()


def test_a_face_between_two_people_does_not_join_them():
    angles = np.radians([0, 5, 10, 40, 70, 75, 80])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    threshold = np.cos(np.radians(31))
    assert (embeddings[2] @ embeddings[3] > threshold) and (embeddings[3] @ embeddings[4] > threshold)  # a chain
    labels = group_faces(embeddings, threshold)
    assert len({*labels[:3]}) == len({*labels[4:]}) == 1 and labels[0] != labels[6]


@pytest.mark.parametrize(("count", "labels"), [(0, []), (1, [0]), (2, [0, 1])])
def test_none_one_and_two_different_faces_are_groups_of_their_own(count, labels):
    assert group_faces(np.eye(2, dtype=np.float32)[:count].reshape(count, 2), 0.5).tolist() == labels


def test_faces_that_are_hard_to_recognize_join_no_group_and_are_listed_with_their_reasons(tmp_path):
    def face(number, *reasons):
        return {"box": [number, 0, 9, 9], "quality": {"reasons": list(reasons)}, "embedding": [1.0, 0.0]}

    rows = [
        {"file": "a.jpg", "contract": "m", "faces": [face(1), face(2, "blurred", "too_small")]},
        {"file": "b.jpg", "contract": "m", "faces": [face(3), face(4, "under_exposed")]},
    ]
    assert write_groups(tmp_path / "groups.json", rows, threshold=0.5, far=0.001) == 1
    content = json.loads((tmp_path / "groups.json").read_text())
    (group,) = content["groups"]
    assert group["faces"] == [{"file": "a.jpg", "box": [1, 0, 9, 9]}, {"file": "b.jpg", "box": [3, 0, 9, 9]}]
    assert content["left_out"] == 2 and content["ungrouped"] == [
        {"file": "a.jpg", "box": [2, 0, 9, 9], "reasons": ["blurred", "too_small"]},
        {"file": "b.jpg", "box": [4, 0, 9, 9], "reasons": ["under_exposed"]},
    ]
    assert list(content) == ["contract", "threshold", "far", "groups", "together", "left_out", "ungrouped"]


def test_people_are_together_in_the_files_that_show_both():
    labels = [0, 1, 0, 1, 2, 0, 0]
    files = ["a", "a", "b", "b", "b", "c", "c"]
    assert together(labels, files) == {(0, 1): 2, (0, 2): 1, (1, 2): 1}
