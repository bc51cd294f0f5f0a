"""Enrollment: which photos are good enough to know somebody by."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision_app.core.errors import FaceError, ImageError
from vision_app.core.images import ImageSource, RGBImage, open_file
from vision_app.faces import quality
from vision_app.faces.align import crop_of
from vision_app.faces.gallery.audit import now
from vision_app.faces.gallery.results import (
    ACCEPTED,
    ALREADY_ENROLLED,
    SOMEONE_ELSE,
    UNREADABLE,
    Enrollment,
    Sample,
)
from vision_app.faces.recognizer import only

if TYPE_CHECKING:
    from vision_app.faces.gallery.gallery import Gallery


_AGAINST = {
    quality.TOO_SMALL: "the face is too small",
    quality.BLURRED: "the face is blurred",
    quality.EXTREME_POSE: "the face is turned away too far",
    quality.UNDER_EXPOSED: "the face is too dark",
    quality.OVER_EXPOSED: "the face is too bright",
}


def enroll_photo(
    gallery: "Gallery", name: str, photo: ImageSource, *, consent: str, largest: bool, allow_similar: bool
) -> Enrollment:
    """Enrolls somebody with one photo, or says why not; see `Gallery.enroll`."""
    store, recognizer = gallery.store, gallery.recognizer
    file = os.fsdecode(photo) if isinstance(photo, str | os.PathLike) else "<picture>"
    try:
        photo = content_of(photo)
        image = recognizer.read(photo)
        source = digest(photo, image)
        if owner := store.owner(source):
            code = ALREADY_ENROLLED if owner == name else SOMEONE_ELSE
            return Enrollment(file, name, code, f"enrolled already as {owner}")
        face = only(recognizer(image), file, largest=largest)
    except ImageError as error:
        return Enrollment(file, name, UNREADABLE, error.reason)
    except FaceError as error:
        return Enrollment(file, name, error.code, error.reason)
    if face.quality.reasons:
        return Enrollment(file, name, face.quality.reasons[0], _AGAINST[face.quality.reasons[0]])
    if not allow_similar and (other := _lookalike(gallery, name, face.embedding)):
        return Enrollment(file, name, SOMEONE_ELSE, other)
    found = face.to_dict()
    sample = Sample(
        id=0,
        source=source,
        **{key: found[key] for key in ("box", "landmarks", "quality")},
        embedding=face.embedding,
        contract=recognizer.model_id,
        consent=consent,
        added=now(),
        crop=crop_of(image, face.landmarks),
    )
    add(gallery, name, [sample], action="enroll")
    return Enrollment(file, name, ACCEPTED)


def add(gallery: "Gallery", name: str, samples: list[Sample], *, action: str) -> None:
    """Gives somebody, known or new, samples in one transaction."""
    store = gallery.store
    with store.change() as change:
        known = store.find(name)
        person = known.id if known else store.add_person(name)
        for sample in samples:
            store.add_sample(person, sample)
        store.update_centroid(person)
        gallery.audit.write(action, [person], photos=len(samples))
    gallery.index.follow(change)


def content_of(photo: ImageSource) -> ImageSource:
    """The bytes of a photo's file, read once, so that they are those that get embedded; other photos as they are.

    Raises:
        ImageError: the file cannot be read.
    """
    if not isinstance(photo, str | os.PathLike):
        return photo
    name = os.fsdecode(photo)
    try:
        with open_file(Path(photo), name) as stream:
            return stream.read()
    except OSError as error:
        raise ImageError(name, f"cannot be read: {error.strerror or error}") from error


def digest(photo: ImageSource, image: RGBImage) -> bytes:
    """SHA-256 of the bytes of a photo's file, or of the pixels of one that comes from no file."""
    if isinstance(photo, bytes | bytearray | memoryview):
        return hashlib.sha256(photo).digest()
    return hashlib.sha256(repr(image.pixels.shape).encode() + image.pixels.tobytes()).digest()


def _lookalike(gallery: "Gallery", name: str, embedding: np.ndarray) -> str | None:
    """Says to whom else a face belongs, if somebody is near enough and nearer than the person herself."""
    (candidates,) = gallery.candidates(embedding[None], 1)
    if not candidates or candidates[0].name == name:
        return None
    (nearest,) = candidates
    if nearest.similarity < gallery.threshold(photos=nearest.photos):
        return None
    return f"shows {nearest.name} (similarity {nearest.similarity:.3f}), who is enrolled already"
