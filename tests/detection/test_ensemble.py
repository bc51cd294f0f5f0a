"""Ensembles and test-time augmentation, on small networks with random weights."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from skimage import data
from tiny_detectors import NAMES
from tiny_members import write_members

from vision_app import Detections, DetectOptions, Detector
from vision_app.core.boxes import nms
from vision_app.core.errors import ModelError, UsageError
from vision_app.core.images import read_image
from vision_app.detection.ensemble import MEMBER, OVERLAP, Ensemble, FlippedDetector, fuse

DOUBTFUL = DetectOptions(confidence=0.05, iou=0.6)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_members(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def home(models, monkeypatch):
    monkeypatch.setenv("VISION_APP_MODELS", str(models))


@pytest.fixture(scope="module")
def pictures():
    photos = [data.coffee()[::5, ::5], data.rocket()[::6, ::6]]
    return [read_image(np.ascontiguousarray(photo)) for photo in photos]


def fused(answers, options):
    """What an ensemble must make of its members' answers."""
    labels = [np.array([NAMES.index(label) for label in one.labels], int) for one in answers]
    boxes, scores, labels = fuse(
        [one.boxes for one in answers], [one.scores for one in answers], labels, iou_threshold=OVERLAP
    )
    keep = nms(boxes, scores, labels, score_threshold=options.confidence, iou_threshold=options.iou, max_detections=20)
    return Detections(
        boxes[keep], scores[keep], [NAMES[i] for i in labels[keep]], answers[0].width, answers[0].height, "one+two"
    )


def test_an_ensemble_joins_what_its_members_find(pictures):
    joined, members = Detector.load("one+two"), [Detector.load(name) for name in ("one", "two")]
    answers = [member.predict(pictures, MEMBER) for member in members]
    expected = [fused(found, DOUBTFUL) for found in zip(*answers, strict=True)]
    found = joined.predict(pictures, DOUBTFUL)
    assert sum(map(len, found)) > 10
    assert [one.to_dict() for one in found] == [one.to_dict() for one in expected]


def test_pictures_can_be_prepared_one_by_one_and_joined(pictures):
    joined = Detector.load("one+two", tta=True)
    parts = [joined.preprocess([picture]) for picture in pictures]
    batch = joined.postprocess(joined.forward(joined.join(parts)), DOUBTFUL)
    for picture, found in zip(pictures, batch, strict=True):
        (alone,) = joined.predict([picture], DOUBTFUL)
        assert alone.labels == found.labels
        np.testing.assert_allclose(alone.boxes, found.boxes, atol=1e-2)
        np.testing.assert_allclose(alone.scores, found.scores, atol=1e-5)


def test_augmentation_looks_at_three_sizes_each_in_a_mirror_too(pictures):
    detector, augmented = Detector.load("one"), Detector.load("one", tta=True)
    views = [view for view in augmented.members if not isinstance(view, FlippedDetector)]
    assert [view.size for view in views] == [64, 96, 128]  # to multiples of 32
    assert [view.detector.size for view in augmented.members if isinstance(view, FlippedDetector)] == [64, 96, 128]
    assert detector.size == 96  # as it was
    picture = pictures[0]
    mirror = replace(picture, pixels=np.ascontiguousarray(picture.pixels[:, ::-1]))
    answers = []
    for view in views:
        (plain,), (mirrored,) = view.predict([picture], MEMBER), view.predict([mirror], MEMBER)
        x1, y1, x2, y2 = mirrored.boxes.T
        boxes = np.stack([picture.width - x2, y1, picture.width - x1, y2], axis=1)
        answers += [plain, replace(mirrored, boxes=boxes)]
    (found,) = augmented.predict([picture], DOUBTFUL)
    assert found.to_dict() == fused(answers, DOUBTFUL).to_dict() | {"model": "one (tta)"}
    assert len(found) > 3


