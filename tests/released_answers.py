"""What the released models say of scikit-image's photos.

`python tests/released_answers.py FILE.json` writes it; `test_released_models.py` compares it with what an earlier
version wrote. A model that is replaced changes its part of the file, and nothing else does.
"""

import json
import sys
from pathlib import Path

import numpy as np
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app import Classifier, Detector, FaceRecognizer, Stylizer, read_image
from vision_app.faces.align import align
from vision_app.faces.checker import FaceChecker
from vision_app.faces.landmarker import FaceLandmarker

IMAGES = {name: getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}


def detections(model: str) -> dict[str, dict]:
    """The objects of every image."""
    detector = Detector.load(model, threads=1)
    return {name: detector(image, max_detections=5).to_dict() for name, image in IMAGES.items()}


def classes() -> dict[str, dict]:
    """The classes of every image."""
    classifier = Classifier.load(threads=1)
    return {name: classifier(image).to_dict(top=3, localize=True) for name, image in IMAGES.items()}


def faces() -> dict:
    """The astronaut's face, its embedding included."""
    return FaceRecognizer.load(threads=1)(IMAGES["astronaut"]).to_dict()


def face_quality() -> dict:
    """What is seen in the astronaut's face, as it is and as a negative."""
    checker, face = FaceChecker.load(threads=1), align(IMAGES["astronaut"], ASTRONAUT)
    checks = checker.check(np.stack([face, 255 - face]))
    return {"roll": checks.roll.tolist(), "probabilities": checks.probabilities.tolist()}


def face_landmarks() -> dict:
    """Where the landmarks of the astronaut's face are seen, from rough ones."""
    rough = np.float32(ASTRONAUT + np.array([4, -3]))[None]
    return {"landmarks": FaceLandmarker.load(threads=1).refined(read_image(IMAGES["astronaut"]), rough)[0].tolist()}


def style() -> dict:
    """A styled part of a photo: its row, and mean and standard deviation of its colors."""
    styled = Stylizer.load("fast", threads=1)(IMAGES["chelsea"][:128, :160], "sample:waves", strength=0.8)
    spread = {"mean": styled.pixels.mean(axis=(0, 1)).tolist(), "std": styled.pixels.std(axis=(0, 1)).tolist()}
    return {"row": styled.to_dict(), **spread}


ANSWERS = {
    "yolo": lambda: detections("yolo"),
    "faster-rcnn": lambda: detections("faster-rcnn"),
    "classifier": classes,
    "faces": faces,
    "face-quality": face_quality,
    "face-landmarks": face_landmarks,
    "style-fast": style,
}

if __name__ == "__main__":
    content = {name: answer() for name, answer in ANSWERS.items()}
    Path(sys.argv[1]).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
