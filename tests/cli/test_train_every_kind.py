"""Every training takes a step in every precision, and with a single image."""

import csv
import math

import pytest
import torch
from drawn_people import write_photos as write_people
from drawn_sets import face_set, yolo
from tiny_detectors import write_tiny
from tiny_faces import green_detector, write_tiny_face_detector
from tiny_styles import write_photos, write_teachers, write_tiny_encoder, write_tiny_fast

from vision_app.cli import main
from vision_app.faces.detector import FaceDetector
from vision_app.training import step

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("without_onnx")]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """The words of each command, but for where the run goes."""
    folder = tmp_path_factory.mktemp("kinds")
    tiny, photos = write_tiny(folder / "tiny"), write_photos(folder / "photos")
    set_, size = ["--data", yolo(folder / "set", (("train", 2), ("val", 1)))], ["--size", 64]
    face = face_set(folder / "faces")
    people = write_people(folder / "people", 2, 2)
    return {
        "yolo": [*set_, "--initial", tiny, *size, "--mosaic", 0],
        "faster-rcnn": [*set_, "--initial", tiny, *size, "--transfer", "all"],
        "fast-rcnn": [*set_, "--initial", tiny, *size, "--transfer", "all"],
        "classifier": [*set_, "--initial", tiny, "--transfer", "all"],
        "face-detector": ["--data", face, "--val", face, "--initial", write_tiny_face_detector(folder / "f"), *size],
        "faces": ["--data", people, "--teacher", "face-embedder", "--loss", "teacher"],
        "style-encoder": ["--data", photos, "--teacher", write_teachers(folder / "teachers"), *size],
        "style-fast": [
            "--data", photos, "--encoder", write_tiny_encoder(folder / "encoder"), "--initial",
            write_tiny_fast(folder / "fast"), *size,
        ],
    }  # fmt: skip


KINDS = "yolo", "faster-rcnn", "fast-rcnn", "classifier", "face-detector", "faces", "style-encoder", "style-fast"


@pytest.fixture
def train(kinds, tmp_path, monkeypatch):
    """Train for an epoch; the columns and only row of metrics.csv."""
    monkeypatch.setattr(FaceDetector, "load", lambda model: green_detector())

    def run(kind, *words):
        words = ["train", kind, *kinds[kind], "--output", tmp_path / "run", "--epochs", 1, "--workers", 1, *words]
        assert main([str(word) for word in words]) == 0
        (row,) = csv.DictReader((tmp_path / "run" / "metrics.csv").open())
        return row

    return run


@pytest.mark.parametrize(("fast", "batch"), [(True, 2), (False, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_taken_in_the_precision_of_the_processor_even_with_a_single_image(
    train, monkeypatch, kind, fast, batch
):
    computed, convolution = set(), torch.nn.Conv2d.forward
    monkeypatch.setattr(step, "bf16_is_fast", lambda device: fast)
    monkeypatch.setattr(
        torch.nn.Conv2d, "forward", lambda layer, x: (y := convolution(layer, x), computed.add(y.dtype))[0]
    )
    assert math.isfinite(float(train(kind, "--batch-size", batch)["loss"]))
    assert (torch.bfloat16 in computed) == fast
