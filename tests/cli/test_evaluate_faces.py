"""`vision-app evaluate faces` and `faces calibrate` as users run them."""

import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image
from tiny_faces import green_detector, paint_face, write_tiny_embedder

from vision_app.cli import main
from vision_app.faces.calibration import Calibration
from vision_app.faces.detector import FaceDetector
from vision_app.faces.evaluate import plots
from vision_app.faces.recognizer import FaceRecognizer
from vision_app.released.find import find

pytestmark = pytest.mark.slow

PEOPLE, PHOTOS = 12, 3


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    """Faces are green boxes, plots are not drawn, and there is no scikit-learn: both take seconds."""
    monkeypatch.setattr(FaceDetector, "load", lambda *_, **__: green_detector())
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: path.touch())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An embedder, people with marks of their own in their green faces, and a list of pairs."""
    folder, rng = tmp_path_factory.mktemp("home"), np.random.default_rng(0)
    write_tiny_embedder(folder / "tiny")
    for person in range(PEOPLE):
        marks = rng.integers(0, 100, (5, 2, 3)) * [1, 0, 1]
        for photo in range(PHOTOS):
            pixels = np.full((120, 120, 3), 90, np.uint8)
            paint_face(pixels, (30, 30, 86, 92))
            pixels[30:92:4, 30:86] = pixels[30:92, 30:86:4] = 40, 255, 40  # details, without which it would be unfit
            for (x, y), color in zip(rng.integers(0, 3, (5, 2)), marks[:, 0] + [0, 255, 0], strict=True):
                row, column = 36 + 9 * int(marks[0, 1, 0] % 5) + 2 * y, 36 + 8 * int(marks[1, 1, 2] % 5) + 2 * x
                pixels[row : row + 8, column : column + 8] = color
            path = folder / "people" / f"p{person:02}" / f"{photo}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    lines = ["file_a,file_b,same"]
    lines += [f"p{i:02}/0.png,p{i:02}/1.png,1" for i in range(PEOPLE)]
    lines += [f"p{i:02}/0.png,p{(i + 1) % PEOPLE:02}/2.png,0" for i in range(PEOPLE)]
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    return folder


def run(home, *words):
    return main([*map(str, words), "--model", str(home / "tiny")])


def test_a_list_of_pairs_is_measured(home, tmp_path, capsys):
    out = tmp_path / "out"
    images = ["--images", home / "people"]
    assert run(home, "evaluate", "faces", "--data", home / "pairs.csv", *images, "--output", out) == 0
    assert (out / "faces.jsonl").stat().st_mode & 0o777 == 0o600  # it holds the embeddings
    content = json.loads((out / "evaluation.json").read_text())
    recognizer = FaceRecognizer.load(home / "tiny")
    assert content["contract"] == recognizer.model_id and content["photos"] == 36 and content["without_face"] == []
    assert (content["listed"]["genuine"], content["listed"]["impostor"]) == (12, 12)
    assert (content["all"]["genuine"], content["all"]["impostor"]) == (36, 594)
    with (out / "pairs.csv").open() as file:
        row = next(csv.DictReader(file))
    faces = [recognizer.face(home / "people" / row[key]).embedding for key in ("file_a", "file_b")]
    assert float(row["similarity"]) == pytest.approx(float(faces[0] @ faces[1]), abs=1e-4)
    assert "12 of one person, 12 of different people" in capsys.readouterr().out
    assert run(home, "evaluate", "faces", "--data", home / "pairs.csv", *images, "--output", out) == 2
    assert f"{out / 'det.png'}: exists already" in capsys.readouterr().err


def test_a_photo_without_a_face_is_named_and_one_that_cannot_be_read_refused(home, tmp_path, capsys):
    people = tmp_path / "people"
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (people / name).parent.mkdir(parents=True, exist_ok=True)
        (people / f"{name}.png").write_bytes((home / "people" / "p00" / "0.png").read_bytes())
    Image.new("RGB", (60, 60)).save(people / "b" / "2.png")
    assert run(home, "evaluate", "faces", "--data", people, "--output", tmp_path / "out") == 0
    assert "no face: b/2.png" in capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert content["all"]["genuine"] == 2 and content["all"]["impostor"] == 2 and content["listed"] is None
    (people / "b" / "2.png").write_bytes(b"no image")
    assert run(home, "evaluate", "faces", "--data", people, "--output", tmp_path / "other") == 1
    assert "2.png" in capsys.readouterr().err
    assert not list((tmp_path / "other").iterdir()), "the same command can be given again"


def test_thresholds_go_into_the_model_that_verifies_with_them(home, tmp_path, capsys):
    words = ["faces", "calibrate", "--data", home / "people", "--far", "0.2", "--far", "0.1"]
    assert run(home, "faces", "verify", *[home / "people" / "p00" / f"{i}.png" for i in (0, 1)]) == 2
    assert "faces calibrate" in capsys.readouterr().err
    contract = find(home / "tiny").info["contract"]
    assert run(home, *words, "--output", tmp_path / "out", "--apply") == 0
    model = find(home / "tiny")
    model.verify()
    assert model.info["contract"] == contract
    calibration = Calibration.of(model.info, "tiny")
    assert (calibration.people, calibration.impostor_pairs, calibration.genuine_pairs) == (6, 135, 18)
    written = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert written["contract"] == contract and Calibration.from_dict(written, "x") == calibration
    one, other = written["held_out"]["verify"]
    assert (one["far"], other["far"]) == (0.2, 0.1) and one["measured_far"]["of"] == 135 and one["tar"]["of"] == 18
    assert one["threshold"] == pytest.approx(calibration.threshold(0.2))
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"roc.png", "det.png", "similarities.png"}
    code = run(home, "faces", "verify", *[home / "people" / "p00" / f"{i}.png" for i in (0, 0)], "--far", "0.1")
    assert code == 0 and f"{calibration.threshold(0.1):.3f}"[:5] in capsys.readouterr().out


def test_too_few_photos_are_refused_before_any_is_read(home, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(FaceRecognizer, "__call__", None)
    assert run(home, "faces", "calibrate", "--data", home / "people", "--output", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "135 pairs of different people" in error and "at least 10,000 are needed" in error
    assert not (tmp_path / "out").exists()
    words = ["faces", "calibrate", "--data", home / "people", "--output", tmp_path / "out"]
    assert run(home, *words, "--far", "0.7") == 2 and "--far 0.7" in capsys.readouterr().err


def write_embeddings(path, contract, people=60):
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(people, 1, 16)) + 0.3 * rng.normal(size=(people, 3, 16))).reshape(-1, 16)
    files = np.array([f"photos/p{i // 3}/{i}.jpg" for i in range(3 * people)])
    boxes = np.tile(np.float32([0, 0, 9, 9]), (len(files), 1))
    np.savez(path, files=files, boxes=boxes, embeddings=vectors.astype(np.float32), contract=contract)


def test_embeddings_that_were_made_before_are_enough(home, tmp_path, capsys):
    write_embeddings(tmp_path / "faces.npz", "another")
    words = ["faces", "calibrate", "--data", tmp_path / "faces.npz", "--far", "0.01", "--output"]
    assert run(home, *words, tmp_path / "out", "--apply") == 2
    assert "of another model than" in capsys.readouterr().err
    assert run(home, *words, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "FAR 0.01: threshold" in said and "10 people: threshold" in said and "10 enrolled" in said
    content = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert content["people"] == 30 and content["impostor_pairs"] == 30 * 29 // 2 * 9
    assert content["held_out"]["identify"][0]["people"] == 10
