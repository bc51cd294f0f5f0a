"""Ensembles and test-time augmentation, on small networks with random weights; and the fusion of their boxes."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import data
from tiny_detectors import NAMES
from tiny_members import write_members

from vision_app import Detections, DetectOptions, Detector
from vision_app.core.boxes import iou_matrix, nms
from vision_app.core.errors import ModelError, UsageError
from vision_app.core.images import read_image
from vision_app.detection.ensemble import MEMBER, OVERLAP, Ensemble, FlippedDetector, fuse

pytestmark = pytest.mark.slow

DOUBTFUL = DetectOptions(confidence=0.05, iou=0.6)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_members(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module", autouse=True)
def home(models):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISION_APP_MODELS", str(models))
        yield


@pytest.fixture(scope="module")
def images():
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


def test_an_ensemble_fuses_the_detections_of_its_members(images):
    joined, members = Detector.load("one+two"), [Detector.load(name) for name in ("one", "two")]
    answers = [member.predict(images, MEMBER) for member in members]
    expected = [fused(found, DOUBTFUL) for found in zip(*answers, strict=True)]
    found = joined.predict(images, DOUBTFUL)
    assert sum(map(len, found)) > 10
    assert [one.to_dict() for one in found] == [one.to_dict() for one in expected]


def test_images_preprocessed_one_by_one_and_joined_give_the_same_detections(images):
    joined = Detector.load("one+two", tta=True)
    parts = [joined.preprocess([image]) for image in images]
    batch = joined.postprocess(joined.forward(joined.join(parts)), DOUBTFUL)
    for image, found in zip(images, batch, strict=True):
        (alone,) = joined.predict([image], DOUBTFUL)
        assert alone.labels == found.labels
        np.testing.assert_allclose(alone.boxes, found.boxes, atol=1e-2)
        np.testing.assert_allclose(alone.scores, found.scores, atol=1e-5)


def test_one_image_is_taken_as_a_list_of_one_is(images):
    joined = Detector.load("one+two", tta=True)
    (alone,), (listed,) = joined.predict(images[0], DOUBTFUL), joined.predict(images[:1], DOUBTFUL)
    assert alone.to_dict() == listed.to_dict()


def test_augmentation_runs_at_three_sizes_each_flipped_too(images):
    detector, augmented = Detector.load("one"), Detector.load("one", tta=True)
    views = [view for view in augmented.members if not isinstance(view, FlippedDetector)]
    assert [view.size for view in views] == [64, 96, 128]  # to multiples of 32
    assert [view.detector.size for view in augmented.members if isinstance(view, FlippedDetector)] == [64, 96, 128]
    assert detector.size == 96  # as it was
    image = images[0]
    mirror = replace(image, pixels=np.ascontiguousarray(image.pixels[:, ::-1]))
    answers = []
    for view in views:
        (plain,), (mirrored,) = view.predict([image], MEMBER), view.predict([mirror], MEMBER)
        x1, y1, x2, y2 = mirrored.boxes.T
        boxes = np.stack([image.width - x2, y1, image.width - x1, y2], axis=1)
        answers += [plain, replace(mirrored, boxes=boxes)]
    (found,) = augmented.predict([image], DOUBTFUL)
    assert found.to_dict() == fused(answers, DOUBTFUL).to_dict() | {"model": "one (tta)"}
    assert len(found) > 3


@pytest.mark.parametrize(("model", "tta"), [("one+two", False), ("two", True)])
def test_options_apply_to_fused_detections(images, model, tta):
    """Stricter options leave boxes out and change none."""
    detector = Detector.load(model, tta=tta)
    raw = detector.forward(detector.preprocess(images[:1]))

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


def test_an_ensemble_has_the_name_defaults_and_digest_of_its_members():
    one, both, augmented = Detector.load("one"), Detector.load("one+two"), Detector.load("one+two", tta=True)
    assert (one.name, both.name, augmented.name) == ("one", "one+two", "one+two (tta)")
    assert [model.name for model in augmented.models] == ["one", "two"]
    assert both.classes == NAMES and (both.runtime, both.device) == ("onnx", "cpu")
    assert (one.defaults["confidence"], both.defaults["confidence"]) == (0.3, 0.24)
    assert (one.target, both.target, augmented.target) == (96, 96, 128)
    digests = {d.digest for d in (one, both, augmented, Detector.load("one", tta=True), Detector.load("two+one"))}
    assert len(digests) == 5
    assert both.digest == Detector.load("one+two").digest


def test_time_of_all_members_is_counted(images):
    both = Detector.load("one+two")
    raw, stages = both.timed(images[0])
    assert set(stages.times) == {"preprocess", "network"} and min(stages.times.values()) > 0
    (found,), (expected,) = both.postprocess(raw, DOUBTFUL), both.predict(images[:1], DOUBTFUL)
    assert found.to_dict() == expected.to_dict()


def test_an_empty_answer_of_one_member_halves_the_scores_of_the_other(images):
    one, two = Detector.load("one"), Detector.load("two")
    two.postprocess = lambda raw, options: [Detections.empty(images[0].width, images[0].height, "two")]
    alone = fused(one.predict(images[:1], MEMBER), DetectOptions(confidence=2 * DOUBTFUL.confidence, iou=0.6))
    (found,) = Ensemble([one, two]).predict(images[:1], DOUBTFUL)
    np.testing.assert_allclose(found.scores, alone.scores / 2, rtol=1e-5)
    np.testing.assert_array_equal(found.boxes, alone.boxes)


def test_scores_of_members_are_brought_to_one_scale(models, tmp_path, images):
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
    one, two = (member.predict(images[:1], MEMBER)[0] for member in members)
    lower = two.scores ** (np.log(0.3) / np.log(0.6))
    labels = [np.array([NAMES.index(label) for label in answer.labels], int) for answer in (one, two)]
    expected = fuse([one.boxes, two.boxes], [one.scores, lower], labels, weights=[0.25, 0.16], iou_threshold=OVERLAP)
    joined = Ensemble(members)
    (found,) = joined.predict(images[:1], DetectOptions(confidence=0, iou=1, max_detections=1000))
    np.testing.assert_allclose(found.scores, expected[1], rtol=1e-5)
    np.testing.assert_allclose(found.boxes, expected[0], rtol=1e-5)
    assert joined.defaults["confidence"] == 0.24
    assert joined.digest != Detector.load("one+two").digest


def test_models_that_cannot_be_combined_are_refused(models, tmp_path):
    with pytest.raises(UsageError, match=r"model one\+one: one is the same model twice; name it once"):
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
        with pytest.raises(UsageError, match=rf"model {re.escape(name)}: a name is missing beside the \+; write"):
            Detector.load(name)


def test_a_path_may_hold_a_plus_sign(models, tmp_path):
    shutil.copytree(models / "one", tmp_path / "c++" / "one")
    assert Detector.load(tmp_path / "c++" / "one").digest == Detector.load("one").digest


def by_definition(boxes, scores, labels, weights, threshold):
    """Section 3 of the paper, step by step: lists of clusters, their means recomputed after each box."""
    found = [
        (score * weight, label, box)
        for weight, *source in zip(weights, boxes, scores, labels, strict=True)
        for box, score, label in zip(*source, strict=True)
    ]
    clusters = []
    for score, label, box in sorted(found, key=lambda one: -one[0]):
        means = [np.average([b for _, _, b in c], axis=0, weights=[s for s, _, _ in c]) for c in clusters]
        overlaps = [
            iou_matrix(box[None], mean[None])[0, 0] * (cluster[0][1] == label)
            for mean, cluster in zip(means, clusters, strict=True)
        ]
        if overlaps and max(overlaps) > threshold:
            clusters[int(np.argmax(overlaps))].append((score, label, box))
        else:
            clusters.append([(score, label, box)])
    fused = []
    for cluster in clusters:
        cluster_scores, cluster_labels, cluster_boxes = zip(*cluster, strict=True)
        score = np.mean(cluster_scores) * min(len(cluster), len(weights)) / sum(weights)
        fused.append((score, cluster_labels[0], np.average(cluster_boxes, axis=0, weights=cluster_scores)))
    fused.sort(key=lambda one: -one[0])
    scores, labels, boxes = zip(*fused, strict=True)
    return np.stack(boxes), np.array(scores), np.array(labels)


def answers(seed: int, sources: int, objects: int, classes: int):
    """What several detectors could say of one image: each object some times, here and there, with any score."""
    rng = np.random.default_rng(seed)
    centers, sizes = rng.uniform(20, 380, (objects, 2)), rng.uniform(10, 120, (objects, 2))
    kinds = rng.integers(0, classes, objects)
    boxes, scores, labels = [], [], []
    for _ in range(sources):
        which = rng.integers(0, objects, rng.integers(1, 3 * objects))
        center = centers[which] + rng.normal(0, 6, (len(which), 2))
        half = sizes[which] * rng.uniform(0.8, 1.2, (len(which), 2)) / 2
        boxes.append(np.concatenate([center - half, center + half], axis=1))
        scores.append(rng.uniform(0.01, 1, len(which)))
        labels.append(kinds[which])
    return boxes, scores, labels


@pytest.mark.parametrize("seed", range(12))
def test_fusion_equals_the_algorithm_written_out(seed):
    sources = 1 + seed % 5
    weights = np.random.default_rng(seed).uniform(0.5, 3, sources).tolist() if seed % 2 else None
    given_answers = answers(seed, sources, objects=1 + 2 * seed, classes=1 + seed % 3)
    boxes, scores, labels = fuse(*given_answers, weights=weights, iou_threshold=0.5)
    expected = by_definition(*given_answers, weights or [1.0] * sources, 0.5)
    np.testing.assert_allclose(boxes, expected[0], rtol=1e-4)
    np.testing.assert_allclose(scores, expected[1], rtol=1e-5)
    np.testing.assert_array_equal(labels, expected[2])


def test_two_sources_are_fused_as_by_hand():
    """The box that both find moves to where the surer one has it; what one alone finds loses half its score."""
    one = np.array([[0, 0, 100, 100], [200, 0, 240, 40]])
    two = np.array([[0, 0, 100, 80], [0, 0, 100, 90]])
    boxes, scores, labels = fuse([one, two], [[0.9, 0.5], [0.3, 0.6]], [[0, 1], [0, 2]])
    np.testing.assert_allclose(boxes, [[0, 0, 100, 95], [0, 0, 100, 90], [200, 0, 240, 40]])
    np.testing.assert_allclose(scores, [0.6, 0.3, 0.25])
    assert labels.tolist() == [0, 2, 1]


def test_a_source_of_twice_the_weight_counts_like_two():
    boxes, scores, labels = answers(3, 2, 1, 1)
    boxes, scores, labels = ([part[:1] for part in parts] for parts in (boxes, scores, labels))
    weighted = fuse(boxes, scores, labels, weights=[2, 1], iou_threshold=0)
    twice = fuse([boxes[0], *boxes], [scores[0], *scores], [labels[0], *labels], iou_threshold=0)
    np.testing.assert_allclose(weighted[0], twice[0], rtol=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 12), st.floats(0, 1))
def test_fused_boxes_are_means_with_lower_scores_in_order(seed, sources, objects, threshold):
    given_answers = answers(seed, sources, objects, 3)
    boxes, scores, labels = fuse(*given_answers, iou_threshold=threshold)
    every, every_score, every_label = map(np.concatenate, given_answers)
    assert len(boxes) == len(scores) == len(labels) <= len(every)
    assert set(labels.tolist()) == set(every_label.tolist())
    assert (np.diff(scores) <= 0).all() and scores.min() > 0 and scores.max() <= every_score.max() + 1e-6
    for label in set(labels.tolist()):  # a mean lies within what it is the mean of
        mine, theirs = boxes[labels == label], every[every_label == label]
        assert (mine >= theirs.min(axis=0) - 1e-3).all() and (mine <= theirs.max(axis=0) + 1e-3).all()


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_sources_that_agree_are_kept_as_they_are(seed, copies):
    (boxes,), (scores,), (labels,) = answers(seed, 1, 6, 2)
    best = [np.flatnonzero(labels == label)[0] for label in set(labels.tolist())]  # one box a class
    boxes, scores, labels = boxes[best], scores[best], labels[best]
    order = np.argsort(-scores)
    fused = fuse([boxes] * copies, [scores] * copies, [labels] * copies)
    np.testing.assert_allclose(fused[0], boxes[order], rtol=1e-5)
    np.testing.assert_allclose(fused[1], scores[order], rtol=1e-5)
    np.testing.assert_array_equal(fused[2], labels[order])


def test_fusion_of_nothing_and_of_scores_of_zero():
    nothing = np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)
    assert [len(part) for part in fuse(*zip(nothing, nothing, strict=True))] == [0, 0, 0]
    box = np.array([[1.0, 2, 3, 4]])
    boxes, scores, labels = fuse([box, box], [[0.0], [0.8]], [[0], [1]])
    assert (boxes.tolist(), labels.tolist()) == (box.tolist(), [1])
    assert scores.tolist() == pytest.approx([0.4])
