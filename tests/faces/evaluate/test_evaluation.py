"""Evaluations of embeddings whose people are known."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from vision_app.core.errors import DataError
from vision_app.faces.evaluate.embedding_file import largest_faces, read_embeddings
from vision_app.faces.evaluate.evaluation import evaluate
from vision_app.faces.evaluate.metrics import Share
from vision_app.faces.evaluate.pairs import PairList, PhotoSet, numbers
from vision_app.faces.evaluate.plots import neighbor_map, plot_det, plot_roc, principal_plane
from vision_app.faces.evaluate.report import evaluation_dict, evaluation_summary, write_evaluation

PEOPLE, PHOTOS = 30, 4


@pytest.fixture
def people():
    """Embeddings of people, one of whom looks like another, and of two groups, one of which is hard."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(PEOPLE, 1, 16))
    centers[1] = centers[0] + 0.1 * rng.normal(size=16)
    noise = np.where(np.arange(PEOPLE) < 15, 0.2, 0.9)[:, None, None]
    embeddings = (centers + noise * rng.normal(size=(PEOPLE, PHOTOS, 16))).reshape(-1, 16).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    names = np.repeat([f"p{i:02}" for i in range(PEOPLE)], PHOTOS)
    files = tuple(f"{name}/{i}.jpg" for i, name in enumerate(names))
    groups = np.repeat(["easy", "hard"], PEOPLE * PHOTOS // 2)
    return PhotoSet(files, tuple(map(Path, files)), names, groups), embeddings


def with_list(photos, pairs):
    """The same photos with pairs of them as a list, in ten given folds."""
    first, second = np.array(pairs).T
    same = photos.names[first] == photos.names[second]
    folds = np.repeat(np.arange(len(pairs))[:, None] % 10, 2, axis=1)
    listed = PairList(first, second, same, folds, True, np.full(len(pairs), ""))
    return PhotoSet(photos.files, photos.paths, photos.names, photos.groups, listed)


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


def test_photos_without_a_face_are_named_and_count_as_errors(people):
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


def test_a_report_holds_what_was_measured(people, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)  # without scikit-learn there is no map by t-SNE
    photos, embeddings = people
    pairs = [(4 * i, 4 * i + 1) for i in range(30)] + [(4 * i, (4 * i + 4) % 120) for i in range(30)]
    evaluation = evaluate(with_list(photos, pairs), embeddings)
    write_evaluation(evaluation, tmp_path, {"model": "mine"})
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["model"] == "mine" and content["photos"] == 120 and content["people"] == 30
    assert content["listed"]["accuracy"]["mean"] == pytest.approx(evaluation.accuracy.mean, abs=1e-6)
    assert len(content["listed"]["accuracy"]["folds"]) == 10
    assert {row["group"] for row in content["groups"]} == {"easy", "hard"}
    (tar,) = (row for row in content["all"]["tar"] if row["far"] == 0.01)
    assert tar["low"] < tar["rate"] == pytest.approx(tar["count"] / tar["of"], abs=1e-6) and tar["rate"] < tar["high"]
    with (tmp_path / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["file_a"], rows[0]["file_b"], rows[0]["same"]) == ("p00/0.jpg", "p00/1.jpg", "1")
    assert float(rows[0]["similarity"]) == pytest.approx(embeddings[0] @ embeddings[1], abs=1e-5)
    with (tmp_path / "roc.csv").open() as file:
        points = [(float(row["far"]), float(row["tar"])) for row in csv.DictReader(file) if row["pairs"] == "all pairs"]
    assert points == sorted(points) and points[-1] == (1, 1)
    assert {path.stem for path in tmp_path.glob("*.png")} == {"roc", "det", "similarities", "map_pca"}


def test_curves_begin_at_a_single_false_accept(people):
    curve = evaluate(*people).every.curve
    for plot in (plot_roc, plot_det):
        (axes,) = plot({"all pairs": curve}).axes
        assert axes.get_xlim() == (1 / curve.impostor, 1)
        far, rate = axes.lines[0].get_data()
        assert far[0] == pytest.approx(1 / curve.impostor) and far[-1] == 1
        assert rate[-1] == (1 if plot is plot_roc else 0)


def test_the_plane_of_a_map_is_that_of_scikit_learn(people):
    _, embeddings = people
    points, share = principal_plane(embeddings)
    reference = PCA(2).fit(embeddings)
    expected = reference.transform(embeddings)
    signs = np.sign((points * expected).sum(axis=0))
    np.testing.assert_allclose(points, expected * signs, atol=1e-4)
    assert share == pytest.approx(reference.explained_variance_ratio_.sum(), abs=1e-5)


def test_a_map_by_t_sne_keeps_people_apart():
    ends = np.repeat(np.eye(4), 6, axis=0)[:12] + np.random.default_rng(0).normal(scale=0.05, size=(12, 4))
    points = neighbor_map(ends.astype(np.float32))
    first, second = points[:6], points[6:]
    apart = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert apart > 2 * max(np.linalg.norm(half - half.mean(axis=0), axis=1).max() for half in (first, second))


def face(size, *embedding):
    return {"quality": {"size": size}, "embedding": list(embedding)}


def test_the_largest_face_of_a_photo_counts():
    rows = [{"faces": [face(20, 1, 0), face(90, 0, 2)]}, {"faces": []}, {"faces": [face(5, 3, 4)]}]
    np.testing.assert_allclose(largest_faces(rows, 2), [[0, 1], [np.nan, np.nan], [0.6, 0.8]], rtol=1e-6)


def test_embeddings_are_read_from_their_file(tmp_path):
    boxes = np.array([[0, 0, 10, 10], [0, 0, 30, 30], [0, 0, 20, 20]], np.float32)
    arrays = {
        "files": np.array(["b/1", "b/1", "a/2"]),
        "boxes": boxes,
        "embeddings": np.float32([[1, 0], [0, 1], [1, 0]]),
    }
    np.savez(tmp_path / "good.npz", contract="c", **arrays)
    files, embeddings, contract = read_embeddings(tmp_path / "good.npz")
    assert files == ["b/1", "a/2"] and embeddings.tolist() == [[0, 1], [1, 0]] and contract == "c"
    np.savez(tmp_path / "nan.npz", contract="c", **arrays | {"embeddings": np.full((3, 2), np.nan)})
    np.savez(tmp_path / "short.npz", contract="c", **arrays | {"embeddings": np.ones((2, 2))})
    np.savez(tmp_path / "other.npz", files=arrays["files"])
    for name, problem in (("nan", "zero or not finite"), ("short", "a row for each"), ("other", "not a file that")):
        with pytest.raises(DataError, match=f"{name}.npz: .*{problem}"):
            read_embeddings(tmp_path / f"{name}.npz")


def test_numbers_follow_names():
    assert numbers(np.array(["b", "a", "b"])).tolist() == [1, 0, 1]
