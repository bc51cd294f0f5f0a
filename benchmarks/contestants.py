"""Small detectors behind one interface, each in its own runtime, so that their parts can be timed apart.

All get the same decoded photos, keep boxes from the same confidence on and suppress overlaps with the same function.
What a detector's files expect is known from the projects that they come from: YOLOX (Ge et al., 2021), NanoDet-Plus
(RangiLyu, 2021), PicoDet (Yu et al., 2021), SSDlite (Sandler et al., 2018).
"""

import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from vision_app import Detections, Detector
from vision_app.core.boxes import clip, nms
from vision_app.core.images import RGBImage
from vision_app.core.letterbox import PAD, letterbox
from vision_app.detection.base import DetectOptions
from vision_app.detection.grid import make_grid

CONFIDENCE, IOU, SIZE = 0.4, 0.5, 416
Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (K, 4) in the photo's pixels, scores (K,), labels (K,)


class Contestant(Protocol):
    """A detector in three steps; what one gives, the next one takes. `name` and `runtime` are for the table."""

    name: str
    runtime: str

    def preprocess(self, image: RGBImage) -> Any: ...

    def network(self, inputs: Any) -> Any: ...

    def postprocess(self, outputs: Any, image: RGBImage) -> Found | Detections: ...


class Ours:
    """A model of this project, by its name or path, with inputs as small as the photos allow."""

    runtime = "ONNX Runtime"

    def __init__(self, model: str, threads: int):
        self.detector = Detector.load(model, device="cpu", runtime="onnx", threads=threads)
        self.name = self.detector.name
        self.network = self.detector.forward
        self._options = DetectOptions(confidence=CONFIDENCE, iou=IOU)

    def preprocess(self, image: RGBImage):
        return self.detector.preprocess([image])

    def postprocess(self, outputs, image: RGBImage) -> Detections:
        return self.detector.postprocess(outputs, self._options)[0]


class YOLOXNano:
    """YOLOX-Nano's own ONNX file: BGR from 0 to 255 in the top left of a square, cells and sizes undecoded."""

    name, runtime = "YOLOX-Nano", "ONNX Runtime"

    def __init__(self, path: Path, threads: int):
        self._session = onnx_session(path, threads)
        strides = (8, 16, 32)
        self._grid = make_grid(SIZE, SIZE, strides, tuple(((float(s), float(s)),) for s in strides))

    def preprocess(self, image: RGBImage) -> np.ndarray:
        pixels, _ = letterbox(image.pixels, image.width, image.height, SIZE, PAD)
        square = np.full((1, 3, SIZE, SIZE), PAD, np.float32)
        square[0, :, : pixels.shape[0], : pixels.shape[1]] = pixels[:, :, ::-1].transpose(2, 0, 1)
        return square

    def network(self, inputs: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._session.get_inputs()[0].name: inputs})[0][0]

    def postprocess(self, outputs: np.ndarray, image: RGBImage) -> Found:
        rows = np.flatnonzero(outputs[:, 4] >= CONFIDENCE)
        found = outputs[rows]
        boxes = self._grid.decode(found[:, [0, 1, 3, 2]], rows)  # ours has the height before the width
        scale = SIZE / max(image.width, image.height)
        return best(boxes / scale, found[:, 4, None] * found[:, 5:], image)


