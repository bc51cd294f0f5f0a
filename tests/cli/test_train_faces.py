"""`vision-app train faces` and `train face-detector`, from photos to models that the other commands take."""

import csv
import json

import numpy as np
import pytest
from drawn_people import faces, write_photos
from drawn_sets import face_set
from tiny_faces import green_detector, write_tiny_embedder, write_tiny_face_detector

from vision_app.cli import main
from vision_app.cli.train_options import KEPT
from vision_app.faces.align import LANDMARKS
from vision_app.faces.detector import FaceDetector
from vision_app.faces.embedder import Embedder
from vision_app.released.find import find

pytestmark = pytest.mark.slow


def say(words):
    return main(list(map(str, words)))


@pytest.fixture
def green(monkeypatch):
    """Faces are green."""
    monkeypatch.setattr(FaceDetector, "load", lambda model: green_detector())


@pytest.mark.training
def test_a_handful_of_people_makes_a_model_better_that_faces_embed_takes(tmp_path, green, capsys):
    people = write_photos(tmp_path / "people", 3, 3)
    (people / "p0" / "broken.jpg").write_bytes(b"no image")
    model = write_tiny_embedder(tmp_path / "model")
    words = ["train", "faces", "--data", people, "--initial", model, "--output", tmp_path / "run"]
    words += ["--epochs", 2, "--precision", "fp32"]
    assert say(words) == 0
    said = capsys.readouterr().out
    assert "people: faces on 9 of 10 photos; 1 x corrupt image (see scan.csv)" in said
    assert "9 faces to learn from, of 3 people with a name" in said and "too few people to hold some out" in said
    assert f"best model: {tmp_path / 'run' / 'best'}" in said

    run, best = tmp_path / "run", find(tmp_path / "run" / "best")
    best.verify()
    assert best.info["trained"]["loss"] == "both" and best.info["trained"]["teacher"].startswith("model ")
    assert best.info["contract"] != find(model).info["contract"]
    embeddings = Embedder.load(run / "best").embed(faces(2, 1).chips)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-3)
    assert json.loads((run / "config.json").read_text())["learning_rate"] == 2e-5  # what was learned is not lost
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[1]["triplet"]) > 0
    for row in rows:
        assert float(row["loss"]) == pytest.approx(
            sum(float(row[name]) for name in ("teacher", "relations", "triplet"))
        )
    ((of, kind, entry),) = list(csv.reader((run / "scan.csv").open(newline="")))[1:]
    assert (of, kind) == ("people", "corrupt image") and "broken.jpg" in entry
    assert "--resume continues it" in (say(words), capsys.readouterr().err)[1]
    assert (run / KEPT).exists() and say([*words, "--resume"]) == 0  # it is at its end
    assert say([*words, "--resume", "--margin", 0.5]) == 2
    assert "--margin 0.5: the run to resume was started with 0.2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "options", "code", "words"),
    [
        ({"p0": 3}, (), 1, "1 people with a name: learning to tell them apart takes two"),
        ({"p0": 1, "p1": 1}, (), 1, "nobody has two photos"),
        ({}, (), 1, "has no photos of people; put each person's into a sub-folder"),
        ({"p0": 2, "p1": 2}, ("--loss", "teacher"), 2, "--loss teacher: needs a teacher; --teacher"),
        ({"p0": 2, "p1": 2}, ("--miner", "hardest"), 2, "--miner: unknown choice 'hardest'"),
        ({"p0": 2, "p1": 2}, ("--initial", "face-embedde"), 2, "unknown model 'face-embedde'"),
        ({"p0": 2, "p1": 2}, ("--teacher", "dlib.dat"), 2, "tools/convert_dlib.py makes one of dlib's network"),
        ({"p0": 2, "p1": 2}, ("--batch-size", "16"), 2, "--people 12: with --photos 4 each they are more than"),
    ],
)
def test_what_cannot_be_trained_gets_one_line(tmp_path, green, capsys, content, options, code, words):
    people = tmp_path / "people"
    people.mkdir()
    for name, photos in content.items():
        write_photos(tmp_path / name, 1, photos)
        (tmp_path / name / "p0").rename(people / name)
    assert say(["train", "faces", "--data", people, "--output", tmp_path / "run", *options]) == code
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (tmp_path / "run" / "last.safetensors").exists()


def detector_words(data, tmp_path):
    words = ["train", "face-detector", "--data", data, "--val", data, "--output", tmp_path / "run", "--epochs", 1]
    return [*words, "--initial", write_tiny_face_detector(tmp_path / "tiny"), "--size", 64, "--precision", "fp32"]


@pytest.mark.training
def test_a_face_detector_is_trained_on_degraded_photos(tmp_path, monkeypatch):
    from vision_app.detection.train import trainer as train

    asked, augmenter = [], train.Augmenter

    def watched(*words):
        asked.append(augmenter(*words))
        return asked[-1]

    monkeypatch.setattr(train, "Augmenter", watched)
    assert say(detector_words(face_set(tmp_path / "set"), tmp_path)) == 0
    assert [one.degraded for one in asked] == [0.2]
    detector = FaceDetector.load(tmp_path / "run" / "best")
    assert detector.classes == ("face",)
    assert find(tmp_path / "run" / "best").info["landmarks"]["names"] == list(LANDMARKS)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"name": "person"}, "--data: its classes are person; a face detector knows one, 'face'"),
        ({"keypoints": LANDMARKS[::-1]}, "a face detector needs right_eye, left_eye, nose, right_mouth, left_mouth"),
    ],
)
def test_a_face_detector_needs_faces_with_five_landmarks(tmp_path, capsys, what, words):
    assert say(detector_words(face_set(tmp_path / "set", **what), tmp_path)) == 1
    assert words in capsys.readouterr().err
