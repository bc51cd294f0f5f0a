"""Evaluations of embeddings whose people are known."""

import numpy as np
import pytest

from vision_app.faces.evaluate.evaluation import evaluate
from vision_app.faces.evaluate.metrics import Share
from vision_app.faces.evaluate.report import evaluation_dict, evaluation_summary

PEOPLE, PHOTOS = 30, 4


def test_every_pair_of_known_people_is_compared(people):
    photos, embeddings = people
    evaluation = evaluate(photos, embeddings)
    assert list(evaluation.results) == ["all"] and evaluation.accuracy is None
    curve = evaluation.every.curve
    assert (curve.genuine, curve.impostor) == (PEOPLE * 6, PEOPLE * PHOTOS * (PEOPLE - 1) * PHOTOS // 2)
    assert [tar.far for tar in evaluation.every.points] == [1e-1, 1e-2, 1e-3], "6,960 pairs allow no rate of 1e-4"
    similar = embeddings @ embeddings.T
    other = photos.names[:, None] != photos.names
    for tar in evaluation.every.points:
        assert np.mean(similar[other] >= tar.threshold) <= tar.far
        same = ~other & ~np.eye(len(other), dtype=bool)
        assert tar.true.rate == pytest.approx(np.mean(similar[same] >= tar.threshold))


def test_groups_are_judged_at_one_threshold(people):
    photos, embeddings = people
    evaluation = evaluate(photos, embeddings)
    easy, hard = (group for group in evaluation.groups if group.far == 0.01)
    assert (easy.group, hard.group) == ("easy", "hard") and easy.threshold == hard.threshold
    assert easy.true == Share(90, 90) and hard.true.rate < 0.9
    assert easy.false.count >= 16 and easy.false.total == 15 * 4 * 14 * 4 // 2, "two of them look alike"


def test_photos_without_a_face_are_named_and_count_as_errors(people, with_list):
    photos, embeddings = people
    pairs = [(4 * i, 4 * i + 1) for i in range(2, 15)] + [(4 * i, 4 * i + 4) for i in range(2, 15)]
    photos = with_list(photos, pairs)
    assert evaluate(photos, embeddings).accuracy.mean == 1
    lost = embeddings.copy()
    lost[8] = np.nan  # the first photo of a pair of one person and of a pair of two
    evaluation = evaluate(photos, lost)
    assert evaluation.faceless == ["p02/8.jpg"]
    assert evaluation.listed.curve.genuine == 13 and evaluation.listed.curve.impostor == 12
    assert evaluation.accuracy.mean == pytest.approx(1 - 2 / len(pairs))
    assert evaluation_dict(evaluation)["without_face"] == ["p02/8.jpg"]
    assert any("no face: p02/8.jpg" in line for line in evaluation_summary(evaluation))