class SSDlite:
    """torchvision's SSDlite320 with random weights: its network's time only, since its boxes would mean nothing."""

    name, runtime = "SSDlite320", "ONNX Runtime"

    def __init__(self, threads: int):
        import torch
        from torchvision.models.detection import ssdlite320_mobilenet_v3_large

        model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)

        class Network(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.backbone, self.head = model.backbone, model.head

            def forward(self, images):
                outputs = self.head(list(self.backbone(images).values()))
                return outputs["bbox_regression"], outputs["cls_logits"].softmax(dim=-1)

        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the older exporter, which the product uses as well
            path = Path(folder) / "ssdlite.onnx"
            example = (torch.zeros(1, 3, 320, 320),)
            torch.onnx.export(Network().eval(), example, path, dynamo=False, opset_version=17, input_names=["images"])
            self._session = onnx_session(path, threads)

    def preprocess(self, image: RGBImage) -> np.ndarray:
        pixels = cv2.resize(image.pixels, (320, 320), interpolation=cv2.INTER_LINEAR)
        return (pixels.transpose(2, 0, 1)[None] * np.float32(2 / 255)) - 1

    def network(self, inputs: np.ndarray) -> list[np.ndarray]:
        return self._session.run(None, {"images": inputs})

    postprocess = None


@dataclass(frozen=True)
class Blobs:
    """What an ncnn file calls its input and outputs, and what it expects."""

    input: str
    outputs: tuple[tuple[str, str], ...] | str  # (classes, sides) of every stride, or one blob with all of them
    rgb: bool
    center: float  # of a cell, in cells


PICODET = Blobs(
    "image",
    tuple((f"save_infer_model/scale_{i}.tmp_1", f"save_infer_model/scale_{i + 4}.tmp_1") for i in range(4)),
    rgb=True,
    center=0.5,
)
NANODET = Blobs("data", "output", rgb=False, center=0.0)


class Distances:
    """PicoDet and NanoDet-Plus in ncnn; the photo is stretched to a square.

    A cell gives the probabilities of 80 classes and, for each side of its box, a distribution over distances of 0 to 7
    strides.
    """

    runtime = "ncnn"
    _mean, _scale = (103.53, 116.28, 123.675), (1 / 57.375, 1 / 57.12, 1 / 58.395)

    def __init__(self, name: str, param: Path, blobs: Blobs, threads: int):
        import ncnn

        self.name, self._ncnn, self._blobs = name, ncnn, blobs
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        if self._net.load_param(str(param)) or self._net.load_model(str(param.with_suffix(".bin"))):
            raise SystemExit(f"{param}: ncnn cannot load it, or the .bin beside it")
        strides = (8, 16, 32, 64)
        grid = make_grid(SIZE, SIZE, strides, (((1.0, 1.0),),) * 4)
        self._centers, self._strides = (grid.cells + blobs.center) * grid.strides, grid.strides

    def preprocess(self, image: RGBImage) -> Any:
        kinds = self._ncnn.Mat.PixelType
        kind = kinds.PIXEL_RGB if self._blobs.rgb else kinds.PIXEL_RGB2BGR
        rows, columns = image.pixels.shape[:2]
        mat = self._ncnn.Mat.from_pixels_resize(image.pixels, kind, columns, rows, SIZE, SIZE)
        mat.substract_mean_normalize(self._mean, self._scale)
        return mat

    def network(self, inputs: Any) -> tuple[np.ndarray, np.ndarray]:
        """(N, 80) probabilities and (N, 32) logits of distances."""
        run = self._net.create_extractor()
        run.input(self._blobs.input, inputs)
        if isinstance(self._blobs.outputs, str):
            output = np.array(run.extract(self._blobs.outputs)[1])
            return output[:, :80], output[:, 80:]
        parts = [[np.array(run.extract(name)[1]) for name in names] for names in self._blobs.outputs]
        classes, sides = zip(*parts, strict=True)
        return np.concatenate(classes), np.concatenate(sides)

    def postprocess(self, outputs: tuple[np.ndarray, np.ndarray], image: RGBImage) -> Found:
        classes, sides = outputs
        rows = np.flatnonzero(classes.max(axis=1) >= CONFIDENCE)
        boxes = decode_distances(sides[rows], self._centers[rows], self._strides[rows])
        return best(boxes * np.float32([image.width, image.height] * 2) / SIZE, classes[rows], image)


def decode_distances(logits: np.ndarray, centers: np.ndarray, strides: np.ndarray) -> np.ndarray:
    """(N, 4 * 8) logits of the distances left, top, right and bottom, (N, 2) centers, (N, 1) strides -> (N, 4) boxes.

    A side's distance is the mean of its distribution, in strides (Li et al., 2020).
    """
    odds = np.exp(logits.reshape(-1, 4, 8))
    distances = (odds @ np.arange(8, dtype=np.float32)) / odds.sum(axis=-1) * strides
    return np.concatenate([centers - distances[:, :2], centers + distances[:, 2:]], axis=1)


def best(boxes: np.ndarray, scores: np.ndarray, image: RGBImage) -> Found:
    """(N, 4) boxes in the photo's pixels and (N, p) scores -> each box with its best class, without overlaps."""
    labels = scores.argmax(axis=1)
    scores = scores.max(axis=1, initial=0)
    boxes = clip(boxes, image.width, image.height)
    keep = nms(boxes, scores, labels, score_threshold=CONFIDENCE, iou_threshold=IOU)
    return boxes[keep], scores[keep], labels[keep]


def onnx_session(path: Path, threads: int):
    """Open a session with the options of `vision_app.released.runtime`."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
