"""Which classes a photo shows, and the figures of an evaluation against scikit-learn's and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labeled import boxes
from sklearn.metrics import average_precision_score

from vision_app.classification.evaluate.evaluation import average_precision, evaluate, summary, to_dict, write_report
from vision_app.data.samples import AnnotatedImage, DetectionSet, presence

CLASSES = ("cat", "dog", "sofa", "bus")
BOX = (10, 10, 50, 60)


def sample(labels=(), ignored=(), labeled=(0, 1, 2, 3), scores=None, **more) -> AnnotatedImage:
    """A photo of 100 x 80 with a box at one place for each label."""
    found = boxes([BOX] * len(labels), labels, scores, ignored=[BOX] * len(ignored), ignored_labels=ignored)
    areas = np.ones(len(found), np.float32)
    return AnnotatedImage(Path("photo.jpg"), "photo.jpg", 100, 80, found, areas, frozenset(labeled), **more)


NAN = float("nan")


@pytest.mark.parametrize(
    ("photo", "options", "expected"),
    [
        (sample(), {}, [0, 0, 0, 0]),
        (sample([0, 2, 0]), {}, [1, 0, 1, 0]),
        (sample([0], ignored=[0, 1]), {}, [1, NAN, 0, 0]),
        (sample([0], labeled=[0, 1]), {}, [1, 0, NAN, NAN]),
        (sample([0, 2, 2], ignored=[3], labeled=[0, 1], scores=[1, 0.4, 0.7]), {"taught": True}, [1, 0, 0.7, NAN]),
        (sample([0], ignored=[1], exhaustive=False), {}, [1, NAN, NAN, NAN]),
        (sample([0], ignored=[1], exhaustive=False), {"taught": True}, [1, NAN, 0, 0]),  # a doubt is ignored
        (sample([0, 1, 1], ignored=[2]), {"visible": boxes([BOX], [1])}, [NAN, 1, NAN, 0]),
    ],
)
def test_a_class_is_present_absent_or_unknown_by_its_boxes(photo, options, expected):
    np.testing.assert_allclose(presence(photo, 4, **options), np.float32(expected))


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.integers(0, 6)), min_size=1, max_size=30))
def test_average_precision_is_that_of_scikit_learn(pairs):
    truth, probabilities = np.array(pairs, float).T
    known = ~np.isnan(truth)
    found = average_precision(truth, probabilities / 6)
    if len({*truth[known]}) < 2:  # all show it or none does
        assert np.isnan(found)
    else:
        assert found == pytest.approx(average_precision_score(truth[known], probabilities[known]), abs=1e-12)


def row(box=None, **probabilities):
    ordered = sorted(probabilities.items(), key=lambda pair: -pair[1])
    return {"classes": [{"label": label, "probability": p} for label, p in ordered], "box": box}


@pytest.fixture
def evaluation():
    """Cats are ranked 1, 3; dogs 1, of two photos that count; a couch is a sofa; there is no bus."""
    samples = (sample([0]), sample([1]), sample([0], ignored=[1]), sample([2]))
    hit, miss = [12, 12, 50, 60], [40, 10, 90, 60]
    rows = [
        row(hit, cat=0.9, dog=0.3, couch=0.1),
        row(miss, cat=0.8, dog=0.7),
        row(None, cat=0.4, dog=0.95, bus=0.2),
        row(hit, couch=0.6, kite=0.1),
    ]
    return evaluate(DetectionSet(CLASSES, samples), rows)


def test_figures_of_four_photos_are_those_counted_by_hand(evaluation):
    assert evaluation.photos.tolist() == [2, 1, 1, 0]
    np.testing.assert_allclose(evaluation.precision, [(1 + 2 / 3) / 2, 1, 1, NAN])
    assert evaluation.mean == pytest.approx((5 / 6 + 2) / 3)
    assert evaluation.located == pytest.approx(2 / 3)  # of three boxes; the second says "cat" of a dog


def test_a_class_that_every_photo_shows_is_not_judged():
    """Nor is one that every photo shows where it counts: the dog is difficult in the first."""
    samples = sample([0], ignored=[1]), sample([0, 1, 2]), sample([0, 1])
    rows = [row(cat=0.9, dog=0.3, couch=0.5), row(cat=0.1, dog=0.2, couch=0.4), row(cat=0.3, dog=0.1)]
    evaluation = evaluate(DetectionSet(CLASSES, samples), rows)
    np.testing.assert_equal(evaluation.precision, [NAN, NAN, 0.5, NAN])
    assert evaluation.photos.tolist() == [3, 2, 1, 0] and evaluation.mean == 0.5
    assert [line["AP"] for line in to_dict(evaluation)["classes"]] == [None, None, 0.5, None]
    text = "\n".join(summary(evaluation))
    assert "mAP 0.500 over 1 class\nnot judged, since every photo that counts shows them: cat, dog\n" in text
    alone = evaluate(DetectionSet(("cat",), (sample([0]),)), rows[:1])
    assert np.isnan(alone.mean) and to_dict(alone)["mAP"] is None
    assert [*summary(alone)] == [
        "no mAP: no class can be judged", "not judged, since every photo that counts shows them: cat"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("photo", "label", "bottom", "located"),
    [
        (sample([0]), "cat", 34.5, 0),  # the upper 49 % of the cat
        (sample([0]), "cat", 35.5, 1),
        (sample(ignored=[0]), "cat", 34.5, 0),
        (sample(ignored=[0]), "cat", 35.5, 1),  # a difficult object is one, too
        (sample([1], ignored=[2]), "cat", 60, 0),
        (sample([2]), "couch", 60, 1),
        (sample([2]), "sofa", 60, 1),
        (sample([0]), "kite", 60, NAN),  # a class that the ground truth lacks
    ],
)
def test_a_box_is_right_that_meets_an_object_of_its_class_by_half(photo, label, bottom, located):
    evaluation = evaluate(DetectionSet(CLASSES, (photo,)), [row([10, 10, 50, bottom], **{label: 0.9})])
    np.testing.assert_equal(evaluation.located, located)


def test_the_report_holds_the_figures(evaluation, tmp_path):
    write_report(evaluation, tmp_path, {"data": "set"})
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content == {"data": "set"} | to_dict(evaluation)
    assert content["mAP"] == 0.9444 and content["located"] == 0.6667
    assert content["classes"][3] == {"class": "bus", "photos": 0, "AP": None}
    lines = (tmp_path / "classes.csv").read_text().splitlines()
    assert lines == ["class,photos,AP", "cat,2,0.8333", "dog,1,1.0", "sofa,1,1.0", "bus,0,"]
    text = "\n".join(summary(evaluation))
    assert "mAP 0.944 over 3 classes" in text and "66.7%" in text and "bus" not in text
