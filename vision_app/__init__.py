"""Object detection, face recognition and style transfer on your own machine.

>>> from vision_app import Detector
>>> detections = Detector.load("yolo")("photo.jpg")

The names below load on first use, so that importing the package stays quick and never imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vision_app.core.telemetry import turn_off

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

turn_off()  # before any library is imported

_HOMES = {
    "classification.classifier": ["Classifier"],
    "core.draw": ["crop", "draw"],
    "core.errors": ["FaceError", "VisionAppError"],
    "core.images": ["RGBImage", "read_image"],
    "core.results": ["Classes", "Detections"],
    "detection.base": ["DetectOptions"],
    "detection.load": ["Detector"],
    "faces.detector": ["FaceDetector"],
    "faces.gallery": ["Gallery"],
    "faces.recognizer": ["FaceRecognizer"],
    "faces.results": ["Face", "Faces", "Verification"],
    "style.load": ["Stylizer"],
    "style.options": ["StyleOptions"],
    "style.results": ["Stylized"],
}
_MODULES = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "Classes", "Classifier", "DetectOptions", "Detections", "Detector", "Face", "FaceDetector", "FaceError",
    "FaceRecognizer", "Faces", "Gallery", "RGBImage", "StyleOptions", "Stylized", "Stylizer", "Verification",
    "VisionAppError", "crop", "draw", "read_image",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import the module that defines `name` when the name is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
