"""`Store`: the rows of a gallery. All SQL but that of the schema is here."""

import json
import secrets
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from vision_app.core.errors import GalleryError, ModelError, UsageError, nearest
from vision_app.faces.align import centroid_of
from vision_app.faces.gallery.audit import now
from vision_app.faces.gallery.database import MENDING, Database
from vision_app.faces.gallery.fields import read_places
from vision_app.faces.gallery.results import EnrolledPhoto, Person

EMBEDDING = np.dtype("<f4")
_PEOPLE = (
    "SELECT person.id, name, person.added, count(sample.id), ifnull(group_concat(DISTINCT nullif(consent, '')), '') "
    "FROM person LEFT JOIN sample ON sample.person = person.id"
)
_SAMPLES = (
    "SELECT sample.id, source, box, landmarks, quality, embedding, contract, consent, added, png "
    "FROM sample JOIN model ON model.id = sample.model LEFT JOIN crop ON crop.sample = sample.id"
)
_MEMBERS = (  # of a person: the centroid's id and the embeddings as hexadecimal numbers
    "(SELECT id FROM centroid WHERE person = person.id), "
    "(SELECT group_concat(hex(embedding)) FROM sample WHERE person = person.id)"
)


class Store(Database):
    """The people of a gallery and their photos, see `Database`."""

    @property
    def revision(self) -> str:
        """Random text that every change replaces."""
        return str(self._state("hex(revision)")).lower()

    @property
    def model_ids(self) -> list[str]:
        """Ids of the models that made the embeddings: one, or none in an empty gallery."""
        return [model_id for (model_id,) in self.rows("SELECT contract FROM model ORDER BY id")]

    def require(self, model_id: str, source: bytes = b"") -> str | None:
        """Check that embeddings of a model can be compared with those of the gallery.

        Args:
            model_id: See `Embedder.model_id`.
            source: Digest of a photo, see `EnrolledPhoto`.

        Returns:
            The name of the person who is enrolled with this photo, if any.

        Raises:
            ModelError: They cannot be compared; names the command that rebuilds them.
        """
        owner = "SELECT name FROM person JOIN sample ON sample.person = person.id WHERE source = ?"
        rows = self.rows(f"SELECT contract, ({owner}) FROM model ORDER BY id", [source])
        others = [known for known, _ in rows]
        if others not in ([], [model_id]):
            raise ModelError(
                f"{self.path}: its embeddings are of model {', '.join(others)}, not of {model_id}; "
                f"`vision-app faces reembed --gallery {self.path}` rebuilds them"
            )
        return rows[0][1] if rows else None

    # People

    def people(self, which: str = "", values: Sequence[Any] = ()) -> list[Person]:
        """Return all people, or those of an SQL condition, by name."""
        return [Person(*row) for row in self.rows(f"{_PEOPLE} {which} GROUP BY person.id ORDER BY name", values)]

    def count_people(self) -> int:
        """Count the people."""
        return int(self.rows("SELECT count(*) FROM person")[0][0])

    def find(self, name: str) -> Person | None:
        """Return the person of a name, if any."""
        return next(iter(self.people("WHERE name = ?", [name])), None)

    def person(self, name: str) -> Person:
        """Return the person of a name.

        Raises:
            UsageError: Nobody of this name is enrolled.
        """
        found = self.find(name)
        if found is None:
            guess = nearest(name, (known for (known,) in self.rows("SELECT name FROM person")))
            hint = f"did you mean {guess!r}?" if guess else "`vision-app faces list` shows who is"
            raise UsageError(f"nobody named {name!r} is enrolled; {hint}")
        return found

    def rename(self, person: int, name: str) -> None:
        """Change a person's name. This and all that follows and changes rows is for use within `change`."""
        self.rows("UPDATE person SET name = ? WHERE id = ?", [name, person])

    def merge(self, source: int, target: int) -> None:
        """Give the samples of one person to another, and delete the first."""
        self.rows("UPDATE sample SET person = ? WHERE person = ?", [target, source])
        self.delete_person(source)
        self.update_centroid(target)

    def delete_person(self, person: int) -> None:
        """Delete a person with all samples and crops."""
        for (key,) in self.rows("DELETE FROM centroid WHERE person = ? RETURNING id", [person]):
            self._change.drop(key)
        self.rows("DELETE FROM person WHERE id = ?", [person])

    # Centroids

    def update_centroid(self, person: int) -> None:
        """Compute a person's centroid from the samples: their mean, of length 1."""
        ((centroid, embeddings),) = self.rows(f"SELECT {_MEMBERS} FROM person WHERE id = ?", [person])
        if embeddings:
            self._set_centroid(person, centroid, list(map(bytes.fromhex, embeddings.split(","))))

    def _set_centroid(self, person: int, old: int | None, embeddings: list[bytes]) -> None:
        centroid = centroid_of(self._stack(embeddings))
        key = secrets.randbits(63)
        self.rows("INSERT OR REPLACE INTO centroid VALUES (?, ?, ?)", [key, person, to_blob(centroid)])
        if old is not None:
            self._change.drop(old)
        self._change.new[key] = centroid

    def centroid_ids(self) -> np.ndarray:
        """Return the (K,) int64 ids of all centroids."""
        return np.array([key for (key,) in self.rows("SELECT id FROM centroid")], np.int64)

    def centroids(self, ids: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return all centroids, or those of some ids that are there.

        Returns:
            (n,) int64 ids and (n, D) float32 unit vectors, in one order; n by 0 where there are none.

        Raises:
            GalleryError: They have several sizes.
        """
        chosen = "" if ids is None else "WHERE id IN (SELECT value FROM json_each(?))"
        values = [] if ids is None else [json.dumps(ids.tolist())]
        rows = self.rows(f"SELECT id, embedding FROM centroid {chosen}", values)
        keys = np.fromiter((key for key, _ in rows), np.int64, len(rows))
        return keys, self._stack([blob for _, blob in rows])

    def _stack(self, blobs: Sequence[bytes]) -> np.ndarray:
        """Return (n, D) embeddings after checking that they have one size; n by 0 where there are none."""
        if not blobs:
            return np.zeros((0, 0), np.float32)
        if len({len(blob) for blob in blobs}) > 1 or not size_of(blobs[0]):
            raise GalleryError(f"{self.path}: embeddings of several sizes; `vision-app faces check` tells more")
        return np.frombuffer(b"".join(blobs), EMBEDDING).reshape(len(blobs), -1)

    def embedding_size(self) -> int | None:
        """Return how many numbers the embeddings have, by the first of them; None where nobody is enrolled."""
        return next((size_of(blob) for (blob,) in self.rows("SELECT embedding FROM sample LIMIT 1")), None)

    def centroid(self, person: int) -> np.ndarray | None:
        """Return the (D,) mean of a person's embeddings, a unit vector; None in a damaged gallery without it."""
        blobs = self.centroid_blobs(person)
        return self._stack(blobs)[0] if blobs else None

    def centroid_blobs(self, person: int) -> list[bytes]:
        """Return a person's centroids as the rows hold them: one, or none in a damaged gallery."""
        return [blob for (blob,) in self.rows("SELECT embedding FROM centroid WHERE person = ?", [person])]

    def owners(self, ids: np.ndarray) -> dict[int, tuple[int, str, int]]:
        """Return the id, name and number of photos of the person of each centroid, by its id, without those gone."""
        photos = "(SELECT count(*) FROM sample WHERE sample.person = person.id)"
        sql = (
            f"SELECT centroid.id, person.id, name, {photos} FROM centroid JOIN person ON person.id = person "
            "WHERE centroid.id IN (SELECT value FROM json_each(?))"
        )
        return {key: (person, *owner) for key, person, *owner in self.rows(sql, [json.dumps(ids.tolist())])}

    # Samples

    def samples(self, person: int) -> list[EnrolledPhoto]:
        """Return what is kept of a person, the oldest first."""
        rows = self.rows(f"{_SAMPLES} WHERE person = ? ORDER BY added, sample.id", [person])
        try:
            return [_sample(*row) for row in rows]
        except ValueError as error:
            raise GalleryError(
                f"{self.path}: a photo is damaged ({error}); `vision-app faces check` says whose"
            ) from error

    def contents(self, person: int) -> list[tuple[bytes, bytes, str, bytes | None]]:
        """Return source, embedding, consent and crop of each photo of a person, however damaged the rows are."""
        sql = "SELECT source, embedding, consent, png FROM sample LEFT JOIN crop ON sample = id WHERE person = ?"
        return self.rows(sql, [person])

    def add(self, name: str, sample: EnrolledPhoto) -> tuple[int, np.ndarray]:
        """Give a person, known or new, a sample under a new id; its own is not used.

        Returns:
            The person's id, and the (n, D) embeddings from before; n is 0 for a new person.

        Raises:
            GalleryError: Its embedding has another size than the others.
        """
        ((person, centroid, embeddings, model, other),) = self.rows(
            "INSERT INTO person VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET name = name "
            f"RETURNING id, {_MEMBERS}, (SELECT id FROM model WHERE contract = ?), "
            "(SELECT embedding FROM sample LIMIT 1)",
            [secrets.randbits(63), name, now(), sample.model_id],
        )
        places = (json.dumps(value) for value in (sample.box, sample.landmarks, sample.quality))
        embedding = to_blob(sample.embedding)
        if other is not None and len(other) != len(embedding):
            raise GalleryError(
                f"{self.path}: its embeddings have {size_of(other)} numbers, this one has {sample.embedding.size}; "
                "`vision-app faces check` tells more"
            )
        ((key,),) = self.rows(
            "INSERT INTO sample VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            [person, model or self._model(sample.model_id), embedding, sample.source, *places,
             sample.consent, sample.added],
        )  # fmt: skip
        if sample.crop is not None:
            self.rows("INSERT INTO crop VALUES (?, ?)", [key, sample.crop])
        known = list(map(bytes.fromhex, embeddings.split(","))) if embeddings else []
        self._set_centroid(person, centroid, [*known, embedding])
        return int(person), self._stack(known)

    def replace_embedding(self, sample: int, embedding: np.ndarray, model_id: str) -> None:
        """Replace a sample's embedding. `update_centroid` is to follow."""
        sql = "UPDATE sample SET model = ?, embedding = ? WHERE id = ?"
        self.rows(sql, [self._model(model_id), to_blob(embedding), sample])

    def _model(self, model_id: str) -> int:
        """Return the number that stands for a model in the rows."""
        sql = "INSERT INTO model (contract) VALUES (?) ON CONFLICT DO UPDATE SET contract = contract RETURNING id"
        return int(self.rows(sql, [model_id])[0][0])

    # Deletion

    def forget(self, person: int) -> None:
        """Delete a person for good; `sweep` is to follow."""
        self.delete_person(person)
        self.drop_models()
        self.rows("UPDATE state SET unswept = 1")

    def drop_models(self) -> None:
        """Delete the ids of models of which no embedding is left."""
        self.rows("DELETE FROM model WHERE NOT EXISTS (SELECT 1 FROM sample WHERE sample.model = model.id)")

    @property
    def is_unswept(self) -> bool:
        """Whether traces of deleted rows may be in the file."""
        return bool(self._state("unswept"))

    def _state(self, column: str) -> Any:
        for (value,) in self.rows(f"SELECT {column} FROM state"):
            return value
        raise GalleryError(f"{self.path}: damaged (its state is missing); {MENDING}")

    def sweep(self) -> None:
        """Rebuild the file without free pages, and empty the write-ahead log.

        Raises:
            GalleryError: A reader keeps deleted pages in use.
        """
        folder = str(self.path.absolute().parent).replace("'", "''")
        self.rows(f"PRAGMA temp_store_directory = '{folder}'")  # not the system's, which others may read
        try:
            self.rows("VACUUM")
        except GalleryError as error:
            raise GalleryError(f"{error}. Rows were deleted, but traces of them may be left in the file") from error
        ((is_busy, *_),) = self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        if is_busy:
            raise GalleryError(
                f"{self.path}: deleted, but a reader in another process keeps old pages in use; end it and run "
                "`vision-app faces check`, which finishes the deletion"
            )
        self.rows("UPDATE state SET unswept = 0")

    # Checks

    def integrity(self) -> list[str]:
        """Return what SQLite finds wrong with the file; the rows can be trusted only if that is nothing."""
        found = [f"damaged: {text}" for (text,) in self.rows("PRAGMA integrity_check") if text != "ok"]
        return found + [f"a row of {table} refers to nothing" for table, *_ in self.rows("PRAGMA foreign_key_check")]

    def embeddings_by_person(self) -> Iterator[tuple[str, bytes | None, list[bytes]]]:
        """Yield each person's name, centroid and embeddings, as the rows hold them."""
        sql = (
            "SELECT person.id, name, centroid.embedding, sample.embedding FROM person "
            "LEFT JOIN centroid ON centroid.person = person.id LEFT JOIN sample ON sample.person = person.id "
            "ORDER BY person.id"
        )
        with self.turn, self.reporting():
            for (_, name, centroid), rows in groupby(self._connection.execute(sql), key=lambda row: row[:3]):
                yield name, centroid, [embedding for *_, embedding in rows if embedding is not None]

    def embedding_sizes(self) -> list[int]:
        """Return the different numbers of bytes of embeddings, the most frequent first."""
        sql = "SELECT length(embedding) FROM sample GROUP BY 1 ORDER BY count(*) DESC"
        return [size for (size,) in self.rows(sql)]

    def damaged_photos(self) -> list[str]:
        """Return the names of people of whose photos a box, landmarks or a quality cannot be read."""
        sql = "SELECT name, box, landmarks, quality FROM person JOIN sample ON person = person.id ORDER BY person.id"
        found = {}
        for name, *texts in self.rows(sql):
            try:
                read_places(*texts)
            except ValueError:
                found[name] = True
        return list(found)

    def holds(self, trace: bytes) -> bool:
        """Return whether bytes are a part of what is still kept: of any row, or of the tables' own text."""
        kept = (
            "SELECT name || added FROM person UNION ALL SELECT embedding FROM sample UNION ALL SELECT png FROM crop "
            "UNION ALL SELECT box || landmarks || quality || consent || added FROM sample "  # as they lie in the file
            "UNION ALL SELECT contract FROM model UNION ALL SELECT type || name || ifnull(sql, '') FROM sqlite_master"
        )
        sql = f"WITH kept (part) AS ({kept}) SELECT 1 FROM kept WHERE instr(CAST(part AS BLOB), ?) LIMIT 1"
        return bool(self.rows(sql, [trace]))


def to_blob(embedding: np.ndarray) -> bytes:
    """Return an embedding as the rows hold it."""
    return np.asarray(embedding, EMBEDDING).tobytes()


def _sample(
    key: int, source: bytes, box: str, landmarks: str, quality: str, embedding: bytes, *rest: Any
) -> EnrolledPhoto:
    if not size_of(embedding):
        raise ValueError("its embedding is incomplete")
    numbers = np.frombuffer(embedding, EMBEDDING)
    return EnrolledPhoto(key, source, *read_places(box, landmarks, quality), numbers, *rest)


def size_of(blob: bytes) -> int:
    """Return how many numbers an embedding has that the rows hold so; 0 where it is none."""
    return 0 if len(blob) % EMBEDDING.itemsize else len(blob) // EMBEDDING.itemsize
