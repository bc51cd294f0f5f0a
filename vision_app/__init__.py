"""Vision App finds objects in pictures, knows faces and repaints pictures, on your own machine.

>>> from vision_app import Detector
>>> detections = Detector.load("yolo")("photo.jpg")

The names below load on first use, so that importing the package stays quick and never imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision_app.classification.classifier import Classifier
    from vision_app.core.draw import crop, draw
    from vision_app.core.errors import FaceError, VisionAppError
    from vision_app.core.images import RGBImage, read_image
    from vision_app.core.results import Classes, Detections
    from vision_app.detection.base import DetectOptions, Detector
    from vision_app.faces.detector import FaceDetector
    from vision_app.faces.gallery import Gallery
    from vision_app.faces.recognizer import FaceRecognizer
    from vision_app.faces.results import Face, Faces, Verification
    from vision_app.style.options import StyleOptions
    from vision_app.style.results import Stylized
    from vision_app.style.stylizer import Stylizer

__version__ = "0.2.0"

__all__ = [
    "Classes",
    "Classifier",
    "DetectOptions",
    "Detections",
    "Detector",
    "Face",
    "FaceDetector",
    "FaceError",
    "FaceRecognizer",
    "Faces",
    "Gallery",
    "RGBImage",
    "StyleOptions",
    "Stylized",
    "Stylizer",
    "Verification",
    "VisionAppError",
    "crop",
    "draw",
    "read_image",
]

_HOMES = {
    "Classes": "vision_app.core.results",
    "Classifier": "vision_app.classification.classifier",
    "DetectOptions": "vision_app.detection.base",
    "Detections": "vision_app.core.results",
    "Detector": "vision_app.detection.load",
    "Face": "vision_app.faces.results",
    "FaceDetector": "vision_app.faces.detector",
    "FaceError": "vision_app.core.errors",
    "FaceRecognizer": "vision_app.faces.recognizer",
    "Faces": "vision_app.faces.results",
    "Gallery": "vision_app.faces.gallery",
    "RGBImage": "vision_app.core.images",
    "StyleOptions": "vision_app.style.options",
    "Stylized": "vision_app.style.results",
    "Stylizer": "vision_app.style.load",
    "Verification": "vision_app.faces.results",
    "VisionAppError": "vision_app.core.errors",
    "crop": "vision_app.core.draw",
    "draw": "vision_app.core.draw",
    "read_image": "vision_app.core.images",
}


def __getattr__(name: str):
    """Import the module that defines `name` when the name is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
