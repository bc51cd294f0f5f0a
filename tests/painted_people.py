"""Painted faces of people by number, and a recognizer that knows them by their colors."""

import io
import sqlite3
from pathlib import Path

import numpy as np
from PIL import Image

from vision_app import Gallery
from vision_app.core.images import read_image
from vision_app.core.results import Detections
from vision_app.faces.align import TEMPLATE
from vision_app.faces.calibration import Calibration, Rate
from vision_app.faces.recognizer import FaceRecognizer

DIMENSION = 32
WIDTH, HEIGHT, STEP = 120, 150, 140  # pixels of what is painted, and from one to the next
INSET = 6  # pixels from its corner to the face's box
BOX = np.array([108, 125])  # pixels
POINTS = (TEMPLATE - [18, 18]) / [76, 88] * BOX  # where the landmarks lie in it
BLURRED = 0  # instead of the number of a photo: nothing but a gradual change
RATES = (Rate(0.1, 0.3, 0.28, 0.32), Rate(0.001, 0.6, 0.58, 0.62))
CALIBRATION = Calibration(RATES, tail_far=0.001, tail_scale=0.02, impostor_pairs=9000, genuine_pairs=900, people=90)


def unit(values):
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def embedding_of(person: int, photo: int, model_id: str = "first") -> np.ndarray:
    """(DIMENSION,) a unit vector; photos of one person have a similarity of about 0.9 to each other."""
    seed = sum(model_id.encode())
    center = unit(np.random.default_rng([seed, person]).standard_normal(DIMENSION))
    other = unit(np.random.default_rng([seed, person, photo + 1]).standard_normal(DIMENSION))
    return unit(center + 0.3 * other)


def paint(*faces: tuple[int, int]) -> np.ndarray:
    """An image of faces side by side, each the number of a person, from 1, and of a photo; or of none."""
    image = np.zeros((HEIGHT + 40, 40 + STEP * max(len(faces), 1), 3), np.uint8)
    for number, (person, photo) in enumerate(faces):
        part = image[20 : 20 + HEIGHT, 20 + STEP * number : 20 + STEP * number + WIDTH]
        part[:] = (person, 0, photo)
        noise = np.random.default_rng([person, photo]).integers(60, 256, (HEIGHT, WIDTH), np.uint8)
        part[..., 1] = np.linspace(60, 255, WIDTH) if photo == BLURRED else noise
    return image


def photo(path: Path, *faces: tuple[int, int]) -> Path:
    """Write a painted image, without loss; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    Image.fromarray(paint(*faces)).save(stream, "PNG")
    path.write_bytes(stream.getvalue())
    return path


class PaintedFaceFinder:
    """Finds painted faces, as a `FaceDetector` does."""

    name, device, runtime, digest, checker = "painted", "cpu", "onnx", "0" * 64, None

    def read(self, source, **options):
        return read_image(source, **options)

    def __call__(self, source):
        image = read_image(source)
        columns = range(20 + WIDTH // 2, image.width, STEP)
        places = [20 + STEP * i for i, x in enumerate(columns) if image.pixels[20 + HEIGHT // 2, x, 0]]
        corners = np.array([[x, 20] for x in places], np.float32).reshape(-1, 2)
        boxes = np.hstack([corners + INSET, corners + INSET + BOX])
        points = boxes[:, None, :2] + POINTS[None]
        scores, labels = np.full(len(boxes), 0.9), ("face",) * len(boxes)
        return Detections(boxes, scores, labels, image.width, image.height, self.name, points)


class ColorEmbedder:
    """Embeds painted faces by the colors in the middle, as an `Embedder` does."""

    name, device, runtime, dimension, template, calibration = "colors", "cpu", "onnx", DIMENSION, TEMPLATE, CALIBRATION

    def __init__(self, model_id: str):
        self.model_id = self.contract = model_id

    def embed(self, chips):
        people = [embedding_of(*map(int, chip[56, 56, ::2]), self.model_id) for chip in chips]
        return np.array(people, np.float32).reshape(-1, self.dimension)


def painted_recognizer(model_id: str = "first") -> FaceRecognizer:
    return FaceRecognizer(PaintedFaceFinder(), ColorEmbedder(model_id))


def open_writer(path: Path, model_id: str = "first") -> Gallery:
    return Gallery.open(path, recognizer=painted_recognizer(model_id))


def run_sql(path: Path, sql: str) -> None:
    """Run statements on the file of a gallery that nobody has open."""
    connection = sqlite3.connect(path)
    connection.executescript(sql)
    connection.close()
