"""What is written of an evaluation."""

import csv
import json
import sys

import pytest

from vision_app.faces.evaluate.evaluation import evaluate
from vision_app.faces.evaluate.report import write_evaluation


def test_a_report_contains_what_was_measured(people, with_list, tmp_path, monkeypatch):
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
