"""The index of a gallery: derived from the rows, kept in step with them, and on the disk only where it is large."""

import hashlib
import json
from threading import RLock

import numpy as np

from vision_app.core.errors import GalleryError
from vision_app.core.files import OWNER_ONLY, atomic_write, remove_with_leftovers
from vision_app.faces.gallery.store import Change, Store
from vision_app.faces.index import EXACT_LIMIT, FaceIndex

FORMAT = 1  # of the file: one line of JSON, then the index as FAISS writes it


class CachedIndex:
    """The centroids of a gallery in a `FaceIndex`.

    Up to `index.EXACT_LIMIT` of them it is made in memory from the rows. A larger one is kept in a file beside the
    gallery, which is used only if its digest is right; then ids tell what must be added and removed.
    """

    def __init__(self, store: Store):
        self._store = store
        self._turn = RLock()  # of the threads that search it or change it
        self._index: FaceIndex | None = None
        self._revision = self._saved = ""
        self.path = store.path.with_name(f"{store.path.name}.index")

    def current(self) -> FaceIndex | None:
        """The index of what the gallery holds now, or None where it holds nobody."""
        with self._turn:
            if self._revision != self._store.revision:
                with self._store.unchanging():
                    self._renew()
            return self._index

    def search(self, embeddings: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest centroids, as many as asked for or all, of each embedding; see `FaceIndex.search`."""
        with self._turn:
            index = self.current()
            if index is None or not len(embeddings):
                return np.zeros((len(embeddings), 0), np.float32), np.zeros((len(embeddings), 0), np.int64)
            return index.search(embeddings, min(count, len(index)))

    def follow(self, change: Change) -> None:
        """Does to the index what a transaction did to the rows, if it was in step with them before."""
        with self._turn:
            if self._index is not None and self._revision == change.before:
                self._apply(np.array(change.gone, np.int64), np.array(change.new, np.int64))
                self._revision = change.after

    def save(self) -> None:
        """Writes a large index to its file, if it has changed; a small one needs none. For the writer only.

        Raises:
            GalleryError: the file cannot be written.
        """
        if self._store.count_people() <= EXACT_LIMIT:
            self.delete_file()
            return
        index = self.current()
        if self._saved == self._revision:
            return
        content = index.to_bytes()
        header = {"format": FORMAT, "revision": self._revision, "sha256": hashlib.sha256(content).hexdigest()}
        try:
            with atomic_write(self.path, OWNER_ONLY) as temporary, temporary.open("wb") as stream:
                stream.writelines([json.dumps(header).encode(), b"\n", content])
        except OSError as error:
            raise GalleryError(f"{self.path}: cannot be written ({error.strerror})") from error
        self._saved = self._revision

    def delete_file(self) -> None:
        """Deletes the file, and what a kill left unfinished beside it. For the writer only."""
        self._saved = ""
        remove_with_leftovers(self.path)

    def discard(self) -> None:
        """Drops the index: the next one is made from the rows alone. For the writer only."""
        self._index, self._revision = None, ""
        self.delete_file()

    def stored_problem(self) -> str | None:
        """What is wrong with the file, if there is one, or None; one that is out of date is not wrong."""
        try:
            self._read()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, GalleryError) as error:
            return f"{self.path}: cannot be used ({error}); it will be made anew"
        return None

    def _load(self) -> None:
        """Takes the index from its file, if there is one that can be used."""
        try:
            index, revision = self._read()
        except (OSError, ValueError, KeyError, GalleryError):
            return
        if len(index) > EXACT_LIMIT:
            self._index, self._revision, self._saved = index, revision, revision

    def _read(self) -> tuple[FaceIndex, str]:
        with self.path.open("rb") as stream:
            header = json.loads(stream.readline())
            if header["format"] != FORMAT:
                raise ValueError("another format")
            content = stream.read()
        if hashlib.sha256(content).hexdigest() != header["sha256"]:
            raise ValueError("its digest is wrong")
        return FaceIndex.from_bytes(content, self._lookup), header["revision"]

    def _renew(self) -> None:
        """Brings the index, or the one in the file, up to date, or builds another one."""
        if self._index is None:
            self._load()
        revision, wanted = self._store.revision, self._store.centroid_ids()
        if self._index is not None and self._index.exact == (len(wanted) <= EXACT_LIMIT):
            if self._revision != revision:
                held = self._index.ids
                self._apply(np.setdiff1d(held, wanted), np.setdiff1d(wanted, held))
        elif len(wanted):
            ids, embeddings = self._store.centroids()
            self._index = FaceIndex.build(embeddings, ids, self._lookup)
        self._revision = revision

    def _apply(self, gone: np.ndarray, new: np.ndarray) -> None:
        if len(gone):
            self._index.remove(gone)
        if len(new):
            ids, embeddings = self._store.centroids(new)
            self._index.add(embeddings, ids)
        if not len(self._index):
            self._index = None

    def _lookup(self, ids: np.ndarray) -> np.ndarray:
        """Centroids by id from the rows, NaN for those that are gone; see `index.Lookup`."""
        found, embeddings = self._store.centroids(ids)
        answer = np.full((len(ids), self._index.dimension), np.nan, np.float32)
        places = {key: place for place, key in enumerate(ids.tolist())}
        answer[[places[key] for key in found.tolist()]] = embeddings.reshape(len(found), self._index.dimension)
        return answer
