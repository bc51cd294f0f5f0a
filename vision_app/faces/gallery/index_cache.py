"""The index of a gallery: derived from the rows, kept in step with them, and on the disk only where it is large."""

import hashlib
import json
import sys
from contextlib import suppress

import numpy as np

from vision_app.core.errors import GalleryError
from vision_app.core.files import OWNER_ONLY, atomic_write, open_regular, parse_json, remove_with_leftovers
from vision_app.faces.gallery.database import Change
from vision_app.faces.gallery.store import Store
from vision_app.faces.index import EXACT_LIMIT, FaceIndex

FORMAT = 1  # of the file: one line of JSON, then the index as FAISS writes it
_START = b'{"format": '
_LONGEST_HEADER = 1 << 12  # bytes of that line; an ordinary one has 140
_UNUSABLE = OSError, ValueError, KeyError, TypeError, RecursionError, MemoryError, GalleryError  # of a damaged file


class CachedIndex:
    """The centroids of a gallery in a `FaceIndex`.

    Up to `index.EXACT_LIMIT` of them it is built in memory from the rows. A larger one is kept in a file beside the
    gallery, which is used only if its digest is right; then ids tell what must be added and removed.
    """

    def __init__(self, store: Store):
        self._store = store
        self._index: FaceIndex | None = None
        self._revision = self._saved = ""
        self.path = store.path.with_name(f"{store.path.name}.index")

    def current(self) -> FaceIndex | None:
        """Return the index of the people whom the gallery holds now, or None where it holds nobody."""
        with self._store.snapshot():
            revision = self._store.revision
            if self._revision != revision:
                self._update(revision)
            return self._index

    def latest(self) -> FaceIndex | None:
        """Return `current` without reading the rows: nobody but the only writer changes them."""
        return self._index if self._revision else self.current()

    def search(self, embeddings: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Search for the nearest centroids of each embedding, `count` or all of them; see `FaceIndex.search`."""
        with self._store.turn:
            index = self.current()
            if index is None or not len(embeddings):
                return np.zeros((len(embeddings), 0), np.float32), np.zeros((len(embeddings), 0), np.int64)
            if index.dimension != embeddings.shape[1]:
                path = self._store.path
                raise GalleryError(
                    f"{path}: embeddings of {index.dimension} numbers, where the model makes {embeddings.shape[1]}; "
                    f"`vision-app faces reembed --gallery {path}` rebuilds them"
                )
            return index.search(embeddings, min(count, len(index)))

    def follow(self, change: Change) -> None:
        """Apply a transaction to the index as well, if the index was in step with the rows before."""
        with self._store.turn:
            if self._revision == change.before:
                new = np.array([*change.new], np.int64), np.array([*change.new.values()], np.float32)
                self._apply(np.array(change.gone, np.int64), *new)
                self._revision = change.after
            elif self._revision != change.after:
                self._revision = ""  # the next one to ask brings it up to date

    def save(self) -> None:
        """Write a large index to its file, if it has changed; a small one needs none. For the writer only.

        Raises:
            GalleryError: The file cannot be written.
        """
        try:
            index = self.current() if self._store.count_people() > EXACT_LIMIT else None
        except GalleryError:  # rows that are damaged, as those say who need them
            index = None
        if index is None:
            self.delete_file()
            return
        if self._saved == self._revision:
            return
        if not self._is_ours():
            raise GalleryError(f"{self.path}: is in the way of the gallery's index; move it")
        content = index.to_bytes()
        header = {"format": FORMAT, "revision": self._revision, "sha256": hashlib.sha256(content).hexdigest()}
        try:
            with atomic_write(self.path, OWNER_ONLY) as temporary, temporary.open("wb") as stream:
                stream.writelines([json.dumps(header).encode(), b"\n", content])
        except OSError as error:
            raise GalleryError(f"{self.path}: cannot be written ({error.strerror})") from error
        self._saved = self._revision

    def delete_file(self) -> None:
        """Delete the file, if it is ours, and what a kill left unfinished beside it. For the writer only."""
        self._saved = ""
        if self._is_ours():
            remove_with_leftovers(self.path)

    def _is_ours(self) -> bool:
        """Return whether the file may be replaced: it is not there, empty, or begins as an index does."""
        try:
            with open_regular(self.path, sys.maxsize) as stream:
                start = stream.read(len(_START))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return start in (b"", _START)

    def discard(self) -> None:
        """Drop the index: the next one is built from the rows alone. For the writer only."""
        self._index, self._revision = None, ""
        self.delete_file()

    def stored_problem(self) -> str | None:
        """Return what is wrong with the file, if there is one, or None; one that is out of date is not wrong."""
        try:
            self._read()
        except FileNotFoundError:
            return None
        except _UNUSABLE as error:
            advice = "it will be rebuilt" if self._is_ours() else "move it, it is in the way of the gallery's index"
            return f"{self.path}: cannot be used ({error}); {advice}"
        return None

    def _read(self) -> tuple[FaceIndex, str]:
        """Read the file: the index and the revision of the rows that it is of."""
        with open_regular(self.path, sys.maxsize) as stream:
            header = parse_json(stream.readline(_LONGEST_HEADER))
            if not isinstance(header, dict) or header["format"] != FORMAT:
                raise ValueError("another format")
            content = stream.read()
        if hashlib.sha256(content).hexdigest() != header["sha256"]:
            raise ValueError("its digest is wrong")
        return FaceIndex.from_bytes(content, self._store.centroids), header["revision"]

    def _update(self, revision: str) -> None:
        """Bring the index, or the one in the file, up to date, or build another one."""
        before, self._revision = self._revision, ""  # until it is done
        wanted = self._store.centroid_ids()
        if self._index is None and len(wanted) > EXACT_LIMIT:
            with suppress(*_UNUSABLE):  # as if there were no file
                self._index, before = self._read()
                self._saved = before
        if self._index is not None and self._index.exact == (len(wanted) <= EXACT_LIMIT):
            if before != revision:
                known = self._index.ids
                self._apply(np.setdiff1d(known, wanted), *self._store.centroids(np.setdiff1d(wanted, known)))
        else:
            self._index = None
            self._apply(wanted[:0], *self._store.centroids())
        self._revision = revision

    def _apply(self, gone: np.ndarray, new: np.ndarray, embeddings: np.ndarray) -> None:
        """Take embeddings out of the index and add others; it is None where none are left."""
        if self._index is None:
            self._index = FaceIndex.build(embeddings, new, self._store.centroids) if len(new) else None
            return
        if len(gone):
            self._index.remove(gone)
        if len(new):
            self._index.add(embeddings, new)
        if not len(self._index):
            self._index = None
