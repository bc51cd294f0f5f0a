"""The callbacks of a detector's training; each is one of `training.report`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vision_app.core.images import RGBImage
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.data.samples import DetectionSet
from vision_app.detection.base import Detector
from vision_app.detection.train.datasets import ValidationSet
from vision_app.detection.train.options import DetectionOptions
from vision_app.training.augment import whole_scene
from vision_app.training.report import Curves, FirstBatches, Predictions, TensorBoard, Verdict

IMAGES = 8  # validation images on which ground truth and predictions are shown


class WatchedTask(Protocol):
    """What the callbacks need of a training; see `trainer.SceneTask`."""

    data: DetectionSet
    validations: Sequence[ValidationSet]
    options: DetectionOptions

    def load(self, folder: Path) -> Detector:
        """Return the detector of a model folder."""
        ...


def run_callbacks(task: WatchedTask, log: Callable[[str], None], *, pretrained: bool) -> list[Any]:
    """Return TensorBoard logs, curves, the first batches, predictions beside ground truth, and a line of advice.

    Args:
        task: The training.
        log: Takes the line of advice.
        pretrained: Whether training starts from trained weights.
    """
    data, classes = task.validations[0].data, task.data.classes
    drawn = np.random.default_rng(0).permutation(len(data)).tolist()  # the same in every run on the same data
    order = sorted(drawn, key=lambda i: not len(data.samples[i].boxes.not_ignored))[:IMAGES]  # with boxes first
    scenes = [whole_scene(data, i) for i in order]

    def predict(model: Path, images: Sequence[np.ndarray]) -> list[LabeledBoxes]:
        found = task.load(model).predict([RGBImage(pixels, pixels.shape[1], pixels.shape[0]) for pixels in images])
        return [one.to_boxes(classes) for one in found]

    return [
        TensorBoard(),
        Curves(),
        FirstBatches(classes),
        Predictions([scene.pixels for scene in scenes], [scene.boxes for scene in scenes], classes, predict),
        Verdict(log, pretrained=pretrained, close_epochs=task.options.close_epochs if task.options.mosaic else 0),
    ]
