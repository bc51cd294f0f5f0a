"""`Store`: the rows of a gallery. All SQL but that of the schema is here."""

import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from threading import RLock

import numpy as np

from vision_app.core.errors import GalleryError, UsageError, nearest
from vision_app.faces.align import centroid_of
from vision_app.faces.gallery.audit import now
from vision_app.faces.gallery.results import Person, Sample
from vision_app.faces.gallery.schema import connect

EMBEDDING = np.dtype("<f4")
_PEOPLE = (
    "SELECT person.id, name, person.added, count(sample.id), ifnull(group_concat(DISTINCT nullif(consent, '')), '') "
    "FROM person LEFT JOIN sample ON sample.person = person.id"
)
_SAMPLES = (
    "SELECT sample.id, source, box, landmarks, quality, embedding, contract, consent, added, png "
    "FROM sample JOIN model ON model.id = sample.model LEFT JOIN crop ON crop.sample = sample.id"
)


class Store:
    """One connection to a gallery's file. Several threads may use it; one at a time gets in.

    Attributes:
        path: the file.
        readonly: whether it was opened for reading only.
    """

    def __init__(self, path: Path, *, readonly: bool):
        self.path, self.readonly = path, readonly
        self._connection = connect(path, readonly=readonly)
        self._turn = RLock()

    def close(self) -> None:
        with self._turn:
            self._connection.close()

    def rows(self, sql: str, values: Sequence = ()) -> list[tuple]:
        """Runs a statement and returns all of its rows.

        Raises:
            GalleryError: SQLite cannot do it: the file is damaged, or the disk is full.
        """
        with self._turn:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise GalleryError(f"{self.path}: {error}") from error

    @contextmanager
    def change(self) -> Iterator["Change"]:
        """Makes all that is done within the block happen, or nothing of it. On return it is safely on the disk."""
        with self._turn:
            self.rows("BEGIN IMMEDIATE")
            try:
                self._change = Change(self.revision)
                yield self._change
                self.rows("UPDATE state SET revision = randomblob(16)")
                self._change.after = self.revision
                self.rows("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def unchanging(self) -> Iterator[None]:
        """Lets all that is read within the block come from one moment, whatever another process does meanwhile."""
        with self._turn:
            self.rows("BEGIN")
            try:
                yield
            finally:
                self.rows("ROLLBACK")

    @property
    def revision(self) -> str:
        """Another one after every change."""
        return self.rows("SELECT hex(revision) FROM state")[0][0].lower()

    @property
    def contracts(self) -> list[str]:
        """Ids of the models that made the embeddings: one, or none in an empty gallery."""
        return [contract for (contract,) in self.rows("SELECT contract FROM model ORDER BY id")]

    # People

    def people(self) -> list[Person]:
        """Everybody, by name."""
        return [Person(*row) for row in self.rows(f"{_PEOPLE} GROUP BY person.id ORDER BY name")]

    def count_people(self) -> int:
        return self.rows("SELECT count(*) FROM person")[0][0]

    def find(self, name: str) -> Person | None:
        rows = self.rows(f"{_PEOPLE} WHERE name = ? GROUP BY person.id", [name])
        return Person(*rows[0]) if rows else None

    def person(self, name: str) -> Person:
        """Somebody by name.

        Raises:
            UsageError: there is nobody of this name.
        """
        found = self.find(name)
        if found is None:
            guess = nearest(name, (known for (known,) in self.rows("SELECT name FROM person")))
            hint = f"did you mean {guess!r}?" if guess else "`vision-app faces list` shows who is"
            raise UsageError(f"nobody named {name!r} is enrolled; {hint}")
        return found

    def add_person(self, name: str) -> int:
        """A new person's id; for use within `change`, as all that follow which change something."""
        key = _random_id()
        self.rows("INSERT INTO person VALUES (?, ?, ?)", [key, name, now()])
        return key

    def rename(self, person: int, name: str) -> None:
        self.rows("UPDATE person SET name = ? WHERE id = ?", [name, person])

    def merge(self, source: int, target: int) -> None:
        """Gives one person's samples to another, and deletes the first."""
        self.rows("UPDATE sample SET person = ? WHERE person = ?", [target, source])
        self.delete_person(source)
        self.update_centroid(target)

    def delete_person(self, person: int) -> None:
        """Deletes somebody with all samples and crops."""
        self._change.gone += self._centroid_of(person)
        self.rows("DELETE FROM person WHERE id = ?", [person])

    # Centroids

    def update_centroid(self, person: int) -> None:
        """Makes a person's centroid anew after samples came or went: their mean, of length 1."""
        blobs = [blob for (blob,) in self.rows("SELECT embedding FROM sample WHERE person = ?", [person])]
        samples = np.frombuffer(b"".join(blobs), EMBEDDING).reshape(len(blobs), -1)
        self._change.gone += self._centroid_of(person)
        self.rows("DELETE FROM centroid WHERE person = ?", [person])
        key = _random_id()
        self._change.new.append(key)
        self.rows("INSERT INTO centroid VALUES (?, ?, ?)", [key, person, to_blob(centroid_of(samples))])

    def centroid_ids(self) -> np.ndarray:
        """(K,) int64 ids of all centroids."""
        return np.array([key for (key,) in self.rows("SELECT id FROM centroid")], np.int64)

    def centroids(self, ids: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """All centroids, or those of some ids that are there.

        Returns:
            (n,) int64 ids and (n, D) float32 unit vectors, in one order; n by 0 where there are none.
        """
        sql = "SELECT id, embedding FROM centroid"
        if ids is None:
            rows = self.rows(sql)
        else:
            rows = self.rows(f"{sql} WHERE id IN (SELECT value FROM json_each(?))", [json.dumps(ids.tolist())])
        keys = np.fromiter((key for key, _ in rows), np.int64, len(rows))
        embeddings = np.frombuffer(b"".join(blob for _, blob in rows), EMBEDDING)
        return keys, embeddings.reshape(len(rows), -1) if rows else np.zeros((0, 0), np.float32)

    def centroid(self, person: int) -> np.ndarray | None:
        """(D,) float32 unit vector: the mean of a person's embeddings; None in a damaged gallery without it."""
        rows = self.rows("SELECT embedding FROM centroid WHERE person = ?", [person])
        return np.frombuffer(rows[0][0], EMBEDDING) if rows else None

    def owners(self, ids: np.ndarray) -> dict[int, tuple[int, str, int]]:
        """The id, the name and the number of photos of the person whom each centroid is of, by the centroid's id; those
        gone are left out.
        """
        photos = "(SELECT count(*) FROM sample WHERE sample.person = person.id)"
        sql = (
            f"SELECT centroid.id, person.id, name, {photos} FROM centroid JOIN person ON person.id = person "
            "WHERE centroid.id IN (SELECT value FROM json_each(?))"
        )
        return {key: tuple(owner) for key, *owner in self.rows(sql, [json.dumps(ids.tolist())])}

    # Samples

    def samples(self, person: int) -> list[Sample]:
        """What is kept of somebody, the oldest first."""
        return [_sample(row) for row in self.rows(f"{_SAMPLES} WHERE person = ? ORDER BY added, sample.id", [person])]

    def owner(self, source: bytes) -> str | None:
        """The name of whoever is enrolled with a photo, by the digest of its file."""
        sql = "SELECT name FROM person JOIN sample ON sample.person = person.id WHERE source = ?"
        return next((name for (name,) in self.rows(sql, [source])), None)

    def add_sample(self, person: int, sample: Sample) -> None:
        """Adds a sample under a new id; its own is not used. `update_centroid` is to follow."""
        values = (json.dumps(value) for value in (sample.box, sample.landmarks, sample.quality))
        ((key,),) = self.rows(
            "INSERT INTO sample VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            [person, self._model(sample.contract), to_blob(sample.embedding), sample.source, *values,
             sample.consent, sample.added],
        )  # fmt: skip
        if sample.crop is not None:
            self.rows("INSERT INTO crop VALUES (?, ?)", [key, sample.crop])

    def replace_embedding(self, sample: int, embedding: np.ndarray, contract: str) -> None:
        """Gives a sample another embedding. `update_centroid` is to follow."""
        sql = "UPDATE sample SET model = ?, embedding = ? WHERE id = ?"
        self.rows(sql, [self._model(contract), to_blob(embedding), sample])

    # Deletion

    def drop_models(self) -> None:
        """Deletes the ids of models that made no embedding which is still there."""
        self.rows("DELETE FROM model WHERE NOT EXISTS (SELECT 1 FROM sample WHERE sample.model = model.id)")

    def set_unswept(self, unswept: bool) -> None:
        self.rows("UPDATE state SET unswept = ?", [int(unswept)])

    @property
    def is_unswept(self) -> bool:
        """Whether something was deleted whose traces may still be in the file."""
        return bool(self.rows("SELECT unswept FROM state")[0][0])

    def sweep(self) -> None:
        """Writes the file anew, without free pages, and empties the write-ahead log.

        Raises:
            GalleryError: a reader holds on to what was deleted.
        """
        folder = str(self.path.absolute().parent).replace("'", "''")
        self.rows(f"PRAGMA temp_store_directory = '{folder}'")  # not the system's, where others may look
        self.rows("VACUUM")
        ((is_busy, *_),) = self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        if is_busy:
            raise GalleryError(
                f"{self.path}: deleted, but a reader in another process keeps old pages in use; end it and run "
                "`vision-app faces check`, which finishes the deletion"
            )

    def integrity(self) -> list[str]:
        """What SQLite finds wrong with the file; the rows can be trusted only if that is nothing."""
        found = [f"damaged: {text}" for (text,) in self.rows("PRAGMA integrity_check") if text != "ok"]
        return found + [f"a row of {table} refers to nothing" for table, *_ in self.rows("PRAGMA foreign_key_check")]

    def embeddings_by_person(self) -> Iterator[tuple[str, bytes | None, list[bytes]]]:
        """The name, the centroid and the embeddings of everybody, as the rows hold them."""
        sql = (
            "SELECT person.id, name, centroid.embedding, sample.embedding FROM person "
            "LEFT JOIN centroid ON centroid.person = person.id LEFT JOIN sample ON sample.person = person.id "
            "ORDER BY person.id"
        )
        with self._turn:
            for (_, name, centroid), rows in groupby(self._connection.execute(sql), key=lambda row: row[:3]):
                yield name, centroid, [embedding for *_, embedding in rows if embedding is not None]

    def holds(self, trace: bytes) -> bool:
        """Whether bytes are a part of what is still kept: of any row, or of the tables' own text."""
        kept = (
            "SELECT name || added FROM person UNION ALL SELECT embedding FROM sample UNION ALL SELECT png FROM crop "
            "UNION ALL SELECT box || landmarks || quality || consent || added FROM sample "  # as they lie in the file
            "UNION ALL SELECT contract FROM model UNION ALL SELECT type || name || ifnull(sql, '') FROM sqlite_master"
        )
        sql = f"WITH kept (part) AS ({kept}) SELECT 1 FROM kept WHERE instr(CAST(part AS BLOB), ?) LIMIT 1"
        return bool(self.rows(sql, [trace]))

    def _model(self, contract: str) -> int:
        self.rows("INSERT OR IGNORE INTO model (contract) VALUES (?)", [contract])
        return self.rows("SELECT id FROM model WHERE contract = ?", [contract])[0][0]

    def _centroid_of(self, person: int) -> list[int]:
        return [key for (key,) in self.rows("SELECT id FROM centroid WHERE person = ?", [person])]


@dataclass
class Change:
    """What a transaction did to the centroids.

    Attributes:
        before, after: the gallery's revisions.
        gone, new: ids of centroids.
    """

    before: str
    after: str = ""
    gone: list[int] = field(default_factory=list)
    new: list[int] = field(default_factory=list)


def to_blob(embedding: np.ndarray) -> bytes:
    return np.asarray(embedding, EMBEDDING).tobytes()


def _sample(row: tuple) -> Sample:
    key, source, box, landmarks, quality, embedding, *rest = row
    numbers = np.frombuffer(embedding, EMBEDDING)
    return Sample(key, source, json.loads(box), json.loads(landmarks), json.loads(quality), numbers, *rest)


def _random_id() -> int:
    return secrets.randbits(63)