@pytest.mark.parametrize(("model", "tta"), [("one+two", False), ("two", True)])
def test_options_choose_among_what_was_joined(pictures, model, tta):
    """Stricter options leave boxes out and change none."""
    detector = Detector.load(model, tta=tta)
    raw = detector.forward(detector.preprocess(pictures[:1]))

    def answer(**changes):
        (found,) = detector.postprocess(raw, replace(DOUBTFUL, **changes))
        return found.to_dict()["detections"]

    everything = answer(max_detections=500)
    middle = everything[len(everything) // 2]["score"]
    assert answer(max_detections=500, confidence=middle + 1e-4) == [d for d in everything if d["score"] > middle]
    assert answer(max_detections=2) == everything[:2]
    assert answer(max_detections=500, classes="cup") == [d for d in everything if d["label"] == "cup"]
    with pytest.raises(UsageError, match="unknown class 'cap'; did you mean 'cup'"):
        answer(classes=("cap",))


def test_what_an_ensemble_says_of_itself():
    one, both, augmented = Detector.load("one"), Detector.load("one+two"), Detector.load("one+two", tta=True)
    assert (one.name, both.name, augmented.name) == ("one", "one+two", "one+two (tta)")
    assert [model.name for model in augmented.models] == ["one", "two"]
    assert both.classes == NAMES and (both.runtime, both.device) == ("onnx", "cpu")
    assert (one.defaults["confidence"], both.defaults["confidence"]) == (0.3, 0.24)
    assert (one.target, both.target, augmented.target) == (96, 96, 128)
    digests = {d.digest for d in (one, both, augmented, Detector.load("one", tta=True), Detector.load("two+one"))}
    assert len(digests) == 5
    assert both.digest == Detector.load("one+two").digest


def test_time_of_all_members_is_counted(pictures):
    both = Detector.load("one+two")
    raw, stages = both.timed(pictures[0])
    assert set(stages.times) == {"preprocess", "network"} and min(stages.times.values()) > 0
    (found,), (expected,) = both.postprocess(raw, DOUBTFUL), both.predict(pictures[:1], DOUBTFUL)
    assert found.to_dict() == expected.to_dict()


def test_an_empty_answer_of_one_member_halves_the_scores_of_the_other(pictures):
    one, two = Detector.load("one"), Detector.load("two")
    two.postprocess = lambda raw, options: [Detections.empty(pictures[0].width, pictures[0].height, "two")]
    alone = fused(one.predict(pictures[:1], MEMBER), DetectOptions(confidence=2 * DOUBTFUL.confidence, iou=0.6))
    (found,) = Ensemble([one, two]).predict(pictures[:1], DOUBTFUL)
    np.testing.assert_allclose(found.scores, alone.scores / 2, rtol=1e-5)
    np.testing.assert_array_equal(found.boxes, alone.boxes)


def test_surer_and_weaker_members_are_brought_into_line(models, tmp_path, pictures):
    """Scores are taken to one scale, at which the default confidences are equal; better members count for more."""
    changes = {
        "one": (0.3, {"any photos": {"AP": 0.5}}),
        "two": (0.6, {"others": {"AP": 1}, "any photos": {"AP": 0.4}}),
    }
    for name, (confidence, measured) in changes.items():
        shutil.copytree(models / name, tmp_path / name)
        info = json.loads((models / name / "model.json").read_text())
        info |= {"defaults": info["defaults"] | {"confidence": confidence}, "measured": measured}
        (tmp_path / name / "model.json").write_text(json.dumps(info))
    members = [Detector.load(tmp_path / name) for name in changes]
    one, two = (member.predict(pictures[:1], MEMBER)[0] for member in members)
    lower = two.scores ** (np.log(0.3) / np.log(0.6))
    labels = [np.array([NAMES.index(label) for label in answer.labels], int) for answer in (one, two)]
    expected = fuse([one.boxes, two.boxes], [one.scores, lower], labels, weights=[0.25, 0.16], iou_threshold=OVERLAP)
    joined = Ensemble(members)
    (found,) = joined.predict(pictures[:1], DetectOptions(confidence=0, iou=1, max_detections=1000))
    np.testing.assert_allclose(found.scores, expected[1], rtol=1e-5)
    np.testing.assert_allclose(found.boxes, expected[0], rtol=1e-5)
    assert joined.defaults["confidence"] == 0.24
    assert joined.digest != Detector.load("one+two").digest


def test_models_that_cannot_be_joined_are_refused(models, tmp_path):
    with pytest.raises(UsageError, match=r"--model one\+one: one is the same model twice; name it once"):
        Detector.load("one+one")
    shutil.copytree(models / "one", tmp_path / "copy")
    with pytest.raises(UsageError, match=f"one and {tmp_path}/copy is the same model twice"):
        Detector.load(f"one+{tmp_path / 'copy'}")
    shutil.copytree(models / "two", tmp_path / "other")
    info = json.loads((models / "two" / "model.json").read_text())
    (tmp_path / "other" / "model.json").write_text(json.dumps(info | {"classes": ["cat", "cup", "dog"]}))
    with pytest.raises(UsageError, match=r"only one of one and \S+/other knows dining table, dog; combine models of"):
        Detector.load(f"one+{tmp_path / 'other'}")
    with pytest.raises(ModelError, match="unknown model 'tow'; did you mean 'two'"):
        Detector.load("one+tow")
    for name in ("one+", "+one", "one++two", "+"):
        with pytest.raises(UsageError, match=rf"--model {re.escape(name)}: a name is missing beside the \+; write"):
            Detector.load(name)


def test_a_path_may_hold_a_plus_sign(models, tmp_path):
    shutil.copytree(models / "one", tmp_path / "c++" / "one")
    assert Detector.load(tmp_path / "c++" / "one").digest == Detector.load("one").digest
