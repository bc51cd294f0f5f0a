"""Whether a gallery's files and rows are what they should be."""

import io
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vision_app.core.errors import GalleryError
from vision_app.faces.align import centroid_of, chip_of
from vision_app.faces.gallery.results import Person, Sample
from vision_app.faces.gallery.store import EMBEDDING

if TYPE_CHECKING:
    from vision_app.faces.gallery.gallery import Gallery


def check(gallery: "Gallery") -> list[str]:
    """Says what is wrong; see `Gallery.check`."""
    store, index = gallery.store, gallery.index
    problems = [
        f"{path}: others may read it; `chmod 600` keeps it to its owner"
        for path in (*gallery.files, index.path, gallery.audit.path)
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if damage := store.integrity():
        return problems + [f"{gallery.path}: {text}" for text in damage]
    if store.is_unswept:
        problems.append(f"{gallery.path}: deleted rows are not wiped out of the file yet; open it for writing once")
    if len(store.contracts) > 1:
        problems.append(f"{gallery.path}: embeddings of {len(store.contracts)} models; forget and enroll people again")
    for name, centroid, samples in store.embeddings_by_person():
        if problem := _problem(centroid, samples):
            problems.append(f"{name}: {problem}")
    if problem := index.stored_problem():
        problems.append(problem)
    if not problems and (current := index.current()) is not None:
        odd = np.setxor1d(current.ids, store.centroid_ids())
        problems += [f"{index.path}: {len(odd)} of its people differ from the rows"] if len(odd) else []
    return problems


def _problem(centroid: bytes | None, samples: list[bytes]) -> str | None:
    """What is wrong with somebody's embeddings, if anything."""
    if centroid is None or not samples:
        return "has no photo, and cannot be recognized; forget this person"
    if len({len(blob) for blob in (centroid, *samples)}) > 1:
        return "has embeddings of several sizes; forget and enroll this person again"
    vectors = np.stack([np.frombuffer(blob, EMBEDDING) for blob in (*samples, centroid)])
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        return "has an embedding that is no unit vector; forget and enroll this person again"
    if not np.allclose(centroid_of(vectors[:-1]), vectors[-1], atol=1e-5):
        return "the mean of the embeddings is not that of the photos; forget and enroll this person again"
    return None


def reembed(gallery: "Gallery", report: Callable[[Person], None]) -> int:
    """Embeds every photo anew, in one transaction; see `Gallery.reembed`."""
    store, embedder = gallery.store, gallery.recognizer.embedder
    if store.contracts in ([], [embedder.model_id]):
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
        gallery.audit.write("reembed", (person.id for person in people))
    gallery.index.discard()
    return sum(person.photos for person in people)


def _chip(sample: Sample, person: Person, template: np.ndarray) -> np.ndarray:
    if sample.crop is None:
        raise GalleryError(
            f"{person.name}: no picture is kept of a photo, so no other model can embed it; nothing has changed. "
            "Forget and enroll this person again"
        )
    crop = np.asarray(Image.open(io.BytesIO(sample.crop), formats=["PNG"]).convert("RGB"))
    return chip_of(crop, np.array(sample.landmarks, np.float32), template)
