"""Load a detector by name: the one place that knows every kind.

Importing this file gives the class `Detector` its public `load`; the class cannot know its own kinds without a circle
of imports. Kinds that need torch are imported when one of them is loaded.
"""

import os
from pathlib import Path
from typing import Unpack

from vision_app.core.errors import UsageError
from vision_app.core.flags import flag
from vision_app.detection.base import Detector
from vision_app.detection.ensemble import Augmented, Ensemble
from vision_app.released.execution import Execution, ExecutionOptions
from vision_app.released.find import find, model_name
from vision_app.released.names import DETECTOR

TASK = "detection"
TORCHVISION = "torchvision:"  # in front of the name of one of torchvision's detectors
RCNN_FAMILY = ("rcnn", "fast-rcnn", "faster-rcnn")


def load_detector(
    model: str | os.PathLike[str] = DETECTOR, *, tta: bool = False, **execution: Unpack[ExecutionOptions]
) -> Detector:
    """Load a released model by name, or a model folder or exported ONNX file by path.

    Args:
        model: Several names joined by "+" are an `ensemble.Ensemble`; "torchvision:NAME" is one of torchvision's
            detectors, see `torchvision_detector`.
        tta: Whether to use test-time augmentation, see `ensemble.Augmented`.
        **execution: Where and by what networks are run: `device`, `runtime` and `threads`, see `Execution`.

    Raises:
        ModelError: There is no such model, it is no detector, or its files are damaged.
        UsageError: There is no such device or runtime here, a name is missing beside a "+", or models cannot be
            combined.
    """
    name = model_name(model)
    names = [name] if Path(name).exists() else name.split("+")  # a path may contain a plus sign
    if len(names) > 1 and "" in names:
        raise UsageError(f"{flag('model')} {name}: a name is missing beside the +; write it as in yolo+faster-rcnn")
    members = [_load(name, Execution(**execution)) for name in names]
    detector = Ensemble(members) if len(members) > 1 else members[0]
    return Augmented(detector) if tta else detector


def _load(name: str, execution: Execution) -> Detector:
    """Load a single detector."""
    if name.startswith(TORCHVISION):
        from vision_app.detection.torchvision_detector import TorchvisionDetector

        return TorchvisionDetector(name, execution)
    model = find(name, TASK)
    kind = model.info["architecture"].get("type")
    if kind == "yolo":
        from vision_app.detection.grid_detector import GridDetector

        return GridDetector.open(model, execution)
    if kind in RCNN_FAMILY:
        from vision_app.detection.region_detector import RegionDetector

        return RegionDetector.open(model, execution)
    raise model.lacks("architecture.type")


Detector.load = staticmethod(load_detector)
