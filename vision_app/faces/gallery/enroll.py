"""Enrollment: which photos are good enough to know a person by, and new embeddings of those enrolled."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vision_app.core.errors import FaceError, GalleryError, ImageError
from vision_app.core.images import ImageSource, RGBImage, open_file, read_image
from vision_app.faces.align import centroid_of, chip_of, crop_of
from vision_app.faces.gallery.audit import AuditLog, now
from vision_app.faces.gallery.database import Change
from vision_app.faces.gallery.matching import Matcher
from vision_app.faces.gallery.results import (
    ACCEPTED,
    DIFFERENT_PERSON,
    SOMEONE_ELSE,
    UNREADABLE,
    EnrolledPhoto,
    Enrollment,
    Person,
)
from vision_app.faces.gallery.store import EMBEDDING
from vision_app.faces.reasons import problem
from vision_app.faces.recognizer import only


def enroll_photo(
    matcher: Matcher,
    audit: AuditLog,
    name: str,
    photo: ImageSource,
    *,
    consent: str,
    largest: bool,
    allow_similar: bool,
    allow_different: bool,
) -> Enrollment:
    """Enroll a person with one photo, or say why not; see `Gallery.enroll`."""
    recognizer = matcher.recognizer
    file = os.fsdecode(photo) if isinstance(photo, str | os.PathLike) else "<image>"
    try:
        photo = content_of(photo)
        image = recognizer.read(photo)
        source = digest(photo, image)
        has_people = matcher.index.latest() is not None
        if has_people and (owner := matcher.store.require(recognizer.model_id, source)):
            return Enrollment.already(file, name, owner)
        face = only(recognizer(image), file, largest=largest)
        if not face.is_fit:
            raise FaceError(file, face.quality.reasons[0], f"the face is {problem(face.quality)}")
        row, crop, embedding = face.to_dict(), crop_of(image, face.landmarks), np.asarray(face.embedding)
        about = {key: row[key] for key in ("box", "landmarks", "quality")}
        about |= {"model_id": recognizer.model_id, "consent": consent, "added": now()}
        sample = EnrolledPhoto(0, source, embedding=embedding, crop=crop, **about)
        allowed = {"allow_similar": allow_similar, "allow_different": allow_different}
        add(matcher, audit, name, sample, file=file, **allowed)
    except ImageError as error:
        return Enrollment(file, name, UNREADABLE, error.reason)
    except FaceError as error:
        return Enrollment(file, name, error.code, error.reason)
    return Enrollment(file, name, ACCEPTED)


def add(
    matcher: Matcher,
    audit: AuditLog,
    name: str,
    sample: EnrolledPhoto,
    *,
    file: str = "",
    allow_similar: bool = True,
    allow_different: bool = True,
) -> None:
    """Give a person, known or new, a sample.

    Raises:
        FaceError: It shows another person of the gallery ("someone_else"), or clearly not the one of this name
            ("different_person"), unless that is allowed; names the file.
    """
    with matcher.store.change() as change:
        person, known = matcher.store.add(name, sample)
        if not allow_similar and (other := _lookalike(matcher, change, sample.embedding)):
            raise FaceError(file, SOMEONE_ELSE, other)
        is_checked = len(known) and not allow_different
        if is_checked and (why := matcher.unlike(name, sample.embedding[None], centroid_of(known), len(known))):
            raise FaceError(file, DIFFERENT_PERSON, why)
        audit.write("enroll", [person], photos=1)
    matcher.index.follow(change)


def content_of(photo: ImageSource) -> ImageSource:
    """Return the bytes of a photo's file, read once, so that they are those embedded; other photos as they are.

    Raises:
        ImageError: The file cannot be read.
    """
    if not isinstance(photo, str | os.PathLike):
        return photo
    name = os.fsdecode(photo)
    try:
        with open_file(Path(name), name) as stream:
            return stream.read()
    except OSError as error:
        raise ImageError(name, f"cannot be read: {error.strerror or error}") from error


def digest(photo: ImageSource, image: RGBImage) -> bytes:
    """Return the SHA-256 of the bytes of a photo's file, or of the pixels of one that comes from no file."""
    if isinstance(photo, bytes | bytearray | memoryview):
        return hashlib.sha256(photo).digest()
    return hashlib.sha256(repr(image.pixels.shape).encode() + image.pixels.tobytes()).digest()


def _lookalike(matcher: Matcher, change: Change, embedding: np.ndarray) -> str | None:
    """Say to whom else a face belongs, if another person is near enough, and nearer than the one whom it is added to.

    The index still holds the centroids from before the change.
    """
    index = matcher.index.latest()
    if index is None:
        return None
    similarities, ids = index.search(embedding[None], 1)
    similarity, calibration = float(similarities[0, 0]), matcher.recognizer.calibration
    threshold = calibration.identify_threshold(len(index))
    if int(ids[0, 0]) in change.gone or similarity < threshold:
        return None
    for _, name, photos in matcher.store.owners(ids[0]).values():
        if similarity >= threshold + calibration.gain(photos):
            return f"shows {name} (similarity {similarity:.3f}), who is enrolled already"
    return None


def reembed(matcher: Matcher, audit: AuditLog, report: Callable[[Person], None]) -> int:
    """Replace the embeddings of all photos in one transaction; see `Gallery.reembed`."""
    store, embedder = matcher.store, matcher.recognizer.embedder
    size = embedder.dimension * EMBEDDING.itemsize
    if store.model_ids in ([], [embedder.model_id]) and {*store.embedding_sizes()} <= {size}:
        return 0
    people = store.people()
    with store.change():
        for person in people:
            samples = store.samples(person.id)
            chips = [_chip(sample, person, embedder.template) for sample in samples]
            for sample, embedding in zip(samples, embedder.embed(np.stack(chips)), strict=True):
                store.replace_embedding(sample.id, embedding, embedder.model_id)
            store.update_centroid(person.id)
            report(person)
        store.drop_models()
        audit.write("reembed", (person.id for person in people))
    matcher.index.discard()
    return sum(person.photos for person in people)


def _chip(sample: EnrolledPhoto, person: Person, template: np.ndarray) -> np.ndarray:
    """Return the aligned face of a sample."""
    if sample.crop is None:
        raise GalleryError(
            f"{person.name}: no image of a photo is kept, so no other model can embed it; nothing has changed. "
            "Forget and enroll this person again"
        )
    return chip_of(read_image(sample.crop).pixels, np.array(sample.landmarks, np.float32), template)
