"""What a committee's boxes add to labeled photos, rule by rule."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labeled import boxes

from vision_app.core.errors import DataError
from vision_app.data.names import COCO_CLASSES
from vision_app.data.samples import AnnotatedImage, DetectionSet
from vision_app.data.scan_report import ScanReport
from vision_app.data.teacher import DOUBTED, TRUSTED, add_teacher_boxes, confidence

DOG, CAT, KITE = (COCO_CLASSES.index(name) for name in ("dog", "cat", "kite"))
LABEL = [10.0, 10.0, 50.0, 50.0]  # the photo's one true box, a dog
NEAR, FAR = [12.0, 10.0, 50.0, 50.0], [60.0, 60.0, 90.0, 90.0]
SURE, DOUBTFUL, NOISE = 0.8, 0.2, 0.05  # committee scores: probability 0.99, 0.15 and 0.04


@given(st.lists(st.floats(0, 1), min_size=1))
def test_confidence_is_the_logistic_curve_of_the_score(scores):
    expected = [1 / (1 + math.exp(-10.3 * (score - 0.37))) for score in scores]
    np.testing.assert_allclose(confidence(np.array(scores)), expected, rtol=1e-12)


def test_the_scores_of_this_table_mean_what_their_names_say():
    assert confidence(SURE) > 0.9 and TRUSTED > confidence(DOUBTFUL) > DOUBTED > confidence(NOISE)


def sample(**changes):
    fields = {
        "path": Path("/photos/voc/images/1.jpg"),
        "name": "1.jpg",
        "width": 100,
        "height": 100,
        "boxes": boxes([LABEL], [DOG]),
        "areas": np.array([1600.0], np.float32),
        "labeled": frozenset({DOG, CAT}),
    }
    return AnnotatedImage(**fields | changes)


@pytest.fixture
def teach(tmp_path):
    """Write rows as a file of boxes and add them to one sample."""

    def run(rows, one=None, key="voc/images/1.jpg"):
        path = tmp_path / "boxes.json.gz"
        path.write_bytes(gzip.compress(json.dumps({key: rows}).encode()))
        return add_teacher_boxes(DetectionSet(COCO_CLASSES, (one or sample(),), ScanReport()), path).samples[0]

    return run


@pytest.mark.parametrize(
    ("label", "score", "box", "exhaustive", "becomes"),
    [
        # classes that the photo was not labeled for: the teacher's word counts, except where people named the thing
        (KITE, SURE, FAR, True, "target"),
        (KITE, SURE, NEAR, True, "nothing"),
        (KITE, DOUBTFUL, NEAR, True, "nothing"),
        (KITE, SURE, FAR, False, "target"),
        (KITE, DOUBTFUL, FAR, True, "ignored"),
        (KITE, DOUBTFUL, FAR, False, "ignored"),
        (KITE, NOISE, FAR, True, "nothing"),
        # labeled classes, every object boxed: people are right
        (DOG, SURE, NEAR, True, "nothing"),
        (DOG, SURE, FAR, True, "nothing"),
        (CAT, SURE, FAR, True, "nothing"),
        (DOG, DOUBTFUL, FAR, True, "nothing"),
        # labeled classes, more objects possible: what meets no label may be one
        (DOG, SURE, NEAR, False, "nothing"),
        (DOG, SURE, FAR, False, "ignored"),
        (CAT, SURE, NEAR, False, "ignored"),
        (DOG, DOUBTFUL, FAR, False, "nothing"),
    ],
)
def test_what_becomes_of_a_teachers_box(teach, label, score, box, exhaustive, becomes):
    taught = teach([[label, score, *box]], sample(exhaustive=exhaustive))
    found = taught.boxes.not_ignored
    targets, ignored = found.xyxy.tolist(), taught.boxes.xyxy[taught.boxes.ignored].tolist()
    assert targets == [LABEL, box] if becomes == "target" else targets == [LABEL]
    assert ignored == ([box] if becomes == "ignored" else [])
    assert found.labels.tolist() == ([DOG, label] if becomes == "target" else [DOG])
    sure = [1, confidence(score)] if becomes == "target" else [1]
    np.testing.assert_allclose(found.scores, sure, rtol=1e-6)
    assert found.scores.dtype == np.float32 and found.labels.dtype == np.int64
    assert len(taught.areas) == len(taught.boxes)


def test_a_box_half_over_a_label_is_the_same_object(teach):
    # IoU of 40 x 40 with its upper 20 and 19 rows: 0.5 and 0.475
    rows = [[DOG, SURE, 10, 10, 50, 30], [DOG, SURE, 10, 10, 50, 29]]
    taught = teach(rows, sample(exhaustive=False)).boxes
    assert taught.xyxy[taught.ignored].tolist() == [rows[1][2:]]


def test_what_was_there_stays_and_a_photo_may_have_no_boxes(teach):
    before = sample(boxes=boxes([LABEL], [DOG], ignored=[FAR]))
    after = teach([], before)
    for name in ("xyxy", "labels", "scores", "ignored"):
        np.testing.assert_array_equal(getattr(after.boxes, name), getattr(before.boxes, name))
    assert teach([[KITE, SURE, *NEAR]], sample(boxes=boxes())).boxes.labels.tolist() == [KITE]


def test_photos_are_found_by_their_last_folders_wherever_the_program_runs(teach, tmp_path, monkeypatch):
    (tmp_path / "voc").mkdir()
    monkeypatch.chdir(tmp_path / "voc")
    assert len(teach([[KITE, SURE, *FAR]], sample(path=Path("images/1.jpg"))).boxes) == 2


def test_a_photo_without_an_entry_is_named(teach):
    with pytest.raises(DataError, match=r"boxes\.json\.gz: has no boxes for voc/images/1\.jpg"):
        teach([], key="voc/images/2.jpg")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[KITE, 0.5, 1, 2, 3]], "not rows of six numbers"),
        ([["kite", 0.5, 1, 2, 3, 4]], "not rows of six numbers"),
        ([{}], "not rows of six numbers"),
        ([[80, 0.5, 1, 2, 3, 4]], "unknown class"),
        ([[-1, 0.5, 1, 2, 3, 4]], "unknown class"),
        ([[KITE, 0.5, 1, 2, math.nan, 4]], "not finite"),
    ],
)
def test_malformed_boxes_are_refused_with_the_photo_named(teach, rows, words):
    with pytest.raises(DataError, match=f"the boxes of voc/images/1.jpg .*{words}"):
        teach(rows)


WHOLE = gzip.compress(json.dumps({"voc/images/1.jpg": [[KITE, 0.9, 1, 2, 3, 4]] * 50}).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        WHOLE[:-20],
        WHOLE[:20] + b"\xff" * 20 + WHOLE[40:],
        gzip.compress(b"[1"),
        gzip.compress(b"[]"),
        gzip.compress(b"[" * 50_000),
    ],
    ids=["empty", "not gzipped", "cut short", "damaged", "not JSON", "a list", "deep"],
)
def test_files_that_hold_no_boxes(tmp_path, content):
    path = tmp_path / "boxes.json.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"boxes\.json\.gz: not a"):
        add_teacher_boxes(DetectionSet(COCO_CLASSES, (sample(),), ScanReport()), path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.json\.gz: not a gzipped JSON file .*No such file"):
        add_teacher_boxes(DetectionSet(COCO_CLASSES, (sample(),), ScanReport()), tmp_path / "none.json.gz")
