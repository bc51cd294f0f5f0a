"""What a gallery answers: frozen values."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from reprlib import repr as shortened
from typing import Any

import numpy as np

from vision_app.core.errors import UsageError
from vision_app.core.results import Detections, NoTruthValue, rounded
from vision_app.core.text import printable
from vision_app.faces.results import UNCERTAIN

LONGEST_NAME = 200  # characters

# Codes of `Enrollment`, beside those of `errors.FaceError` and `faces.quality`.
ACCEPTED, ALREADY_ENROLLED, SOMEONE_ELSE, UNREADABLE = "accepted", "already_enrolled", "someone_else", "unreadable"
DIFFERENT_PERSON = "different_person"

KNOWN, UNKNOWN = "known", "unknown"
"""Verdicts on a face that is, or is not, of an enrolled person; the second is a label as well. The third verdict, and
label, is "uncertain"."""


@dataclass(frozen=True)
class Person:
    """An enrolled person.

    Attributes:
        id: A random number, the only thing that the audit log knows.
        name: Unique in its gallery.
        added: When, UTC, ISO 8601.
        photos: How many are enrolled.
        consent: The different notes of the photos, joined by commas.
    """

    id: int
    name: str
    added: str
    photos: int
    consent: str


@dataclass(frozen=True, eq=False)
class EnrolledPhoto:
    """What is kept of one photo of a person.

    Attributes:
        id: Its number in the gallery.
        source: SHA-256 of the photo's file, 32 bytes.
        box: x1, y1, x2, y2 in pixels of the photo.
        landmarks: Five pairs of x, y in pixels of the photo, see `align.LANDMARKS`.
        quality: As `quality.Quality.to_dict` gives it.
        embedding: (D,) float32 unit vector.
        model_id: Id of the model that made the embedding.
        consent: A note of who agreed to what.
        added: When, UTC, ISO 8601.
        crop: PNG file of the aligned face with a margin, see `align.crop_of`; None where none is kept.
    """

    id: int
    source: bytes
    box: list[float]
    landmarks: list[list[float]]
    quality: dict[str, Any]
    embedding: np.ndarray = field(repr=False)
    model_id: str
    consent: str
    added: str
    crop: bytes | None = field(default=None, repr=False)

    contract = property(lambda self: self.model_id, doc="The former name of `model_id`.")


@dataclass(frozen=True)
class Enrollment(NoTruthValue):
    """The outcome of enrolling a person with one photo. `if enrollment:` raises TypeError; `.refused` has the answer.

    Attributes:
        file: The photo, as the caller named it.
        name: The person.
        code: "accepted", or why not: "already_enrolled" (with this photo, which is fine), "someone_else" (the photo is
            enrolled as, or shows, another person of the gallery), "different_person" (it does not look like the
            person already enrolled under that name), "unreadable", "no_face", "several_faces", or a reason of
            `faces.quality`.
        reason: Why not, in words; empty where the photo was accepted.
    """

    instead = "refused"
    file: str
    name: str
    code: str
    reason: str = ""

    @classmethod
    def already(cls, file: str, name: str, owner: str) -> "Enrollment":
        """Return the outcome for a photo that its owner is enrolled with already."""
        return cls(file, name, ALREADY_ENROLLED if owner == name else SOMEONE_ELSE, f"enrolled already as {owner}")

    @property
    def refused(self) -> bool:
        """Whether the person is not enrolled with this photo, now or from before."""
        return self.code not in (ACCEPTED, ALREADY_ENROLLED)


@dataclass(frozen=True)
class Candidate:
    """A person whom a face resembles.

    Attributes:
        id, name: The person's.
        photos: How many the person is enrolled with.
        similarity: Cosine, -1 to 1; to the mean of the person's photos.
    """

    id: int
    name: str
    photos: int
    similarity: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "similarity": rounded(self.similarity, 4)}


@dataclass(frozen=True, eq=False)
class Identity(NoTruthValue):
    """Who a face is. `if identity:` raises TypeError; `.name` has the answer.

    Attributes:
        box: (4,) float32 x1, y1, x2, y2 in pixels of the photo.
        person: The person whom it is near enough to, or None. A face that is not fit to be recognized gets none.
        candidates: The nearest people, the nearest first, whatever the verdict.
        reasons: Why the face is not fit to be recognized, see `Quality.reasons`; empty for a good image.
    """

    instead = "name"
    box: np.ndarray
    person: Candidate | None
    candidates: tuple[Candidate, ...]
    reasons: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """What is said of it: "known", "unknown", or "uncertain" where the face is not fit to be recognized."""
        return UNCERTAIN if self.reasons else KNOWN if self.person else UNKNOWN

    @property
    def label(self) -> str:
        """The name or, where there is none, the verdict."""
        return self.name or self.verdict

    @property
    def name(self) -> str | None:
        """Name of the person, or None."""
        return self.person.name if self.person else None

    @property
    def similarity(self) -> float | None:
        """To the person or, where there is none, to the nearest candidate; None in an empty gallery."""
        return next((one.similarity for one in (self.person, *self.candidates) if one), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `reasons` only where there are any."""
        return {
            "box": rounded(self.box, 2),
            "name": self.name,
            "similarity": None if self.similarity is None else rounded(self.similarity, 4),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            **({"reasons": list(self.reasons)} if self.reasons else {}),
        }


