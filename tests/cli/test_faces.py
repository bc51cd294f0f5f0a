"""`vision-app faces` as users run it: rows, embeddings in one file, verdicts and their exit codes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from image_files import encode
from PIL import Image
from tiny_faces import green_detector, paint_face, write_tiny_embedder, write_tiny_face_detector

from vision_app import FaceRecognizer
from vision_app.cli import main
from vision_app.faces.calibration import Calibration, Rate
from vision_app.faces.detector import FaceDetector

pytestmark = pytest.mark.slow

RATES = (Rate(0.1, 0.2, 0.18, 0.22), Rate(0.001, 0.9, 0.8, 0.999))
CALIBRATION = Calibration(RATES, tail_far=0.001, tail_scale=0.05, impostor_pairs=9000, genuine_pairs=900, people=90)
ONE, TWO = (50, 60, 73, 83), (200, 100, 280, 210)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An embedder, and photos of no, one and two faces, one of them spoiled by stripes, and a file that is none."""
    folder = tmp_path_factory.mktemp("home")
    write_tiny_embedder(folder / "tiny", calibration=CALIBRATION.to_dict())
    (folder / "photos").mkdir()
    for name, boxes in (("a.png", [ONE]), ("b.png", [ONE, TWO]), ("c.png", []), ("e.png", [TWO])):
        image = np.full((300, 400, 3), 90, np.uint8)
        for box in boxes:
            paint_face(image, box)
        if name == "e.png":
            image[100:210:5, 200:280, 2] = 120
        (folder / "photos" / name).write_bytes(encode(Image.fromarray(image), "PNG"))
    (folder / "photos" / "d.png").write_bytes(b"no image")
    return folder


@pytest.fixture(autouse=True)
def green(request, monkeypatch):
    """Faces are green boxes, unless a test wants a released face detector."""
    if "released" not in request.fixturenames:
        monkeypatch.setattr(FaceDetector, "load", lambda *_, smallest, **__: green_detector(smallest=smallest))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_tiny_face_detector(tmp_path_factory.mktemp("models") / "finder")


def detect(home, out, *words):
    return main(["faces", "detect", str(home / "photos"), "--output", str(out), *map(str, words)])


def embed(home, out, *words):
    words = ["--model", home / "tiny", *words]
    return main(["faces", "embed", str(home / "photos"), "--output", str(out), *map(str, words)])


