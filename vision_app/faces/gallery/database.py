"""`Database`: the connection to a gallery's file, its transactions and what they did."""

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from vision_app.core.errors import GalleryError
from vision_app.faces.gallery.schema import connect


class Database:
    """One connection to a gallery's file. Several threads may use it; they take turns.

    Attributes:
        path: The file.
        turn: The lock of the thread that uses the connection, or what is derived from the rows.
    """

    def __init__(self, path: Path, *, readonly: bool):
        self.path, self.turn = path, RLock()
        self._connection = connect(path, readonly=readonly)
        revisions = self._revisions = ["", ""]  # before and after the latest change

        def next_revision(before: bytes) -> bytes:
            after = secrets.token_bytes(16)
            revisions[:] = before.hex(), after.hex()
            return after

        self._connection.create_function("next_revision", 1, next_revision)

    def close(self) -> None:
        """Close the connection."""
        with self.turn:
            self._connection.close()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that may hold data of a person, except the index."""
        return tuple(self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm"))

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return all of its rows, each a tuple.

        Raises:
            GalleryError: SQLite cannot do it: the file is damaged, or the disk is full.
        """
        with self.turn:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise GalleryError(f"{self.path}: {error}") from error

    @contextmanager
    def change(self) -> Iterator["Change"]:
        """Apply all changes of the block or none of them. On return they are safely on the disk."""
        with self.turn:
            self._change = change = Change()
            self.rows("BEGIN IMMEDIATE")
            try:
                yield change
                self.rows("UPDATE state SET revision = next_revision(revision)")
                change.before, change.after = self._revisions
                self.rows("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read everything in the block from one moment, whatever another process changes meanwhile."""
        with self.turn:
            if self._connection.in_transaction:  # a wider snapshot or a change
                yield
                return
            self.rows("BEGIN")
            try:
                yield
            finally:
                self.rows("ROLLBACK")


@dataclass
class Change:
    """What a transaction does to the centroids.

    Attributes:
        before: The gallery's revision until then.
        after: Its new revision.
        gone: Ids of deleted centroids.
        new: New centroids, (D,) float32, by their ids.
    """

    before: str = ""
    after: str = ""
    gone: list[int] = field(default_factory=list)
    new: dict[int, np.ndarray] = field(default_factory=dict)

    def drop(self, key: int) -> None:
        """Note that a centroid was deleted."""
        if self.new.pop(key, None) is None:
            self.gone.append(key)
