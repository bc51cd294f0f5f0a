"""What face recognition answers: frozen values that know nothing of files, networks or drawing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from vision_app.core.images import RGBImage
from vision_app.core.results import Detections, checked_array, rounded
from vision_app.faces.quality import Quality, judge

SAME, DIFFERENT, UNCERTAIN = "same", "different", "uncertain"


@dataclass(frozen=True, eq=False)
class Face:
    """One face.

    Attributes:
        box: (4,) float32 x1, y1, x2, y2 in pixels of the photo.
        score: how sure it is that this is a face, 0 to 1.
        landmarks: (5, 2) float32 x, y in pixels of the photo, see `align.LANDMARKS`.
        quality: how well it can be recognized.
        embedding: (D,) float32 unit vector, or None where none was asked for.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray
    quality: Quality
    embedding: np.ndarray | None = None

    def to_dict(self) -> dict:
        """Plain JSON values, rounded so that two runs print the same text. The embedding, if any, comes last."""
        row = {
            "box": rounded(self.box, 2),
            "score": rounded(self.score, 4),
            "landmarks": rounded(self.landmarks, 2),
            "quality": self.quality.to_dict(),
        }
        return row if self.embedding is None else row | {"embedding": rounded(self.embedding, 6)}


@dataclass(frozen=True, eq=False)
class Faces:
    """All faces of one photo, the surest first. Arrays are copied and made read-only.

    Attributes:
        boxes: (N, 4) float32 x1, y1, x2, y2 in pixels of the photo.
        scores: (N,) float32, 0 to 1.
        landmarks: (N, 5, 2) float32 x, y in pixels of the photo, see `align.LANDMARKS`.
        quality: N of them.
        width, height: of the photo in pixels.
        model: name of the model that found them.
        embeddings: (N, D) float32 unit vectors, or None where none were asked for.
        model_id: Id of the model that made the embeddings, see `Embedder.model_id`; None without them.

    Raises:
        ValueError: a field has the wrong shape or values; the message names the field.
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

    def __post_init__(self):
        set_field = object.__setattr__  # the dataclass is frozen
        set_field(self, "quality", tuple(self.quality))
        count = len(self.quality)
        set_field(self, "boxes", checked_array("boxes", self.boxes, (count, 4)))
        set_field(self, "scores", checked_array("scores", self.scores, (count,)))
        set_field(self, "landmarks", checked_array("landmarks", self.landmarks, (count, 5, 2)))
        if (self.embeddings is None) != (self.model_id is None):
            raise ValueError("embeddings and model_id: expected both or none")
        if self.embeddings is not None:
            set_field(self, "embeddings", checked_array("embeddings", self.embeddings, (count, None)))

    @classmethod
    def of(cls, image: RGBImage, found: Detections) -> "Faces":
        """The faces that a `FaceDetector` found in a photo, judged, without embeddings."""
        quality = [judge(image, face.box, face.landmarks) for face in found]
        return cls(found.boxes, found.scores, found.landmarks, quality, found.width, found.height, found.model)

    def __len__(self) -> int:
        return len(self.quality)

    def __getitem__(self, index: int) -> Face:
        embedding = None if self.embeddings is None else self.embeddings[index]
        score = float(self.scores[index])
        return Face(self.boxes[index], score, self.landmarks[index], self.quality[index], embedding)

    def __iter__(self) -> Iterator[Face]:
        return (self[index] for index in range(len(self)))

    @property
    def contract(self) -> str | None:
        """The former name of `model_id`."""
        return self.model_id

    @property
    def detections(self) -> Detections:
        """The same faces as what a detector finds, to draw them."""
        labels = ("face",) * len(self)
        return Detections(self.boxes, self.scores, labels, self.width, self.height, self.model, self.landmarks)

    def to_dict(self) -> dict:
        """Plain JSON values, rounded so that two runs print the same text; `contract` only with embeddings."""
        return {
            "width": self.width,
            "height": self.height,
            "model": self.model,
            **({} if self.model_id is None else {"contract": self.model_id}),
            "faces": [face.to_dict() for face in self],
        }


@dataclass(frozen=True, eq=False)
class Verification:
    """Whether two faces are of one person.

    Attributes:
        verdict: "same", "different", or "uncertain" where the similarity is too near to the threshold to tell.
        similarity: cosine of the two embeddings, -1 to 1. It is no probability.
        threshold: similarity from which two faces count as one person.
        far: the false accept rate at that threshold: how many of many pairs of strangers would reach it.
        model_id: Id of the model that made the embeddings.
        face_a, face_b: the faces that were compared.
    """

    verdict: str
    similarity: float
    threshold: float
    far: float
    model_id: str
    face_a: Face
    face_b: Face

    @property
    def contract(self) -> str:
        """The former name of `model_id`."""
        return self.model_id

    def to_dict(self) -> dict:
        """Plain JSON values; of the faces all but their embeddings."""
        return {
            "verdict": self.verdict,
            "similarity": rounded(self.similarity, 4),
            "threshold": rounded(self.threshold, 4),
            "far": self.far,
            "contract": self.model_id,
            "face_a": replace(self.face_a, embedding=None).to_dict(),
            "face_b": replace(self.face_b, embedding=None).to_dict(),
        }