def verify(home, a, b, *words):
    files = [str(home / "photos" / name) for name in (a, b)]
    return main(["faces", "verify", *files, "--model", str(home / "tiny"), *words])


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_detect_writes_a_row_a_file_and_annotated_copies(home, tmp_path, capsys):
    assert detect(home, tmp_path / "out", "--images", "--workers", "2") == 1
    rows = rows_of(tmp_path / "out" / "faces.jsonl")
    assert [row["file"].rsplit("/")[-1] for row in rows] == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert [(row["status"], len(row["faces"])) for row in rows] == [
        ("ok", 1), ("ok", 2), ("ok", 0), ("failed", 0), ("ok", 1)
    ]  # fmt: skip
    for row in rows:
        assert list(row) == ["file", "status", "error", "width", "height", "model", "faces"]
    face = rows[0]["faces"][0]
    assert list(face) == ["box", "score", "landmarks", "quality"]
    np.testing.assert_allclose(face["box"], ONE, atol=3)
    assert np.shape(face["landmarks"]) == (5, 2) and face["quality"]["reasons"] == ["too_small"]
    copies = sorted(path.name for path in (tmp_path / "out" / "images").iterdir())
    assert copies == ["a.png.jpg", "b.png.jpg", "c.png.jpg", "e.png.jpg"]
    assert "5 images: 4 ok, 1 failed" in capsys.readouterr().out


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1), (40, 60_000)])
def test_a_photo_of_any_shape_is_searched_in_little_memory(tmp_path, shape):
    """The first one is a file of 92 bytes, and took 92,000 tiles in one batch."""
    Image.new("1", shape[::-1], 1).save(tmp_path / "thin.png")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 * 10**9, -1)); "
    run = "import sys; from vision_app.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["faces", "detect", str(tmp_path / "thin.png"), "--output", str(tmp_path / "out")]
    result = subprocess.run([sys.executable, "-c", limit + run, *words], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (row,) = rows_of(tmp_path / "out/faces.jsonl")
    assert (row["height"], row["width"], row["status"], row["faces"]) == (*shape, "ok", [])


def test_an_interrupted_run_resumes_where_it_was(home, tmp_path):
    assert detect(home, tmp_path) == 1
    path = tmp_path / "faces.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert detect(home, tmp_path, "--resume", "--smallest", "30") == 2
    assert detect(home, tmp_path, "--resume") == 1
    assert path.read_bytes() == whole


def test_embed_writes_a_row_a_face_that_numpy_opens_without_pickle(home, tmp_path, capsys):
    out = tmp_path / "faces.npz"
    assert embed(home, out) == 1
    assert "no face: " in (said := capsys.readouterr()).err and "c.png" in said.err
    file = np.load(out, allow_pickle=False)
    assert set(file) == {"files", "boxes", "landmarks", "quality", "embeddings", "contract"}
    assert [name.rsplit("/")[-1] for name in file["files"]] == ["a.png", "b.png", "b.png", "e.png"]
    recognizer = FaceRecognizer.load(home / "tiny")
    assert str(file["contract"]) == recognizer.model_id
    assert file["files"].dtype.kind == "U" and {
        file[key].dtype for key in file if key not in ("files", "contract")
    } == {np.dtype(np.float32)}
    answers = [recognizer(name) for name in dict.fromkeys(file["files"])]
    for key, digits in (("boxes", 2), ("landmarks", 2), ("embeddings", 6)):
        expected = np.concatenate([getattr(answer, key) for answer in answers])
        np.testing.assert_allclose(file[key], expected, atol=0.6 * 10**-digits, rtol=0)
    quality = [one.score for answer in answers for one in answer.quality]
    np.testing.assert_allclose(file["quality"], quality, atol=6e-4)


def test_an_interrupted_embedding_run_resumes_and_ends_the_same(home, tmp_path, capsys):
    out, journal = tmp_path / "faces.npz", tmp_path / "faces.jsonl"
    assert embed(home, out) == 1
    whole, rows = out.read_bytes(), journal.read_bytes()
    assert embed(home, out) == 2
    assert "--resume" in capsys.readouterr().err
    journal.write_bytes(rows[: len(rows) // 2])
    assert embed(home, out, "--resume") == 1
    assert journal.read_bytes() == rows
    assert all(np.array_equal(np.load(out)[key], value) for key, value in np.load(out).items())
    assert len(out.read_bytes()) == len(whole)
    other = write_tiny_embedder(tmp_path / "other", seed=1, calibration=CALIBRATION.to_dict())
    assert main(["faces", "embed", str(home / "photos"), "--output", str(out), "--model", str(other), "--resume"]) == 2
    assert "--model was" in capsys.readouterr().err


def test_no_faces_at_all_are_an_empty_file(home, tmp_path):
    out = tmp_path / "none.npz"
    assert (
        main(["faces", "embed", str(home / "photos/c.png"), "--output", str(out), "--model", str(home / "tiny")]) == 0
    )
    assert np.load(out)["embeddings"].shape == (0, 16) and np.load(out)["landmarks"].shape == (0, 5, 2)


def test_one_person_is_the_same_and_others_are_not(home, capsys):
    assert verify(home, "e.png", "e.png") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("same: similarity 1.000, threshold 0.900 at a false accept rate of 0.001, model ")
    assert len(said) == 3 and said[1].endswith("e.png: face at 200,100 to 280,210")
    assert verify(home, "a.png", "e.png", "--json") == 1
    row = json.loads(capsys.readouterr().out)
    expected = FaceRecognizer.load(home / "tiny").verify(*(home / "photos" / name for name in ("a.png", "e.png")))
    assert row == {"file_a": row["file_a"], "file_b": row["file_b"], **expected.to_dict()}
    assert row["verdict"] in ("different", "uncertain")
    assert {"verdict", "similarity", "threshold", "far", "contract"} <= row.keys() and row["far"] == 0.001


def test_a_face_that_is_hard_to_recognize_is_uncertain_and_the_words_say_what_helps(home, capsys):
    assert verify(home, "a.png", "a.png") == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("uncertain (a face is hard to recognize): similarity 1.000, threshold 0.900 at a ")
    why = "too_small: it is too small (23 px; at least 24 needed). Use a closer photo."
    assert all(line.endswith(f"a.png: face at 50,60 to 73,83, {why}") for line in said[1:])
    assert verify(home, "a.png", "a.png", "--json") == 1
    row = json.loads(capsys.readouterr().out)
    assert (row["verdict"], row["similarity"]) == ("uncertain", 1.0)
    assert row["face_a"]["quality"]["reasons"] == row["face_b"]["quality"]["reasons"] == ["too_small"]
    assert list(row) == [
        "file_a", "file_b", "verdict", "similarity", "threshold", "far", "contract", "face_a", "face_b",
    ]  # fmt: skip


def test_a_rate_moves_the_threshold(home, capsys):
    assert verify(home, "e.png", "e.png", "--far", "0.1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["threshold"] == 0.2
    assert verify(home, "a.png", "a.png", "--far", "0.00001") == 2
    assert "pairs of different people" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("b.png", "b.png: shows 2 faces"),
        ("c.png", "c.png: no face found"),
        ("d.png", "d.png: not an image"),
        ("x.png", "x.png: no such file"),
    ],
)
def test_what_cannot_be_compared_has_the_exit_code_2(home, capsys, name, message):
    assert verify(home, "a.png", name) == 2
    said = capsys.readouterr()
    assert message in said.err and said.out == ""


def test_the_largest_of_several_faces_is_compared_when_asked(home, capsys):
    assert verify(home, "b.png", "e.png", "--largest") in (0, 1)
    assert "b.png: face at 200,100 to 280,210" in capsys.readouterr().out


def test_wrong_words_are_refused_before_anything_is_written(home, tmp_path, capsys):
    assert embed(home, tmp_path / "faces.txt") == 2
    assert "must end in .npz" in capsys.readouterr().err
    assert detect(home, tmp_path / "out", "--confidence", "2") == 2
    assert not any(tmp_path.iterdir())


def test_released_models_are_used_from_their_folders(home, released, tmp_path):
    words = ["--detector", released, "--smallest", "60"]
    assert detect(home, tmp_path / "out", *words, "--confidence", "0") == 1
    rows = rows_of(tmp_path / "out" / "faces.jsonl")
    faces = [face for row in rows for face in row["faces"]]
    assert {row["model"] for row in rows} == {str(released)} and faces
    assert {np.shape(face["landmarks"]) for face in faces} == {(5, 2)}


def test_models_show_an_embedder_without_classes_and_with_its_contract(home, capsys, monkeypatch):
    monkeypatch.setenv("VISION_APP_MODELS", str(home))
    assert main(["models", "list"]) == 0 and main(["models", "info", "tiny"]) == 0
    said = capsys.readouterr().out
    (line,) = (line for line in said.splitlines() if line.startswith("tiny "))
    assert line.split() == ["tiny", "face-embedding", "0.0", "MB"]
    assert (
        f"model id:      {FaceRecognizer.load('tiny').model_id}\n" in said and "classes" not in said.split("name:")[1]
    )
