"""What face recognition answers: frozen values that know nothing of files, networks or drawing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from vision_app.core.images import RGBImage
from vision_app.core.results import Detections, NoTruthValue, checked_array, rounded, subset
from vision_app.faces.align import landmarks_of
from vision_app.faces.checker import FaceChecker
from vision_app.faces.quality import Quality, judge_all

SAME, DIFFERENT, UNCERTAIN = "same", "different", "uncertain"


@dataclass(frozen=True, eq=False)
class Face:
    """One face.

    Attributes:
        box: (4,) float32 x1, y1, x2, y2 in pixels of the photo.
        score: Probability that this is a face, 0 to 1.
        landmarks: (5, 2) float32 x, y in pixels of the photo, see `align.LANDMARKS`.
        quality: How well it can be recognized.
        embedding: (D,) float32 unit vector, or None without one.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray
    quality: Quality
    embedding: np.ndarray | None = None

    @property
    def is_fit(self) -> bool:
        """Whether it can be told apart at the rates that were measured: its quality has no reason against it."""
        return not self.quality.reasons

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, rounded so that two runs print the same text; the embedding, if any, is last."""
        row = {
            "box": rounded(self.box, 2),
            "score": rounded(self.score, 4),
            "landmarks": rounded(self.landmarks, 2),
            "quality": self.quality.to_dict(),
        }
        return row if self.embedding is None else row | {"embedding": rounded(self.embedding, 6)}


@dataclass(frozen=True, eq=False)
class Faces:
    """All faces of one photo, the best first. Arrays are copied and made read-only.

    Attributes:
        boxes: (N, 4) float32 x1, y1, x2, y2 in pixels of the photo.
        scores: (N,) float32, 0 to 1.
        landmarks: (N, 5, 2) float32 x, y in pixels of the photo, see `align.LANDMARKS`.
        quality: N of them.
        width, height: Of the photo in pixels.
        model: Name of the model that found them.
        embeddings: (N, D) float32 unit vectors, or None without them.
        model_id: Of the model that made the embeddings, see `Embedder.model_id`; None without them.

    Raises:
        ValueError: A field has the wrong shape or values; the message names the field.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    quality: tuple[Quality, ...]
    width: int
    height: int
    model: str
    embeddings: np.ndarray | None = None
    model_id: str | None = None

    def __post_init__(self) -> None:
        if (self.embeddings is None) != (self.model_id is None):
            raise ValueError("embeddings and model_id: expected both or none")
        object.__setattr__(self, "quality", tuple(self.quality))  # the dataclass is frozen
        for name, shape in {"boxes": (4,), "scores": (), "landmarks": (5, 2), "embeddings": (None,)}.items():
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, checked_array(name, array, (len(self), *shape)))

    @classmethod
    def of(cls, image: RGBImage, found: Detections, checker: FaceChecker | None) -> "Faces":
        """Judge the faces that a `FaceDetector` found in a photo; they have no embeddings.

        Args:
            image: The photo.
            found: Its faces, with landmarks.
            checker: The detector's. None only if that has none: turned, covered and unnatural faces get no reason then.
        """
        landmarks = landmarks_of(found)
        quality = judge_all(image, found.boxes, landmarks, checker)
        return cls(found.boxes, found.scores, landmarks, quality, found.width, found.height, found.model)

    def __len__(self) -> int:
        return len(self.quality)

    @overload
    def __getitem__(self, index: int) -> Face: ...

    @overload
    def __getitem__(self, index: slice | ArrayLike) -> "Faces": ...

    def __getitem__(self, index: int | slice | ArrayLike) -> "Face | Faces":
        """Return one face, or those of a slice, of indices or of a mask of N booleans."""
        if not isinstance(index, Integral):
            return subset(self, index, "boxes", "scores", "landmarks", "quality", "embeddings")
        place = int(index)
        embedding = None if self.embeddings is None else self.embeddings[place]
        score = float(self.scores[place])
        return Face(self.boxes[place], score, self.landmarks[place], self.quality[place], embedding)

    def __iter__(self) -> Iterator[Face]:
        return (self[index] for index in range(len(self)))

    contract = property(lambda self: self.model_id, doc="The former name of `model_id`.")

    @property
    def detections(self) -> Detections:
        """The faces as detections, to draw them."""
        labels = ("face",) * len(self)
        return Detections(self.boxes, self.scores, labels, self.width, self.height, self.model, self.landmarks)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, rounded so that two runs print the same text; `contract` only with embeddings."""
        return {
            "width": self.width,
            "height": self.height,
            "model": self.model,
            **({} if self.model_id is None else {"contract": self.model_id}),
            "faces": [face.to_dict() for face in self],
        }


@dataclass(frozen=True, eq=False)
class Verification(NoTruthValue):
    """Whether two faces are of one person. `if verification:` raises TypeError; `.same` has the answer.

    Attributes:
        verdict: "same", "different", or "uncertain" where the similarity is too close to the threshold, or a face is
            not fit to be compared (`Face.is_fit`), whatever the similarity: the rates were not measured on such faces.
        similarity: Cosine of the two embeddings, -1 to 1; not a probability.
        threshold: Similarity from which two faces count as one person.
        far: The false accept rate at that threshold: the share of pairs of strangers that reach it.
        model_id: Of the model that made the embeddings.
        face_a, face_b: The faces that were compared.
        band: Similarities below which two fit faces are "different", and from which they are "same": the confidence
            interval of the threshold.
    """

    verdict: str
    similarity: float
    threshold: float
    far: float
    model_id: str
    face_a: Face
    face_b: Face
    band: tuple[float, float]

    instead = "same"
    contract = property(lambda self: self.model_id, doc="The former name of `model_id`.")

    @property
    def is_close(self) -> bool:
        """Whether two fit faces are too close to the threshold to tell."""
        return self.verdict == UNCERTAIN and self.face_a.is_fit and self.face_b.is_fit

    @property
    def same(self) -> bool:
        """Whether the verdict is "same"."""
        return self.verdict == SAME

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; of the faces all but their embeddings."""
        return {
            "verdict": self.verdict,
            "similarity": rounded(self.similarity, 4),
            "threshold": rounded(self.threshold, 4),
            "far": self.far,
            "contract": self.model_id,
            "face_a": replace(self.face_a, embedding=None).to_dict(),
            "face_b": replace(self.face_b, embedding=None).to_dict(),
        }
