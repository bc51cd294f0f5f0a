"""Which classes an image shows, by its boxes: what a classifier learns from and is measured against. NumPy only."""

import numpy as np

from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.data.samples import AnnotatedImage


def presence(
    sample: AnnotatedImage, classes: int, *, visible: LabeledBoxes | None = None, taught: bool = False
) -> np.ndarray:
    """Return the probability that each class is in an image, (classes,) float32, NaN where it is not known.

    It is the highest score of the class's boxes: 1 for one that a person drew. It is not known for a class whose boxes
    are all ignored or out of view, and for a class without a box that the image was not labeled for, or not
    exhaustively. All else is 0.

    Args:
        sample: The image.
        classes: Number of classes.
        visible: The boxes in view; by default all.
        taught: Whether a teacher has added the objects that people have not labeled.
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
