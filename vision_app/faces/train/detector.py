"""What is particular to training a face detector: its one class, its landmarks and degraded photos."""

from pathlib import Path
from typing import Any

from vision_app.core.errors import DataError
from vision_app.data.samples import DetectionSet
from vision_app.detection.model.yolo import YOLO
from vision_app.detection.train.batches import typical_batches
from vision_app.detection.train.initial import shortened, starting_network
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.trainer import DetectionTask
from vision_app.faces.align import LANDMARKS
from vision_app.faces.detector import FACE

LAST_BLOCKS = 1  # of the backbone's last stage: enough for one class


class FaceDetectionTask(DetectionTask):
    """Trains the grid detector on faces, for gray, tiny and heavily compressed photos, too."""

    degraded = 0.2

    def write(self, network: YOLO, folder: Path, **about: Any) -> None:
        """Write a model folder, see `detection.train.export.write_model`, with weights in half precision."""
        super().write(network, folder, half=True, **about)


def starting_detector(
    initial: Path | None, data: DetectionSet, options: DetectionOptions
) -> tuple[YOLO, dict[str, Any]]:
    """Return the network that training starts from, see `detection.train.initial`, with fewer blocks.

    Raises:
        DataError: The data has other classes than faces, or other landmarks than `align.LANDMARKS`.
    """
    if data.classes != (FACE,):
        raise DataError(f"--data: its classes are {', '.join(data.classes)}; a face detector knows one, '{FACE}'")
    if data.landmarks.names != LANDMARKS:
        found = ", ".join(data.landmarks.names) or "none"
        raise DataError(f"--data: its keypoints are {found}; a face detector needs {', '.join(LANDMARKS)}, in order")
    network, about = starting_network(initial, data, options)
    batches = typical_batches(data, options.size, options.stretch)
    return shortened(network, LAST_BLOCKS, batches), about
