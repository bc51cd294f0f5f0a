"""What the models answer: frozen values that know nothing of files, networks or drawing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, ClassVar, NoReturn, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike

from vision_app.core.labeled_boxes import LabeledBoxes

Results = TypeVar("Results", bound=Any)


@dataclass(frozen=True, eq=False)
class Detection:
    """One object.

    Attributes:
        label: Class name.
        score: Probability, 0 to 1.
        box: (4,) float32 x1, y1, x2, y2 in pixels of the image.
        landmarks: (K, 2) float32 x, y in pixels of the image, or None.
    """

    label: str
    score: float
    box: np.ndarray
    landmarks: np.ndarray | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: the score rounded to 4 digits, coordinates to 2."""
        row: dict[str, Any] = {"label": self.label, "score": rounded(self.score, 4), "box": rounded(self.box, 2)}
        if self.landmarks is not None:
            row["landmarks"] = rounded(self.landmarks, 2)
        return row


@dataclass(frozen=True, eq=False)
class Detections:
    """All objects found in one image, in the order that the model gave (best first).

    Arrays are copied and made read-only.

    Attributes:
        boxes: (N, 4) float32 x1, y1, x2, y2 in pixels of the image, x1 <= x2 and y1 <= y2.
        scores: (N,) float32 probabilities, 0 to 1.
        labels: N class names.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        model: Name of the model that found them.
        landmarks: (N, K, 2) float32 x, y in pixels of the image, all NaN for an object whose class has none; or None.

    Raises:
        ValueError: A field has the wrong shape or values; the message names the field.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: tuple[str, ...]
    width: int
    height: int
    model: str
    landmarks: np.ndarray | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the dataclass is frozen
        set_field(self, "labels", tuple(self.labels))
        set_field(self, "width", int(self.width))
        set_field(self, "height", int(self.height))
        count = len(self.labels)
        set_field(self, "boxes", checked_array("boxes", self.boxes, (count, 4)))
        set_field(self, "scores", checked_array("scores", self.scores, (count,)))
        if self.landmarks is not None:
            landmarks = np.array(self.landmarks, dtype=np.float32)
            absent = np.isnan(landmarks).all(axis=tuple(range(1, landmarks.ndim)), keepdims=True)
            checked_array("landmarks", np.where(absent, 0, landmarks), (count, None, 2))
            landmarks.flags.writeable = False
            set_field(self, "landmarks", landmarks)
        if self.width < 1 or self.height < 1:
            raise ValueError(f"width and height: expected at least 1, got {self.width} x {self.height}")
        if not all(isinstance(label, str) for label in self.labels):
            raise ValueError("labels: expected strings")
        if (self.boxes[:, :2] > self.boxes[:, 2:]).any():
            raise ValueError("boxes: expected x1 <= x2 and y1 <= y2")
        if ((self.scores < 0) | (self.scores > 1)).any():
            raise ValueError("scores: expected values from 0 to 1")

    @classmethod
    def empty(cls, width: int, height: int, model: str) -> "Detections":
        """Return the answer "nothing found" for an image of this size."""
        return cls(np.zeros((0, 4)), np.zeros(0), (), width, height, model)

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> Detection: ...

    @overload
    def __getitem__(self, index: slice | ArrayLike) -> "Detections": ...

    def __getitem__(self, index: int | slice | ArrayLike) -> "Detection | Detections":
        """Return one object, or those of a slice, of indices or of a mask of N booleans."""
        if not isinstance(index, Integral):
            return subset(self, index, "boxes", "scores", "labels", "landmarks")
        place = int(index)
        landmarks = None if self.landmarks is None else self.landmarks[place]
        landmarks = None if landmarks is None or np.isnan(landmarks).all() else landmarks
        return Detection(self.labels[place], float(self.scores[place]), self.boxes[place], landmarks)

    def joined(self, other: "Detections") -> "Detections":
        """Return the objects of both, which are of one image and all have landmarks, or none."""
        arrays = [name for name in ("boxes", "scores", "landmarks") if getattr(self, name) is not None]
        values: dict[str, Any] = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in arrays}
        return replace(self, labels=self.labels + other.labels, **values)

    def __iter__(self) -> Iterator[Detection]:
        return (self[index] for index in range(len(self)))

    def count(self) -> dict[str, int]:
        """Return how many objects each label has, the most frequent first, equal counts by name."""
        return dict(sorted(Counter(self.labels).items(), key=lambda item: (-item[1], item[0])))

    def to_boxes(self, classes: Sequence[str]) -> LabeledBoxes:
        """Return the objects as boxes whose labels are indices of `classes`."""
        labels = np.array([classes.index(label) for label in self.labels], np.int64)
        return LabeledBoxes.make(self.boxes, labels, self.scores, self.landmarks)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, rounded so that two runs print the same text."""
        return {
            "width": self.width,
            "height": self.height,
            "model": self.model,
            "detections": [detection.to_dict() for detection in self],
        }


