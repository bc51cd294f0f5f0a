"""Short ways to write boxes in tests."""

import numpy as np

from vision_app.core.labeled_boxes import REGION, LabeledBoxes


def boxes(xyxy=(), labels=(), scores=None, *, landmarks=None, ignored=(), ignored_labels=None, regions=()):
    """Boxes as float32, then `ignored` ones, of class 0 if not told, then `regions`."""
    ignored_labels = [0] * len(ignored) if ignored_labels is None else ignored_labels
    every = np.float32([*xyxy, *ignored, *regions]).reshape(-1, 4)
    points = np.shape(landmarks)[1] if landmarks is not None else 0
    points_of = np.full((len(every), points, 2), np.nan, np.float32)
    if landmarks is not None:
        points_of[: len(xyxy)] = landmarks
    return LabeledBoxes(
        every,
        np.array([*labels, *ignored_labels, *[REGION] * len(regions)], np.int64),
        np.float32([*([1] * len(xyxy) if scores is None else scores), *[1] * (len(ignored) + len(regions))]),
        points_of,
        np.array([False] * len(xyxy) + [True] * len(ignored) + [False] * len(regions), bool),
    )
