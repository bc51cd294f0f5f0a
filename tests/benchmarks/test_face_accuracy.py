"""The comparison of face pipelines: what each network is fed, who agrees with whom, and what the table says."""

import sys
from pathlib import Path

import face_accuracy
import face_contestants
import numpy as np
import pytest
from face_accuracy import agreement, landmark_errors
from onnx import TensorProto, helper, numpy_helper, save
from PIL import Image
from tiny_faces import green_detector, paint_face, write_tiny_embedder

from vision_app import Detections, read_image
from vision_app.faces.detector import FaceDetector

BOX = np.array([[100.0, 100, 140, 140]])


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (BOX, BOX + 5, (1, 0, 0)),
        (BOX, BOX + 30, (0, 1, 1)),
        (BOX, BOX[:0], (0, 1, 0)),
        (np.concatenate([BOX, BOX + 1]), BOX, (1, 1, 0)),  # a second box on a face is a mistake
        (np.concatenate([BOX + 8, BOX]), BOX, (1, 1, 0)),
        (BOX, np.array([[0.0, 0, 19, 19]]), (0, 1, 0)),  # too small to be missed
        (np.array([[0.0, 0, 18, 18]]), np.array([[0.0, 0, 19, 19]]), (0, 0, 0)),
        (np.array([[0.0, 0, 18, 18]]), np.array([[0.0, 0, 21, 21]]), (1, 0, 0)),  # on the border: no mistake
    ],
)
def test_faces_agree_one_to_one(ours, theirs, expected):
    assert agreement(ours, theirs) == expected
    assert agreement(theirs, ours) == (expected[0], expected[2], expected[1])


class Frames:
    """A face detector that finds one face, in the middle third of what it sees, once there is a frame around it."""

    def __init__(self):
        self.sizes, self.seen = [], []

    def setInputSize(self, size):  # noqa: N802
        self.sizes.append(tuple(size))

    def detect(self, pixels):
        self.seen.append(pixels)
        if pixels[0, 0].any():
            return 0, None
        width, height = self.sizes[-1]
        return 1, np.float32([[width / 3, height / 3, width / 3, height / 3, *[width / 2, height / 2] * 5, 0.9]])


def test_the_landmarks_of_faces_that_both_found_are_compared_by_the_distance_between_the_eyes():
    points = np.float32([[[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]]])
    boxes = np.float32([[400, 0, 440, 50], [20, 10, 80, 110]])
    ours = Detections(boxes, np.float32([0.9, 0.8]), ("face",) * 2, 500, 200, "ours", np.repeat(points, 2, axis=0))
    theirs = np.concatenate([boxes[1] + 2, (points + np.float32([3, 4])).ravel(), [0.7]]).astype(np.float32)[None]
    ((size, away),) = landmark_errors(ours, theirs)
    assert size == pytest.approx(np.sqrt(60 * 100)) and away == pytest.approx(5 / 40)


def test_yunet_gets_a_framed_crop_and_answers_in_its_pixels(monkeypatch):
    frames = Frames()
    monkeypatch.setattr(face_contestants.cv2.FaceDetectorYN, "create", lambda *_: frames)
    yunet = face_contestants.YuNet(Path("yunet.onnx"), 0.5)
    pixels = np.full((100, 200, 3), (10, 20, 30), np.uint8)
    face = yunet.largest(pixels)
    assert frames.sizes == [(320, 160)], "30 % more on each side, 320 pixels wide"
    assert frames.seen[0][80, 160].tolist() == [30, 20, 10], "BGR"
    np.testing.assert_allclose(face[:4], [320 / 3 - 60, 160 / 3 - 30, 640 / 3 - 60, 320 / 3 - 30], atol=0.5)
    np.testing.assert_allclose(face[4:].reshape(5, 2), [[100, 50]] * 5, atol=0.5)


