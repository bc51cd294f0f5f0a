"""Enrolled people as faces that can be compared: whether two are one, and how they become one."""

import numpy as np

from vision_app.core.errors import FaceError, GalleryError, ModelError, UsageError
from vision_app.faces.gallery.audit import AuditLog
from vision_app.faces.gallery.database import Change
from vision_app.faces.gallery.results import Person, different_from
from vision_app.faces.gallery.store import Store
from vision_app.faces.quality import Quality
from vision_app.faces.recognizer import FaceRecognizer
from vision_app.faces.results import DIFFERENT, Face, Verification

DIFFERENT_PEOPLE, NOT_COMPARABLE = "different_people", "not_comparable"
ADVICE = "; `allow_different=True` merges them"


class NoPhotoError(GalleryError):
    """A person without a photo, whom a damaged gallery may hold."""


def known_face(store: Store, recognizer: FaceRecognizer, name: str) -> tuple[Person, Face]:
    """Return a person, and the face on the best photo with the mean of all embeddings; within a snapshot.

    Raises:
        VisionAppError: As `Gallery.verify` does, but for its photo; or the person has no photo.
    """
    store.require(recognizer.model_id)
    person = store.person(name)
    samples, centroid = store.samples(person.id), store.centroid(person.id)
    if not samples or centroid is None:
        raise NoPhotoError(f"{store.path}: {name} has no photo; `vision-app faces check` tells more")
    best = max(samples, key=lambda sample: sample.quality["score"])
    judged = Quality(**best.quality | {"reasons": tuple(best.quality["reasons"])})
    box, landmarks = np.array(best.box, np.float32), np.array(best.landmarks, np.float32)
    return person, Face(box, 1.0, landmarks, judged, centroid)


def compare(store: Store, recognizer: FaceRecognizer, a: str, b: str, far: float | None = None) -> Verification:
    """Decide whether two enrolled people are one; see `Gallery.compare`."""
    try:
        with store.snapshot():
            (first, face_a), (second, face_b) = (known_face(store, recognizer, name) for name in (a, b))
        return recognizer.compare(face_a, face_b, far=far, photos=second.photos, photos_a=first.photos)
    except (NoPhotoError, ModelError) as error:
        raise FaceError(a, NOT_COMPARABLE, f"cannot be compared with {b} ({error})") from error


def merge(store: Store, audit: AuditLog, source: str, target: str, recognizer: FaceRecognizer | None) -> Change:
    """Give one person's photos to another, see `Gallery.merge`; without a recognizer, they are not compared."""
    people = store.person(source).id, store.person(target).id
    if people[0] == people[1]:
        raise UsageError(f"name {source!r}: the same person twice; name two to merge")
    if recognizer is not None and (answer := compare(store, recognizer, source, target)).verdict == DIFFERENT:
        reason = different_from(target, answer.similarity, answer.threshold)
        raise FaceError(source, DIFFERENT_PEOPLE, reason + ADVICE)
    with store.change() as change:
        store.merge(*people)
        audit.write("merge", people)
    return change