@dataclass(frozen=True, eq=False)
class Identities(NoTruthValue):
    """Who is in one photo. `if identities:` raises TypeError; the names are in `.faces`.

    Attributes:
        faces: One for each face, the surest first.
        width, height: Of the photo in pixels.
        model_id: Id of the model that made the embeddings.
        threshold: The similarity from which a face got the name of a person with one photo, see `Matcher.threshold`;
            None in an empty gallery.
    """

    instead = "faces"
    faces: tuple[Identity, ...]
    width: int
    height: int
    model_id: str
    threshold: float | None

    contract = property(lambda self: self.model_id, doc="The former name of `model_id`.")

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> Identity:
        return self.faces[index]

    def __iter__(self) -> Iterator[Identity]:
        return iter(self.faces)

    @property
    def detections(self) -> Detections:
        """The same faces as detections labeled with their names, to draw them with `captions`."""
        labels = [face.label for face in self.faces]
        boxes = np.array([face.box for face in self.faces]).reshape(-1, 4)
        return Detections(boxes, np.ones(len(boxes)), tuple(labels), self.width, self.height, self.model_id)

    @property
    def captions(self) -> list[str]:
        """The text at each face: its name, or that it is unknown or uncertain, and its similarity."""
        return [caption(face.label, face.similarity) for face in self.faces]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, rounded so that two runs print the same text."""
        return {
            "width": self.width,
            "height": self.height,
            "contract": self.model_id,
            "faces": [face.to_dict() for face in self.faces],
        }


@dataclass(frozen=True)
class Forgotten:
    """The proof that a person is forgotten.

    Attributes:
        name: Who it was.
        photos: How many were enrolled.
        searched: Files that were searched for traces when everything was deleted; none was found.
        traces: How many different byte strings were searched for in each.
        unsought: The name and notes of consent that were deleted but not searched for, since they are so short that
            they are in such files by chance, or since others who are still enrolled have them too.
    """

    name: str
    photos: int
    searched: tuple[str, ...]
    traces: int
    unsought: tuple[str, ...] = ()


def different_from(name: str, similarity: float, threshold: float) -> str:
    """Say that a photo or person does not look like a person, given the similarity and what photos of one reach."""
    return f"does not look like {name} (similarity {similarity:.3f}; photos of one person reach about {threshold:.3f})"


def caption(label: str, similarity: float | None) -> str:
    """Return the text at a face, such as "Ada 0.71"."""
    return label if similarity is None else f"{label} {similarity:.2f}"


def checked_name(name: str) -> str:
    """Return a person's name as the gallery keeps it: Unicode in its composed form, without space around it.

    Raises:
        UsageError: It is no text, empty, too long, or contains characters that cannot be printed.
    """
    if not isinstance(name, str):
        raise UsageError(f"name {shortened(name)}: must be text")
    name = unicodedata.normalize("NFC", name).strip()
    if not name or len(name) > LONGEST_NAME or printable(name) != name:
        raise UsageError(f"name {name[:40]!r}: must be 1 to {LONGEST_NAME} characters that can be printed")
    return name
