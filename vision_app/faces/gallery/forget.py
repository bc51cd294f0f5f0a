"""Forgetting somebody, and proving it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vision_app.core.errors import GalleryError
from vision_app.faces.gallery.results import Forgotten, Sample
from vision_app.faces.gallery.store import to_blob

if TYPE_CHECKING:
    from vision_app.faces.gallery.gallery import Gallery

PIECE = 64  # bytes of a vector or a picture that are looked for: they cannot be there by chance
BLOCK = 1 << 24  # bytes of a file that are searched at a time
CHANCE = 1e-3  # how probable a short trace may be in random bytes, if it is looked for


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
    size = sum(path.stat().st_size for path in files)
    texts = {text: _ends(text) for text in (name, *(sample.consent for sample in samples)) if text}
    traces = {trace for trace in traces.union(*texts.values()) if _tells(trace, size) and not store.holds(trace)}
    for path in files:
        if search(path, traces):
            raise GalleryError(f"{path}: still holds something of who was forgotten; report this as a mistake")
    unsought = sorted(text for text, ends in texts.items() if not ends & traces)
    return Forgotten(name, len(samples), tuple(map(str, files)), len(traces), tuple(unsought))


def finish(gallery: "Gallery") -> None:
    """Wipes the traces of deleted rows out of the gallery's files, also those that a kill left there.

    After a kill nothing is searched: what to look for was deleted.
    """
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


def _ends(text: str) -> set[bytes]:
    """The beginning and the end of a name or a note, which a page of the file may part."""
    return {text.encode()[:PIECE], text.encode()[-PIECE:]}


def _tells(trace: bytes, size: int) -> bool:
    """Whether a trace is too long to be anywhere in so many bytes by chance."""
    return size / 256 ** len(trace) < CHANCE
