"""`FaceRecognizer`: the face that is embedded is the one that was found, verdicts follow the calibration."""

from dataclasses import replace

import numpy as np
import pytest
from skimage import data
from tiny_faces import green_detector, paint_face, write_tiny_embedder

from vision_app import read_image
from vision_app.core.errors import FaceError, ImageError, ModelError, UsageError
from vision_app.faces.align import align
from vision_app.faces.calibration import Calibration, Rate
from vision_app.faces.embedder import Embedder
from vision_app.faces.recognizer import FaceRecognizer
from vision_app.faces.results import Faces

RATES = (Rate(0.1, 0.2, 0.18, 0.22), Rate(0.01, 0.3, 0.28, 0.32), Rate(0.001, 0.4, 0.37, 0.45))
CALIBRATION = Calibration(RATES, tail_far=0.01, tail_scale=0.05, impostor_pairs=9000, genuine_pairs=900, people=90)


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    embedder = Embedder.load(write_tiny_embedder(folder, calibration=CALIBRATION.to_dict()), threads=1)
    return FaceRecognizer(green_detector(), embedder)


def pixels_of(*boxes):
    """A photo with green faces, striped so that each has an embedding of its own."""
    pixels = np.full((400, 600, 3), 90, np.uint8)
    for number, box in enumerate(boxes):
        paint_face(pixels, box)
        x1, y1, x2, y2 = box
        for row in range(y1, y2, 12):
            pixels[row : row + 6, x1:x2, 0] = 70 + 28 * (number % 3)
    return pixels


A, B = (50, 60, 130, 150), (300, 100, 420, 240)