def write_means(path):
    """A network whose embedding is its input's mean color, three times over."""
    image = helper.make_tensor_value_info("face", TensorProto.FLOAT, [1, 3, 112, 112])
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 3])
    axes = numpy_helper.from_array(np.array([1, 3], np.int64), "shape")
    nodes = [
        helper.make_node("ReduceMean", ["face"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["embedding"]),
    ]
    graph = helper.make_graph(nodes, "means", [image], [output], [axes])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def test_mobilefacenet_gets_rgb_around_zero(tmp_path):
    write_means(tmp_path / "means.onnx")
    network = face_contestants.MobileFaceNet(tmp_path / "means.onnx", None, 1)
    chip = np.full((112, 112, 3), (255, 191, 127), np.uint8)
    expected = np.array([127.5, 63.5, -0.5])
    np.testing.assert_allclose(network.embed(chip), expected / np.linalg.norm(expected), rtol=1e-4)
    image = read_image(np.full((200, 300, 3), 50, np.uint8))
    points = face_contestants.TEMPLATE * 1.5 + 20
    assert network.align(image, np.append([0, 0, 9, 9], points.ravel())).shape == (112, 112, 3)


def test_dlibs_similarity_is_one_minus_the_distance():
    vectors = np.float32([[0, 0], [0.3, 0.4], [3, 4]])
    similar = face_contestants.Dlib.similarities(None, vectors)
    np.testing.assert_allclose(similar, [[1, 0.5, -4], [0.5, 1, -3.5], [-4, -3.5, 1]], atol=1e-5)


def test_the_table_shows_what_was_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(FaceDetector, "load", lambda *_, **__: green_detector())
    monkeypatch.setattr(face_accuracy, "YuNet", lambda *_: lambda pixels: np.float32([[30, 30, 80, 90, *[0] * 11]]))
    write_tiny_embedder(tmp_path / "tiny")
    rows, pairs, rng = ["file,identity,split"], ["file_a,file_b,same"], np.random.default_rng(0)
    (tmp_path / "crops").mkdir()
    for person in range(12):
        stripes = rng.integers([0, 190, 0], [60, 250, 60], (6, 3))
        for photo in range(2):
            pixels = np.full((120, 110, 3), 90, np.uint8)
            paint_face(pixels, (30, 30, 80, 90))
            for i, color in enumerate(stripes):
                pixels[40 + 6 * i : 44 + 6 * i, 40 + photo : 70] = color
            name = f"crops/{person}_{photo}.png"
            Image.fromarray(pixels).save(tmp_path / name)
            rows.append(f"{name},p{person},val")
        pairs += [
            f"crops/{person}_0.png,crops/{person}_1.png,1",
            f"crops/{person}_0.png,crops/{(person + 1) % 12}_1.png,0",
        ]
    Image.new("RGB", (60, 60)).save(tmp_path / "crops" / "11_1.png")  # no face
    (tmp_path / "images.csv").write_text("\n".join(rows))
    (tmp_path / "pairs.csv").write_text("\n".join(pairs))
    words = ["face_accuracy.py", "--data", tmp_path, "--pairs", tmp_path / "pairs.csv", "--model", tmp_path / "tiny"]
    monkeypatch.setattr(sys, "argv", [*map(str, words), "--yunet", "x", "--photos", str(tmp_path / "crops")])
    face_accuracy.main()
    said = capsys.readouterr().out
    head, line = (row.split("  ") for row in said.splitlines()[1:3])
    assert said.startswith("24 photos of 12 people") and "TAR, FAR 1 %" in " ".join(head)
    assert "95.83%" in line, "23 of 24 faces"
    assert "faces in crops of crops: one in 95.83%, several in 0.00%, none in 4.17%" in said
    assert "agreement with YuNet on 24 photos, faces from 20 px: F1 0.979" in said
    assert "23 faces found by both, 0 by ours alone, 1 by YuNet alone" in said
    monkeypatch.setattr(sys, "argv", ["face_accuracy.py", "--data", str(tmp_path), "--dlib", str(tmp_path)])
    with pytest.raises(SystemExit):
        face_accuracy.main()
    assert "--yunet is needed" in capsys.readouterr().err
