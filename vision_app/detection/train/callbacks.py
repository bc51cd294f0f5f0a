"""What a detector's run shows of itself in its folder; each part is one of `training.report`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from vision_app.core.images import RGBImage
from vision_app.detection.train.batches import whole_scene
from vision_app.training.report import Curves, FirstBatches, Predictions, TensorBoard, Verdict

PICTURES = 8  # validation photos on which truth and predictions are shown


def run_callbacks(task, log: Callable[[str], None], *, pretrained: bool) -> list:
    """TensorBoard logs, curves, the first batches, predictions beside truth, and a last line of advice.

    Args:
        task: a `train.SceneTask`.
        log: takes the last line.
        pretrained: whether training starts from trained weights.
    """
    data, classes = task.validations[0].data, task.data.classes
    drawn = np.random.default_rng(0).permutation(len(data)).tolist()  # the same in every run on the same data
    order = sorted(drawn, key=lambda i: not len(data.samples[i].boxes))[:PICTURES]  # with boxes first
    pictures, truth = [], []
    for i in order:
        sample = data.samples[i]
        count = len(sample.boxes)
        scene = whole_scene(data, i, np.arange(count + len(sample.unknown)))
        pictures.append(scene.pixels)
        boxes, unknown = scene.boxes[:count], scene.boxes[count:]
        truth.append(_boxes(boxes, sample.labels, sample.confidences, scene.landmarks[:count], unknown))

    def predict(model: Path, pictures: Sequence[np.ndarray]) -> list[SimpleNamespace]:
        found = task.load(model).predict([RGBImage(pixels, pixels.shape[1], pixels.shape[0]) for pixels in pictures])
        labels = [[classes.index(label) for label in one.labels] for one in found]
        return [
            _boxes(one.boxes, indices, one.scores, () if one.landmarks is None else one.landmarks)
            for one, indices in zip(found, labels, strict=True)
        ]

    return [
        TensorBoard(),
        Curves(),
        FirstBatches(classes),
        Predictions(pictures, truth, classes, predict),
        Verdict(log, pretrained=pretrained, close_epochs=task.options.close_epochs if task.options.mosaic else 0),
    ]


def _boxes(boxes, labels, confidences, landmarks, unknown=()) -> SimpleNamespace:
    """What `training.sheets` draws."""
    return SimpleNamespace(boxes=boxes, labels=labels, confidences=confidences, unknown=unknown, landmarks=landmarks)
