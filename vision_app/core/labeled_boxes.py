"""Boxes with labels: the one container for ground truth, training, evaluation and drawing. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

REGION = -1  # in place of a label: a region that may hold an object, such as a proposal


@dataclass(frozen=True, eq=False)
class LabeledBoxes:
    """N boxes with what is known of each.

    Attributes:
        xyxy: (N, 4) float x1, y1, x2, y2 in pixels.
        labels: (N,) int class indices, or `REGION`.
        scores: (N,) float, 0 to 1: 1 for a box that a person drew, less for one of a teacher or a detector.
        landmarks: (N, K, 2) float x, y in pixels, NaN where a point is not known; K is 0 for classes without landmarks.
        ignored: (N,) bool, whether the box is an ignore region (a crowd, a difficult object, a teacher's doubt):
            detections in it are neither rewarded nor penalized.

    Raises:
        ValueError: The fields are of different lengths.
    """

    xyxy: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    ignored: np.ndarray

    def __post_init__(self) -> None:
        if len({len(getattr(self, field.name)) for field in fields(self)}) > 1:
            raise ValueError("boxes, labels, scores, landmarks and ignore marks must be of one length")

    @classmethod
    def make(
        cls,
        xyxy: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray | None = None,
        landmarks: np.ndarray | None = None,
        ignored: np.ndarray | None = None,
    ) -> "LabeledBoxes":
        """Return boxes with the usual values of what is left out: score 1, no landmarks, not ignored."""
        count = len(xyxy)
        return cls(
            xyxy,
            labels,
            np.ones(count, np.float32) if scores is None else scores,
            missing_landmarks(count, 0) if landmarks is None else landmarks,
            np.zeros(count, bool) if ignored is None else ignored,
        )

    @classmethod
    def empty(cls, points: int = 0) -> "LabeledBoxes":
        """Return no boxes, of classes with this many landmarks."""
        return cls.make(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), landmarks=missing_landmarks(0, points))

    @classmethod
    def concatenate(cls, parts: Sequence["LabeledBoxes"]) -> "LabeledBoxes":
        """Return the boxes of one or more parts, with the same number of landmarks, one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, index: np.ndarray | slice) -> "LabeledBoxes":
        """Return the boxes that a mask (N,), an array of indices or a slice selects."""
        return LabeledBoxes(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def not_ignored(self) -> "LabeledBoxes":
        """The boxes that a detector should find."""
        return self[~self.ignored]

    def scaled(self, scale: float | Sequence[float] | np.ndarray, offset: Sequence[float] = (0, 0)) -> "LabeledBoxes":
        """Return the boxes and landmarks of the image at another size.

        Args:
            scale: New pixels per old pixel, one number or (x, y).
            offset: Where the old image's top left corner lies in the new one, (x, y) in pixels.
        """
        factors, corner = np.broadcast_to(np.asarray(scale, self.xyxy.dtype), 2), np.asarray(offset, self.xyxy.dtype)
        xyxy = self.xyxy * np.tile(factors, 2) + np.tile(corner, 2)
        return replace(self, xyxy=xyxy, landmarks=self.landmarks * factors + corner)


def missing_landmarks(boxes: int, points: int) -> np.ndarray:
    """Return (boxes, points, 2) float32 landmarks of which none is known, NaN."""
    return np.full((boxes, points, 2), np.nan, np.float32)
