"""Whether a gallery's files and rows are what they should be."""

import stat
from typing import TYPE_CHECKING

import numpy as np

from vision_app.faces.gallery.store import EMBEDDING, centroid_of

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
