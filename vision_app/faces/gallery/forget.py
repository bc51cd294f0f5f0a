"""Deletion of a person, and the proof of it."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from vision_app.core.errors import GalleryError
from vision_app.core.files import open_regular
from vision_app.faces.gallery.audit import AuditLog
from vision_app.faces.gallery.index_cache import CachedIndex
from vision_app.faces.gallery.results import Forgotten
from vision_app.faces.gallery.store import Store

PIECE = 64  # bytes of a vector or an image that are searched for: they cannot be there by chance
BLOCK = 1 << 24  # bytes of a file that are searched at a time
CHANCE = 1e-3  # how probable a short trace may be in random bytes, if it is searched for


def forget(store: Store, index: CachedIndex, audit: AuditLog, name: str) -> Forgotten:
    """Delete all that a gallery keeps of a person; see `Gallery.forget`."""
    person = store.person(name)
    photos, centroids = store.contents(person.id), store.centroid_blobs(person.id)
    try:
        index.current()  # into memory, before its file goes
    except GalleryError:  # rows that are damaged, perhaps those of this person
        index.discard()
    index.delete_file()
    with store.change() as change:
        store.forget(person.id)
        audit.write("forget", [person.id], photos=len(photos))
    index.follow(change)
    finish(store, index)
    index.save()
    files = [path for path in (*store.files, index.path) if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    texts = {  # their beginnings and ends: a page of the file may divide them
        text: {text.encode()[:PIECE], text.encode()[-PIECE:]}
        for text in (person.name, *(consent for _, _, consent, _ in photos))
        if text
    }
    traces = {*_traces(photos)}.union((centroid[:PIECE] for centroid in centroids), *texts.values())
    traces = {trace for trace in traces if _tells(trace, size) and not store.holds(trace)}
    for path in files:
        if search(path, traces):
            raise GalleryError(f"{path}: still contains data of the person; please report this as a bug")
    unsought = sorted(text for text, ends in texts.items() if not ends & traces)
    return Forgotten(name, len(photos), tuple(map(str, files)), len(traces), tuple(unsought))


def finish(store: Store, index: CachedIndex) -> None:
    """Wipe the traces of deleted rows out of a gallery's files, also those that a kill left there.

    After a kill nothing is searched: what to search for was deleted.
    """
    if store.is_unswept:
        index.delete_file()
        store.sweep()


def search(path: Path, traces: Iterable[bytes]) -> set[bytes]:
    """Return those of some byte strings that a file contains."""
    traces, found, before = set(traces), set[bytes](), b""
    if not traces:
        return found
    overlap = max(map(len, traces)) - 1  # bytes of a trace that may lie in the block before
    with open_regular(path, sys.maxsize) as file:
        while block := file.read(BLOCK):
            window = before + block
            found |= {trace for trace in traces if trace in window}
            before = window[max(len(window) - overlap, 0) :]
    return found


def _traces(photos: Iterable[tuple[bytes, bytes, str, bytes | None]]) -> Iterator[bytes]:
    """Yield what would show that a photo is still there, see `Store.contents`."""
    for source, embedding, _, crop in photos:
        yield source
        yield embedding[:PIECE]
        if crop:
            middle = len(crop) // 2
            yield crop[middle : middle + PIECE]


def _tells(trace: bytes, size: int) -> bool:
    """Return whether a trace is too long to be anywhere in so many bytes by chance, and not the same byte all over."""
    return len(set(trace)) > 1 and size / 256 ** len(trace) < CHANCE