def test_faces_are_found_judged_and_embedded_as_each_step_does(recognizer):
    pixels = pixels_of(A, B)
    faces = recognizer(pixels)
    assert (
        len(faces) == 2
        and faces.model_id
        == faces.contract
        == recognizer.model_id
        == recognizer.contract
        == recognizer.embedder.model_id
    )
    found = recognizer.detector(pixels)
    np.testing.assert_array_equal(faces.boxes, found.boxes)
    chips = np.stack([align(pixels, points, recognizer.embedder.template) for points in found.landmarks])
    np.testing.assert_allclose(faces.embeddings, recognizer.embedder.embed(chips), atol=1e-6)
    for face, box in zip(faces, faces.boxes, strict=True):
        assert face.quality.size == pytest.approx(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
    np.testing.assert_array_equal(faces.detections.landmarks, faces.landmarks)
    rows = faces.to_dict()["faces"]
    assert faces[-1].to_dict() == rows[1]
    for index, places in ((slice(1), [0]), ([1, 0], [1, 0]), (np.array([False, True]), [1])):
        assert faces[index].to_dict() == faces.to_dict() | {"faces": [rows[place] for place in places]}


def test_rows_are_plain_values_with_the_embedding_if_there_is_one(recognizer):
    image = read_image(pixels_of(A))
    found = recognizer.detector(image)
    with pytest.raises(TypeError, match="checker"):  # a face without reasons passes for a good one
        Faces.of(image, found)
    bare = Faces.of(image, found, None)
    row, full = bare.to_dict(), recognizer(image).to_dict()
    assert list(row) == ["width", "height", "model", "faces"] and (row["width"], row["height"]) == (600, 400)
    assert list(row["faces"][0]) == ["box", "score", "landmarks", "quality"]
    assert list(full) == ["width", "height", "model", "contract", "faces"]
    (face,) = full["faces"]
    assert np.linalg.norm(face.pop("embedding")) == pytest.approx(1, abs=1e-4)
    assert full["faces"] == row["faces"]


def test_faces_refuse_inconsistent_fields(recognizer):
    faces = recognizer(pixels_of(A, B))
    for changes, message in (
        ({"embeddings": None}, "both or none"),
        ({"model_id": None}, "both or none"),
        ({"boxes": faces.boxes[:1]}, "boxes: expected 2 x 4"),
        ({"landmarks": faces.landmarks[:, :3]}, "landmarks: expected 2 x 5 x 2"),
        ({"embeddings": np.full((2, 16), np.nan)}, "embeddings: expected finite"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(faces, **changes)


def test_exactly_one_face_is_taken_or_the_largest_when_asked(recognizer, tmp_path):
    with pytest.raises(FaceError, match="shows 2 faces") as error:
        recognizer.face(pixels_of(A, B))
    assert error.value.code == "several_faces"
    np.testing.assert_allclose(recognizer.face(pixels_of(A, B), largest=True).box, B, atol=3)
    with pytest.raises(FaceError, match="<image>: no face found") as error:
        recognizer.face(pixels_of(), largest=True)
    assert error.value.code == "no_face"
    with pytest.raises(ImageError, match="no such file"):
        recognizer.face(tmp_path / "missing.jpg")


def test_one_person_is_the_same_and_the_verdict_follows_the_band(recognizer):
    answer = recognizer.verify(pixels_of(A), pixels_of(A))
    assert answer.verdict == "same" and answer.similarity == pytest.approx(1, abs=1e-5)
    assert (answer.threshold, answer.far, answer.model_id) == (0.4, 0.001, recognizer.model_id)
    face = recognizer.face(pixels_of(A))
    for similarity, far, verdict in (
        (0.46, None, "same"),
        (0.44, None, "uncertain"),
        (0.31, None, "uncertain"),
        (0.29, None, "different"),
        (-0.5, None, "different"),
        (0.33, 0.01, "same"),
        (0.19, 0.01, "different"),
    ):
        answer = recognizer.compare(face, turned(face, similarity), far=far)
        assert answer.verdict == verdict and answer.similarity == pytest.approx(similarity, abs=1e-5)
    assert answer.threshold == 0.3
    row = answer.to_dict()
    assert list(row) == ["verdict", "similarity", "threshold", "far", "contract", "face_a", "face_b"]
    assert "embedding" not in row["face_a"] and row["similarity"] == 0.19


REASONS = ["too_small", "blurred", "extreme_pose", "under_exposed", "over_exposed", "a_reason_to_come"]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("similarity", [1.0, 0.46, 0.31, -0.5])
def test_a_face_that_is_not_fit_is_uncertain_whatever_the_similarity(recognizer, reason, similarity):
    face = recognizer.face(pixels_of(A))
    unfit = replace(face, quality=replace(face.quality, reasons=(reason,)))
    assert face.is_fit and not unfit.is_fit
    for a, b in ((unfit, turned(face, similarity)), (turned(face, similarity), unfit), (unfit, unfit)):
        answer = recognizer.compare(a, b)
        assert answer.verdict == "uncertain" and not answer.same
    row = recognizer.compare(unfit, turned(face, similarity)).to_dict()
    assert row["similarity"] == pytest.approx(similarity, abs=1e-4) and row["threshold"] == 0.4
    assert row["face_a"]["quality"]["reasons"] == [reason] and row["face_b"]["quality"]["reasons"] == []


def test_two_small_faces_are_uncertain_from_the_photo_on(recognizer):
    small = pixels_of((50, 60, 70, 82))
    answer = recognizer.verify(small, small)
    assert answer.similarity == pytest.approx(1, abs=1e-5) and answer.face_a.quality.reasons == ("too_small",)
    assert answer.verdict == "uncertain"


def test_means_of_both_sides_raise_the_threshold(recognizer):
    face = recognizer.face(pixels_of(A))
    one, both = recognizer.compare(face, face, photos=3), recognizer.compare(face, face, photos=3, photos_a=2)
    gain = recognizer.calibration.gain
    assert one.threshold == 0.4 + gain(3) and both.threshold == pytest.approx(0.4 + gain(3) + gain(2))


def turned(face, similarity):
    """The face with another embedding whose cosine with its own is `similarity`."""
    other = np.roll(face.embedding, 1)
    other = other - (other @ face.embedding) * face.embedding
    other /= np.linalg.norm(other)
    return replace(face, embedding=similarity * face.embedding + np.sqrt(1 - similarity**2) * other)


@pytest.mark.parametrize("wrong", [None, np.full(16, np.nan), np.ones(16), np.eye(128)[0]])
def test_an_embedding_of_another_model_is_refused(recognizer, wrong):
    face = recognizer.face(pixels_of(A))
    with pytest.raises(FaceError, match="an embedding of 16 numbers and length 1") as error:
        recognizer.compare(face, replace(face, embedding=wrong))
    assert error.value.code == "bad_embedding"


def test_rates_that_are_not_calibrated_are_refused(recognizer):
    face = recognizer.face(pixels_of(A))
    with pytest.raises(UsageError, match="1e-06"):
        recognizer.compare(face, face, far=1e-6)
    model = recognizer.embedder.model
    bare = replace(model, info={key: value for key, value in model.info.items() if key != "calibration"})
    bare = FaceRecognizer(recognizer.detector, Embedder(bare, recognizer.embedder.network))
    with pytest.raises(ModelError, match="faces calibrate"):
        bare.compare(face, face)


def test_a_photo_without_a_face_has_no_embedding(recognizer):
    faces = recognizer(data.coffee())
    assert len(faces) == 0 and faces.embeddings.shape == (0, 16)
    assert faces.to_dict()["faces"] == []
