"""`FaceIndex`: find the embeddings nearest to others among very many. NumPy and FAISS.

Up to `EXACT_LIMIT` embeddings every one of them is compared. Above, an inverted file (IVF) holds each as a code of half
a byte for two numbers (product quantization, scanned as in André et al. 2015, "Cache locality is not enough"): a scan
of the codes proposes candidates, and these are compared exactly.
"""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from vision_app.core.errors import GalleryError

EXACT_LIMIT = 100_000
"""Most embeddings that are searched one by one."""

LISTS = 256  # of the inverted file
PROBES = 256  # lists that are scanned for a query; half of them would take half the time and lose 1 to 2 % of people
CANDIDATES = 100  # embeddings that are compared exactly
TRAINED_ON = 65_536  # embeddings from which lists and codes are learned
NOBODY = -1
"""The id that stands where there are fewer embeddings than asked for. Its similarity is -inf."""

Lookup = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(n,) int64 ids -> (m,) ids of those that are there, in any order, and their (m, D) float32 embeddings."""


class FaceIndex:
    """Unit vectors by id, searched by their cosine similarity.

    >>> index = FaceIndex.build(embeddings, ids, lookup)
    >>> similarities, ids = index.search(queries, 5)
    """

    def __init__(self, index: Any, lookup: Lookup):
        """Wrap a FAISS index; `build` makes one.

        Args:
            index: An `IndexIDMap2` of an exact index, or an inverted file (FAISS declares them without their fields).
            lookup: Where to find the embeddings that an inverted file proposes.
        """
        self._index, self._lookup = index, lookup

    @classmethod
    def build(cls, embeddings: np.ndarray, ids: np.ndarray, lookup: Lookup) -> "FaceIndex":
        """Build an index: exact up to `EXACT_LIMIT` embeddings, an inverted file above.

        Args:
            embeddings: (N, D) float32 unit vectors.
            ids: (N,) different whole numbers from 0 up.
            lookup: Where an inverted file finds embeddings to compare exactly.

        Raises:
            GalleryError: Wrong shapes, or a number that is not finite.
        """
        embeddings = np.asarray(embeddings)
        if embeddings.ndim != 2 or not embeddings.shape[1]:
            raise GalleryError(f"embeddings: expected N x D numbers, got shape {embeddings.shape}")
        dimension = embeddings.shape[1]
        is_large = len(embeddings) > EXACT_LIMIT
        flat = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))
        index = cls(_inverted_file(_checked(embeddings, dimension)) if is_large else flat, lookup)
        index.add(embeddings, ids)
        return index

    @property
    def exact(self) -> bool:
        """Whether every embedding is compared with a query."""
        return isinstance(self._index, faiss.IndexIDMap2)

    @property
    def dimension(self) -> int:
        """Numbers of an embedding."""
        return int(self._index.d)

    @property
    def ids(self) -> np.ndarray:
        """(N,) int64, in an order that means nothing."""
        if self.exact:
            return np.asarray(faiss.vector_to_array(self._index.id_map))
        lists = self._index.invlists
        return np.concatenate([_list_ids(lists, number) for number in range(lists.nlist)])

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, embeddings: np.ndarray, ids: np.ndarray) -> None:
        """Add (n, D) unit vectors under n ids that are not there yet.

        Raises:
            GalleryError: Wrong shapes, or a number that is not finite.
        """
        embeddings, ids = _checked(embeddings, self._index.d), np.asarray(ids, np.int64)
        if ids.shape != (len(embeddings),) or (ids < 0).any():
            raise GalleryError(f"ids: expected one number from 0 up for each of {len(embeddings)} embeddings")
        self._index.add_with_ids(embeddings, ids)

    def remove(self, ids: np.ndarray) -> int:
        """Remove embeddings with all that was derived from them, those that are there; return how many."""
        ids = np.asarray(ids, np.int64).reshape(-1)
        if self.exact:
            return int(self._index.remove_ids(ids))
        lists = self._index.invlists
        before = [lists.list_size(number) for number in range(lists.nlist)]
        count = int(self._index.remove_ids(ids))
        for number, size in enumerate(before):
            if lists.list_size(number) < size:
                _wipe_tail(self._index, number)
        return count

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Search for the nearest embeddings of each query.

        Args:
            queries: (Q, D) unit vectors, Q at least 1.
            k: How many, at least 1.

        Returns:
            similarities: (Q, k) float32 cosines, the highest first, equal ones by id.
            ids: (Q, k) int64, `NOBODY` where there are no more.

        Raises:
            GalleryError: Wrong shapes, or a number that is not finite.
        """
        queries = _checked(queries, self._index.d)
        if not len(queries) or k < 1:
            raise GalleryError(
                f"cannot search for {k} neighbors of {len(queries)} faces; at least one of each is needed"
            )
        similarities, ids = self._index.search(queries, k if self.exact else max(k, CANDIDATES))
        if not self.exact:
            similarities = np.stack([self._exactly(*pair) for pair in zip(queries, ids, strict=True)])
        similarities = np.where(ids == NOBODY, -np.inf, similarities).astype(np.float32)
        ids = np.where(np.isneginf(similarities), NOBODY, ids)
        order = np.lexsort((ids, -similarities))[:, :k]
        return np.take_along_axis(similarities, order, 1), np.take_along_axis(ids, order, 1)

    def to_bytes(self) -> bytes:
        """Return the index as a file holds it."""
        return bytes(faiss.serialize_index(self._index).tobytes())

    @classmethod
    def from_bytes(cls, content: bytes | np.ndarray, lookup: Lookup) -> "FaceIndex":
        """Return the index that `to_bytes` gave. The bytes are trusted: a changed file can crash the program.

        Raises:
            GalleryError: FAISS cannot read them.
        """
        try:
            index = faiss.deserialize_index(np.frombuffer(content, np.uint8))
        except RuntimeError as error:
            raise GalleryError(f"the index cannot be read ({str(error).splitlines()[0]})") from error
        if isinstance(index, faiss.IndexIVF):
            index.nprobe = PROBES
        return cls(index, lookup)

    def _exactly(self, query: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return the (n,) similarities of a query to embeddings by id, -inf for those that are gone."""
        similarities = np.full(len(ids), -np.inf, np.float32)
        keys, embeddings = self._lookup(ids[ids != NOBODY])
        if len(keys):
            places = {key: place for place, key in enumerate(ids.tolist())}
            there = np.array([places[key] for key in keys.tolist()])
            order = np.argsort(there)
            similarities[there[order]] = embeddings[order] @ query
        return similarities


def _inverted_file(embeddings: np.ndarray) -> Any:
    """Return an empty inverted file; lists and codes are learned from some embeddings, the same ones every time."""
    dimension = embeddings.shape[1]
    chosen = np.random.default_rng(0).choice(len(embeddings), min(len(embeddings), TRAINED_ON), replace=False)
    index: Any = faiss.index_factory(dimension, f"IVF{LISTS},PQ{dimension // 2}x4fs", faiss.METRIC_INNER_PRODUCT)
    index.train(embeddings[np.sort(chosen)])
    index.nprobe = PROBES
    return index


def _list_ids(lists: Any, number: int) -> np.ndarray:
    """Return the (n,) ids of a list."""
    size = lists.list_size(number)
    return faiss.rev_swig_ptr(lists.get_ids(number), size).copy() if size else np.zeros(0, np.int64)


def _wipe_tail(index: Any, number: int) -> None:
    """Zero what `remove_ids` leaves behind the end of a list, in the last of its blocks of 32 codes.

    FAISS (1.15) keeps the codes of those removed there, and mixes them into the codes that are added next.
    """
    packer, size = index.get_CodePacker(), index.invlists.list_size(number)
    blocks = -(-size // packer.nvec)
    codes = faiss.rev_swig_ptr(index.invlists.get_codes(number), blocks * packer.block_size)
    for slot in range(size, blocks * packer.nvec):
        packer.pack_1(np.zeros(packer.code_size, np.uint8), slot, codes.reshape(blocks, packer.block_size))


def _checked(embeddings: np.ndarray, dimension: int) -> np.ndarray:
    """Return embeddings as a contiguous (n, dimension) float32 array, whose numbers are all finite."""
    array = np.ascontiguousarray(embeddings, np.float32)
    if array.ndim != 2 or array.shape[1] != dimension:
        raise GalleryError(f"embeddings: expected N x {dimension} numbers, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise GalleryError("embeddings: expected finite numbers")
    return array
