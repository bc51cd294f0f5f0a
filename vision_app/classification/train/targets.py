"""Which classes a photo shows, by its boxes: what a classifier learns from and is measured against. NumPy only."""

import numpy as np

from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.data.samples import AnnotatedImage


def presence(
    sample: AnnotatedImage, classes: int, *, visible: LabeledBoxes | None = None, taught: bool = False
) -> np.ndarray:
    """How probable it is that each class is in a photo, (classes,) float32, NaN where nobody knows.

    It is the highest confidence of the class's boxes: 1 for one that a person drew. NaN stands where all that speaks of
    a class are boxes that are neither right nor wrong, or out of view, and for a class without a box that the photo was
    not labeled for, or not exhaustively. All else is 0.

    Args:
        seen: which boxes are in view, as indices of `boxes` and behind them of `unknown`; by default all.
        taught: whether a teacher has looked for the objects that people have not boxed.
    """
    visible = sample.boxes if visible is None else visible
    result = np.zeros(classes, np.float32)
    if not taught:
        certain = list(sample.labeled) if sample.exhaustive else []
        result[np.setdiff1d(np.arange(classes), certain)] = np.nan
    result[sample.boxes.labels] = np.nan
    scores = np.where(visible.ignored, np.float32(np.nan), visible.scores)
    np.fmax.at(result, visible.labels, scores)  # which takes the number of a number and NaN
    return result
