"""Embed the face of a photo in several ways, step by step, so that the steps can be timed separately.

dlib's network expects the chip that its five-point predictor cuts out and is compared by Euclidean distance (King,
2017); MobileFaceNet (Chen et al., 2018) expects faces aligned to 112 x 112 and is compared by cosine. Both take the
faces that YuNet (Wu et al., 2023) finds. Nothing but our own models is needed: the others are given by path.
"""

from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from vision_app import FaceRecognizer
from vision_app.core.images import RGBImage
from vision_app.faces.align import SIZE, align, align_face
from vision_app.faces.results import Faces

YUNET_SIDE = 320  # long side in pixels at which YuNet gets a crop
FRAMES = (0.3, 0.0, 0.8)  # around a photo, in shares of its sides, one after the other until YuNet finds a face
CHIP = 150  # pixels, of dlib's network
TEMPLATE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])


class Pipeline(Protocol):
    """Turns a photo into an embedding; each step takes the result of the one before."""

    name: str

    def find(self, image: RGBImage) -> Any | None:
        """Return the largest face, or None."""

    def align(self, image: RGBImage, face: Any) -> np.ndarray:
        """Return what the network takes of it."""

    def embed(self, chip: np.ndarray) -> np.ndarray:
        """Return the (D,) embedding."""

    def similarities(self, embeddings: np.ndarray) -> np.ndarray:
        """Turn (F, D) into (F, F), higher for faces that are more alike."""


class Ours:
    """The released models, or others of this project."""

    def __init__(self, model: str, detector: str, threads: int):
        self.recognizer = FaceRecognizer.load(model, detector=detector, threads=threads)
        self.name = self.recognizer.embedder.name

    def find(self, image: RGBImage) -> np.ndarray | None:
        faces = Faces.of(image, self.recognizer.detector(image), self.recognizer.detector.checker)
        sizes = [quality.size for quality in faces.quality]
        return faces.landmarks[int(np.argmax(sizes))] if sizes else None

    def align(self, image: RGBImage, face: np.ndarray) -> np.ndarray:
        return align_face(image, face, self.recognizer.embedder.template)

    def embed(self, chip: np.ndarray) -> np.ndarray:
        return self.recognizer.embedder.embed(chip[None])[0]

    def similarities(self, embeddings: np.ndarray) -> np.ndarray:
        return embeddings @ embeddings.T


class YuNet:
    """OpenCV's face detector with YuNet's file."""

    def __init__(self, path: Path, confidence: float):
        self._detector = cv2.FaceDetectorYN.create(str(path), "", (YUNET_SIDE, YUNET_SIDE), confidence, 0.3, 500)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, 3) RGB -> (N, 15) xyxy, five landmarks, score, in pixels."""
        self._detector.setInputSize(pixels.shape[1::-1])
        _, found = self._detector.detect(np.ascontiguousarray(pixels[..., ::-1]))
        rows = np.zeros((0, 15), np.float32) if found is None else found.copy()
        rows[:, 2:4] += rows[:, :2]
        return rows

    def largest(self, pixels: np.ndarray) -> np.ndarray | None:
        """(14,) the largest face of a crop, whose border may cut it: xyxy and five landmarks, in pixels; or None."""
        height, width = pixels.shape[:2]
        for share in FRAMES:
            x, y = int(width * share), int(height * share)
            framed = cv2.copyMakeBorder(pixels, y, y, x, x, cv2.BORDER_CONSTANT)
            scale = YUNET_SIDE / max(framed.shape[:2])
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            found = self(cv2.resize(framed, None, fx=scale, fy=scale, interpolation=how))[:, :14]
            if len(found):
                found = found / scale - np.tile([x, y], 7)
                return found[(found[:, 2:4] - found[:, :2]).prod(axis=1).argmax()]
        return None


class Dlib:
    """dlib's network, from a folder of the package face_recognition_models."""

    name = "dlib"

    def __init__(self, folder: Path, yunet: YuNet):
        import dlib

        self._dlib, self._yunet = dlib, yunet
        self._predictor = dlib.shape_predictor(str(_inside(folder, "shape_predictor_5_face_landmarks.dat")))
        self._network = dlib.face_recognition_model_v1(
            str(_inside(folder, "dlib_face_recognition_resnet_model_v1.dat"))
        )

    def find(self, image: RGBImage) -> np.ndarray | None:
        return self._yunet.largest(image.pixels)

    def align(self, image: RGBImage, face: np.ndarray) -> np.ndarray:
        """Return the chip of the predictor's landmarks. Its boxes are squares from brow to chin; YuNet's are higher."""
        x1, y1, x2, y2 = face[:4]
        half = 0.525 * (x2 - x1)
        frame = int(max(image.pixels.shape[:2]) * 0.6)
        center = np.array([(x1 + x2) / 2, y1 + 0.55 * (y2 - y1)]) + frame
        pixels = cv2.copyMakeBorder(image.pixels, frame, frame, frame, frame, cv2.BORDER_CONSTANT)
        corners = np.concatenate([center - half, center + half]).astype(int).tolist()
        shape = self._predictor(pixels, self._dlib.rectangle(*corners))
        return self._dlib.get_face_chip(pixels, shape, CHIP, 0.25)

    def embed(self, chip: np.ndarray) -> np.ndarray:
        return np.array(self._network.compute_face_descriptor(chip), np.float32)

    def similarities(self, embeddings: np.ndarray) -> np.ndarray:
        """One minus the distance: dlib's own threshold of 0.6 is 0.4 here."""
        squares = (embeddings**2).sum(axis=1)
        return 1 - np.sqrt(np.maximum(squares[:, None] + squares - 2 * embeddings @ embeddings.T, 0))


class MobileFaceNet:
    """A MobileFaceNet in an ONNX file that takes one face."""

    name = "MobileFaceNet"

    def __init__(self, path: Path, yunet: YuNet, threads: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input, self._yunet = self._session.get_inputs()[0].name, yunet

    def find(self, image: RGBImage) -> np.ndarray | None:
        return self._yunet.largest(image.pixels)

    def align(self, image: RGBImage, face: np.ndarray) -> np.ndarray:
        return align(image.pixels, face[4:].reshape(5, 2), TEMPLATE, SIZE)

    def embed(self, chip: np.ndarray) -> np.ndarray:
        pixels = (chip.astype(np.float32).transpose(2, 0, 1)[None] - 127.5) / 128
        (embedding,) = self._session.run(None, {self._input: pixels})[0]
        return embedding / np.linalg.norm(embedding)

    def similarities(self, embeddings: np.ndarray) -> np.ndarray:
        return embeddings @ embeddings.T


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a file anywhere below a folder."""
    found = next(folder.rglob(name), None)
    if found is None:
        raise FileNotFoundError(f"{folder} holds no {name}")
    return found