class NoTruthValue:
    """A result that is neither true nor false: `if result:` would always hold, whatever the answer is."""

    instead: ClassVar[str]  # the attribute that has the answer

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is neither true nor false; ask for its .{self.instead}")


@dataclass(frozen=True, eq=False)
class Classes:
    """How probable each class is in one image, the most probable first.

    Arrays are copied and made read-only.

    Attributes:
        labels: N class names.
        probabilities: (N,) float32, 0 to 1, that the class is in the image, which may show several or none.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        model: Name of the model.
        box: (4,) float32 x1, y1, x2, y2 in pixels of the image: the best object, of the first class; None where no
            class is probable enough.

    Raises:
        ValueError: A field has the wrong shape or values; the message names the field.
    """

    labels: tuple[str, ...]
    probabilities: np.ndarray
    width: int
    height: int
    model: str
    box: np.ndarray | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the dataclass is frozen
        set_field(self, "labels", tuple(self.labels))
        set_field(self, "probabilities", checked_array("probabilities", self.probabilities, (len(self.labels),)))
        if ((self.probabilities < 0) | (self.probabilities > 1)).any():
            raise ValueError("probabilities: expected values from 0 to 1")
        if (np.diff(self.probabilities) > 0).any():
            raise ValueError("probabilities: expected the highest first")
        if self.box is not None:
            set_field(self, "box", checked_array("box", self.box, (4,)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[str, float]:
        return self.labels[index], float(self.probabilities[index])

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return (self[index] for index in range(len(self)))

    @property
    def best(self) -> Detections:
        """The best object as a detection, whose score is the probability of its class; or none."""
        if self.box is None:
            return Detections.empty(self.width, self.height, self.model)
        return Detections(self.box[None], self.probabilities[:1], self.labels[:1], self.width, self.height, self.model)

    def to_dict(self, *, top: int | None = None, localize: bool = False) -> dict[str, Any]:
        """Return plain JSON values, rounded so that two runs print the same text.

        Args:
            top: How many classes; all by default.
            localize: Whether to add the key `box`.
        """
        pairs = list(zip(self.labels, rounded(self.probabilities, 4), strict=True))[:top]
        row: dict[str, Any] = {
            "width": self.width,
            "height": self.height,
            "model": self.model,
            "classes": [{"label": label, "probability": probability} for label, probability in pairs],
        }
        if localize:
            row["box"] = None if self.box is None else rounded(self.box, 2)
        return row


def subset(results: Results, index: Any, *names: str) -> Results:
    """Return results of the objects that an index of NumPy selects, with those of these fields alone that are not None.

    Raises:
        IndexError: The index selects none of one dimension.
    """
    places = np.arange(len(results))[index]
    values = {name: getattr(results, name) for name in names}
    taken = {
        name: value[places] if isinstance(value, np.ndarray) else tuple(value[place] for place in places)
        for name, value in values.items()
        if value is not None
    }
    return replace(results, **taken)


def checked_array(name: str, values: ArrayLike, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return a read-only float32 copy of `values` after checking its shape (None: any size) and that it is finite."""
    array = np.array(values, dtype=np.float32)
    wanted = " x ".join("K" if size is None else str(size) for size in shape)
    if array.ndim != len(shape) or any(size not in (None, got) for size, got in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{name}: expected {wanted} values (one row a label), got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers")
    array.flags.writeable = False
    return array


def rounded(values: ArrayLike, digits: int) -> Any:
    """Round a number or an array to `digits` decimals as Python floats, which print in their shortest form."""
    return (np.round(np.asarray(values, dtype=np.float64), digits) + 0.0).tolist()  # + 0.0 turns -0.0 into 0.0
