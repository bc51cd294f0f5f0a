"""Forgetting somebody, and proving it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vision_app.errors import GalleryError
from vision_app.faces.gallery.results import Forgotten, Sample
from vision_app.faces.gallery.store import to_blob

if TYPE_CHECKING:
    from vision_app.faces.gallery.gallery import Gallery

PIECE = 64  # bytes of a vector or a picture that are looked for: they cannot be there by chance
BLOCK = 1 << 24  # bytes of a file that are searched at a time
CHANCE = 1e-3  # how probable a short name may be in random bytes, if it is looked for


def forget(gallery: "Gallery", name: str) -> Forgotten:
    """Deletes all that a gallery holds of somebody; see `Gallery.forget`."""
    store, person = gallery.store, gallery.store.person(name)
    samples, centroid = store.samples(person.id), store.centroid(person.id)
    traces = set(_traces(samples))
    if centroid is not None:
        traces.add(to_blob(centroid)[:PIECE])
    gallery.index.current()  # into memory, before its file goes
    gallery.index.delete_file()
    with store.change() as change:
        store.delete_person(person.id)
        store.drop_models()
        store.set_unswept(True)
        gallery.audit.write("forget", [person.id], photos=len(samples))
    gallery.index.follow(change)
    finish(gallery)
    gallery.index.save()
    files = [path for path in (*gallery.files, gallery.index.path) if path.exists()]
    traces |= _name(name, sum(path.stat().st_size for path in files))
    for path in files:
        if any(not store.holds(trace) for trace in search(path, traces)):
            raise GalleryError(f"{path}: still holds something of who was forgotten; report this as a mistake")
    return Forgotten(name, len(samples), tuple(map(str, files)), len(traces))


def finish(gallery: "Gallery") -> None:
    """Wipes the traces of deleted rows out of the gallery's files, also those that a kill left there."""
    if gallery.store.is_unswept:
        gallery.index.delete_file()
        gallery.store.sweep()
        gallery.store.set_unswept(False)


def search(path: Path, traces: Iterable[bytes]) -> set[bytes]:
    """Those of some byte strings that a file holds."""
    traces, found, before = set(traces), set(), b""
    overlap = max(map(len, traces), default=0)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found |= {trace for trace in traces if trace in before + block}
            before = (before + block)[-overlap:]
    return found


def _traces(samples: Iterable[Sample]) -> Iterator[bytes]:
    """What would betray that a sample is still there."""
    for sample in samples:
        yield sample.source
        yield to_blob(sample.embedding)[:PIECE]
        if sample.crop:
            middle = len(sample.crop) // 2
            yield sample.crop[middle : middle + PIECE]


def _name(name: str, size: int) -> set[bytes]:
    """A name, unless it is so short that it can be anywhere in so many bytes."""
    text = name.encode()
    return {text} if size / 256 ** len(text) < CHANCE else set()
