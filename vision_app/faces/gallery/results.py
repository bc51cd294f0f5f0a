"""What a gallery answers: frozen values."""

import unicodedata
from dataclasses import dataclass, field

import numpy as np

from vision_app.core.errors import UsageError
from vision_app.core.results import Detections, rounded

LONGEST_NAME = 200  # characters

ACCEPTED, ALREADY_ENROLLED, SOMEONE_ELSE, UNREADABLE = "accepted", "already_enrolled", "someone_else", "unreadable"
"""Codes of `Enrollment`, beside those of `errors.FaceError` and `faces.quality`."""

UNKNOWN = "unknown"
"""What is written at the face of somebody who is not enrolled."""


@dataclass(frozen=True)
class Person:
    """Somebody enrolled.

    Attributes:
        id: a random number, the only thing that the audit log knows.
        name: unique in its gallery.
        added: when, UTC, ISO 8601.
        photos: how many are enrolled.
        consent: the different notes of the photos, joined by commas.
    """

    id: int
    name: str
    added: str
    photos: int
    consent: str


@dataclass(frozen=True, eq=False)
class Sample:
    """What is kept of one photo of a person.

    Attributes:
        id: its number in the gallery.
        source: SHA-256 of the photo's file, 32 bytes.
        box: x1, y1, x2, y2 in pixels of the photo.
        landmarks: five pairs of x, y in pixels of the photo, see `align.LANDMARKS`.
        quality: as `quality.Quality.to_dict` gives it.
        embedding: (D,) float32 unit vector.
        contract: id of the model that made the embedding.
        consent: a note of who agreed to what.
        added: when, UTC, ISO 8601.
        crop: PNG file of the aligned face with a margin, see `crops`; None where none is kept.
    """

    id: int
    source: bytes
    box: list
    landmarks: list
    quality: dict
    embedding: np.ndarray = field(repr=False)
    contract: str
    consent: str
    added: str
    crop: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Enrollment:
    """What became of one photo that somebody was to be enrolled with.

    Attributes:
        file: the photo, as it was called.
        name: the person.
        code: "accepted", or why not: "already_enrolled" (with this photo, which is fine), "someone_else" (the photo is
            enrolled as, or shows, another person of the gallery), "unreadable", "no_face", "several_faces", or a reason
            of `faces.quality`.
        reason: why not, in words; empty where the photo was accepted.
    """

    file: str
    name: str
    code: str
    reason: str = ""

    @property
    def refused(self) -> bool:
        """Whether the person is not enrolled with this photo, now or from before."""
        return self.code not in (ACCEPTED, ALREADY_ENROLLED)

    def to_dict(self) -> dict:
        return {"file": self.file, "name": self.name, "code": self.code, "reason": self.reason}


@dataclass(frozen=True)
class Candidate:
    """Somebody whom a face resembles.

    Attributes:
        id: the person's.
        name: the person's.
        photos: how many the person is enrolled with.
        similarity: cosine, -1 to 1; to the mean of the person's photos.
    """

    id: int
    name: str
    photos: int
    similarity: float

    def to_dict(self) -> dict:
        return {"name": self.name, "similarity": rounded(self.similarity, 4)}


@dataclass(frozen=True, eq=False)
class Identity:
    """Who a face is.

    Attributes:
        box: (4,) float32 x1, y1, x2, y2 in pixels of the photo.
        person: whom it is near enough to, or None: nobody known.
        candidates: the nearest people, the nearest first, whatever the verdict.
    """

    box: np.ndarray
    person: Candidate | None
    candidates: tuple[Candidate, ...]

    @property
    def name(self) -> str | None:
        return self.person.name if self.person else None

    @property
    def similarity(self) -> float | None:
        """To the person or, where it is nobody known, to the nearest one; None in an empty gallery."""
        best = self.person or (self.candidates[0] if self.candidates else None)
        return best.similarity if best else None

    def to_dict(self) -> dict:
        similarity = self.similarity
        return {
            "box": rounded(self.box, 2),
            "name": self.name,
            "similarity": None if similarity is None else rounded(similarity, 4),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }


@dataclass(frozen=True, eq=False)
class Identities:
    """Who is in one photo.

    Attributes:
        faces: one for each face, the surest first.
        width, height: of the photo in pixels.
        contract: id of the model that made the embeddings.
        threshold: the similarity from which a face got the name of somebody with one photo, see `Gallery.threshold`;
            None in an empty gallery.
    """

    faces: tuple[Identity, ...]
    width: int
    height: int
    contract: str
    threshold: float | None

    @property
    def detections(self) -> Detections:
        """The same faces as what a detector finds, labeled with their names, to draw them with `captions`."""
        labels = [face.name or UNKNOWN for face in self.faces]
        boxes = np.array([face.box for face in self.faces]).reshape(-1, 4)
        return Detections(boxes, np.ones(len(boxes)), labels, self.width, self.height, self.contract)

    @property
    def captions(self) -> list[str]:
        """What to write at each face: its name, or that it is unknown, and its similarity."""
        return [
            face.name or UNKNOWN if face.similarity is None else f"{face.name or UNKNOWN} {face.similarity:.2f}"
            for face in self.faces
        ]

    def to_dict(self) -> dict:
        """Plain JSON values, rounded so that two runs print the same text."""
        return {
            "width": self.width,
            "height": self.height,
            "contract": self.contract,
            "faces": [face.to_dict() for face in self.faces],
        }


@dataclass(frozen=True)
class Forgotten:
    """The proof that somebody is forgotten.

    Attributes:
        name: who it was.
        photos: how many were enrolled.
        searched: files that were searched for traces when everything was deleted; none was found.
        traces: how many different byte strings were looked for in each.
        unsought: the name and notes of consent that were deleted but not looked for, since they are so short that they
            are in such files by chance, or since others who are still enrolled have them too.
    """

    name: str
    photos: int
    searched: tuple[str, ...]
    traces: int
    unsought: tuple[str, ...] = ()


def checked_name(name: str) -> str:
    """A person's name as the gallery keeps it: Unicode in its composed form, without space around it.

    Raises:
        UsageError: it is empty, too long, or holds what cannot be printed.
    """
    name = unicodedata.normalize("NFC", name).strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"name {name[:40]!r}: must be 1 to {LONGEST_NAME} characters that can be printed")
    return name
