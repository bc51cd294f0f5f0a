"""Whether a gallery's files and rows are what they should be."""

import stat

import numpy as np

from vision_app.faces.align import centroid_of
from vision_app.faces.gallery.audit import AuditLog
from vision_app.faces.gallery.index_cache import CachedIndex
from vision_app.faces.gallery.store import EMBEDDING, Store, size_of


def check(store: Store, index: CachedIndex, audit: AuditLog) -> list[str]:
    """Return what is wrong; see `Gallery.check`."""
    problems = [
        f"{path}: others may read it; `chmod 600` keeps it to its owner"
        for path in (*store.files, index.path, audit.path)
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if damage := store.integrity():
        return problems + [f"{store.path}: {text}" for text in damage]
    if store.is_unswept:
        problems.append(f"{store.path}: deleted rows are not wiped out of the file yet; open it for writing once")
    problems += [
        f"{name}: has a photo whose data is damaged; forget and enroll this person again"
        for name in store.damaged_photos()
    ]
    if (models := len(store.model_ids)) > 1:
        problems.append(f"{store.path}: embeddings of {models} models; forget and enroll people again")
    size = next(iter(store.embedding_sizes()), 0)
    for name, centroid, samples in store.embeddings_by_person():
        if problem := _problem(centroid, samples, size):
            problems.append(f"{name}: {problem}")
    if problem := index.stored_problem():
        problems.append(problem)
    if not problems and (current := index.current()) is not None:
        odd = np.setxor1d(current.ids, store.centroid_ids())
        problems += [f"{index.path}: {len(odd)} of its people differ from the rows"] if len(odd) else []
    return problems


def _problem(centroid: bytes | None, samples: list[bytes], size: int) -> str | None:
    """Return what is wrong with a person's embeddings, if anything; `size` is that of most, in bytes."""
    if centroid is None or not samples:
        return "has no photo, and cannot be recognized; forget this person"
    if len({len(blob) for blob in (centroid, *samples)}) > 1:
        return "has embeddings of several sizes; forget and enroll this person again"
    if len(centroid) != size or not size_of(centroid):
        return "has embeddings of another size than most people; forget and enroll this person again"
    vectors = np.stack([np.frombuffer(blob, EMBEDDING) for blob in (*samples, centroid)])
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        return "has an embedding that is not a unit vector; forget and enroll this person again"
    if not np.allclose(centroid_of(vectors[:-1]), vectors[-1], atol=1e-5):
        return "the mean of the embeddings is not that of the photos; forget and enroll this person again"
    return None
