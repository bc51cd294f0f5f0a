"""A face that is known, tiny embedders and face detectors with random weights, and one that finds green boxes."""

from pathlib import Path

import cv2
import numpy as np
import torch
from tiny_detectors import ANCHORS

from vision_app.detection.grid_detector import GridDetector
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.export import write_model as write_detector
from vision_app.faces.align import LANDMARKS, TEMPLATE
from vision_app.faces.detector import FaceDetector
from vision_app.faces.model.network import FaceNetwork, FaceNetworkConfig
from vision_app.faces.train.export import write_model
from vision_app.released.find import Model
from vision_app.released.landmarks import Landmarks
from vision_app.training.initialize import initialize

# The eyes, nose and mouth of skimage.data.astronaut(), marked by hand.
ASTRONAUT = np.array([[202.5, 101.0], [247.0, 103.5], [225.0, 123.5], [204.5, 141.5], [243.0, 141.5]])


def tiny_network(seed: int = 0) -> FaceNetwork:
    """A network whose answers differ between faces; 16 numbers each."""
    torch.manual_seed(seed)
    config = FaceNetworkConfig(widths=(4, 8), depths=(1, 1), ranks=((0, 0), (2, 2)), embedding=16, inner=40)
    network = FaceNetwork(config)
    initialize(network, "he")
    return network.eval()


def write_tiny_embedder(folder, seed: int = 0, **about):
    """Write an embedder; returns its folder."""
    write_model(tiny_network(seed), folder, name=folder.name, **about)
    return folder


# Where the template's landmarks lie in a face's box, in shares of its sides.
IN_BOX = (TEMPLATE - [18, 18]) / [76, 88]
GREEN = (0, 255, 0)


def paint_face(image, box, color=GREEN):
    """Paint a box that `GreenFaces` finds into (H, W, 3) pixels."""
    x1, y1, x2, y2 = (round(value) for value in box)
    image[y1:y2, x1:x2] = color


class GreenFaces:
    """A network that finds green rectangles, from 13 pixels on, that do not touch the edge of its input."""

    runtime, device = "onnx", "cpu"

    def __init__(self):
        self.seen = []  # shapes of the inputs

    def __call__(self, pixels, stages=None):
        self.seen += [one.shape[:2] for one in pixels]
        return np.stack([self._answer(one.astype(int)) for one in pixels])

    def _answer(self, pixels):
        rows, columns = pixels.shape[0] // STRIDE, pixels.shape[1] // STRIDE
        answer = np.full((rows * columns, 6 + 10), -20, np.float32)
        green = (pixels[..., 1] - pixels[..., [0, 2]].max(axis=2) > 120).astype(np.uint8)
        for x, y, w, h, _ in cv2.connectedComponentsWithStats(green)[2][1:]:
            if min(w, h) < 13 or x == 0 or y == 0 or x + w == pixels.shape[1] or y + h == pixels.shape[0]:
                continue
            column, row = int((x + w / 2) // STRIDE), int((y + h / 2) // STRIDE)
            points = [x, y] + IN_BOX * [w, h] - (np.array([column, row]) + 0.5) * STRIDE
            offsets = [
                (x + w / 2) / STRIDE - column,
                (y + h / 2) / STRIDE - row,
                np.log(h / ANCHOR),
                np.log(w / ANCHOR),
            ]
            answer[row * columns + column] = [5, *offsets, 5, *(points / ANCHOR).ravel()]
        return answer


STRIDE, ANCHOR = 8, 32.0


def green_detector(**options) -> FaceDetector:
    """A face detector that finds green rectangles."""
    info = {
        "task": "detection",
        "classes": ["face"],
        "landmarks": Landmarks(LANDMARKS, ("face",)).to_dict(),
        "architecture": {"type": "yolo", "strides": [STRIDE], "anchors": [[[ANCHOR, ANCHOR]]]},
        "input": {"size": 416, "pad": 114},
        "defaults": {"confidence": 0.5, "iou": 0.5, "max_detections": 100},
        "files": {},
    }
    return FaceDetector(GridDetector(Model("green", Path("green"), info), GreenFaces()), **options)


def write_tiny_face_detector(folder, seed: int = 0):
    """Write a face detector that finds a few boxes in every image; returns its folder."""
    torch.manual_seed(seed)
    landmarks = Landmarks(LANDMARKS, ("face",))
    network = YOLO(YOLOConfig(1, ANCHORS, width=4, depths=(1, 1, 1, 1), landmarks=len(landmarks)))
    for head in network.heads:
        torch.nn.init.normal_(head.objectness.bias, std=1)
        torch.nn.init.normal_(head.landmarks.bias, std=1)
    defaults = {"confidence": 0.3, "iou": 0.5, "max_detections": 3}
    write_detector(
        network, folder, name=folder.name, classes=("face",), defaults=defaults, size=96, landmarks=landmarks
    )
    return folder
