"""A detector of corners, from a COCO file with keypoints to rows, tables and images, all by commands."""

import csv
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vision_app import Detector, draw
from vision_app.cli import main
from vision_app.core.images import read_image
from vision_app.data.coco import load_coco
from vision_app.detection.evaluate.evaluation import MEASURING
from vision_app.detection.evaluate.matching import landmark_error
from vision_app.detection.train.trainer import predict_rows
from vision_app.released.find import find
from vision_app.released.landmarks import Landmarks

NAMES = ["left_corner", "right_corner", "top"]
CATEGORIES = [{"id": 1, "name": "sail", "keypoints": NAMES}, {"id": 2, "name": "buoy"}]

pytestmark = pytest.mark.training


def make_set(folder, photos):
    """A COCO file of gray photos with a red triangle, whose corners are known, and a blue disk; 96 x 72 pixels."""
    (folder / "images").mkdir(parents=True)
    generator, images, annotations = np.random.default_rng(0), [], []
    for i in range(photos):
        photo = Image.fromarray(generator.integers(80, 100, (72, 96, 3), dtype=np.uint8))
        x, y = generator.integers((4, 4), (12, 20)).tolist()
        w, h = generator.integers((30, 34), (44, 46)).tolist()
        corners = [(x, y + h), (x + w, y + h), (x + generator.integers(4, w - 4).item(), y)]
        ImageDraw.Draw(photo).polygon(corners, fill=(230, 40, 30))
        ImageDraw.Draw(photo).ellipse((64, 20, 88, 44), fill=(30, 60, 230))
        photo.save(folder / "images" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 96, "height": 72})
        points = [value for corner in corners for value in (*corner, 2)]
        annotations.append({"image_id": i, "category_id": 1, "bbox": [x, y, w, h], "keypoints": points})
        annotations.append({"image_id": i, "category_id": 2, "bbox": [64, 20, 24, 24]})
    for i, row in enumerate(annotations):
        row["id"] = i
    path = folder / "boxes.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The set, and the folder of a short run from the released detector, measured on what it is trained on."""
    folder = tmp_path_factory.mktemp("sails")
    path = make_set(folder / "set", 8)
    words = ["train", "yolo", "--data", path, "--val", path, "--output", folder / "run", "--initial", "yolo"]
    words += ["--size", 96, "--epochs", 1, "--batch-size", 4, "--precision", "fp32"]
    assert main(list(map(str, words))) == 0
    return path, folder / "run"


def test_a_run_logs_the_landmarks_loss_and_leaves_a_model_that_knows_their_names(run):
    _, folder = run
    (row,) = csv.DictReader((folder / "metrics.csv").open())
    assert float(row["landmarks"]) > 0
    model = find(folder / "best")
    assert Landmarks.of(model) == Landmarks(tuple(NAMES), ("sail",))
    assert model.info["landmarks"]["flip"] == [1, 0, 2]
    assert "5 + 2 + 2 x 3" in model.info["output"] and model.info["architecture"]["landmarks"] == 3


def test_the_model_records_its_landmark_error(run):
    path, folder = run
    data = load_coco(path)
    error = landmark_error(data, predict_rows(Detector.load(folder / "best"), data.paths, MEASURING))
    (figures,) = find(folder / "best").info["measured"].values()
    assert error > 0 and figures["landmark_error"] == round(error, 4)


def test_rows_carry_landmarks_for_the_classes_that_have_them(run, tmp_path):
    path, folder = run
    words = ["detect", path.parent / "images", "--model", folder / "best", "--output", tmp_path / "out", "--images"]
    assert main(list(map(str, [*words, "--confidence", 0, "--csv"]))) == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    found = [one for row in rows for one in row["detections"]]
    assert {one["label"] for one in found} == {"sail", "buoy"}
    assert all(np.shape(one.get("landmarks", 0)) == ((3, 2) if one["label"] == "sail" else ()) for one in found)
    detector = Detector.load(folder / "best")
    assert detector.landmarks.names == tuple(NAMES)
    answer = detector(path.parent / "images" / "0.png", confidence=0)
    assert answer.to_dict()["detections"] == rows[0]["detections"]
    with_points = np.isfinite(answer.landmarks).all(axis=(1, 2))
    assert with_points.tolist() == [label == "sail" for label in answer.labels]
    expected = draw(path.parent / "images" / "0.png", answer)
    drawn = read_image(tmp_path / "out" / "images" / "0.png.jpg").pixels
    assert np.abs(drawn.astype(int) - expected).mean() < 12  # but for JPEG
