"""`Database`: a gallery's file, its tables and migrations, the one writer's lock, and transactions."""

import os
import re
import secrets
import sqlite3
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from vision_app.core.errors import GalleryError, UsageError
from vision_app.core.files import OWNER_ONLY, open_regular
from vision_app.core.flags import flag

if sys.platform != "win32":  # where SQLite alone keeps two writers apart, a transaction at a time
    from fcntl import LOCK_EX, LOCK_NB, flock

APPLICATION = 0x56414647  # "VAFG", by which SQLite files of a gallery are told from others
DAMAGE = sqlite3.Error, UnicodeDecodeError  # SQLite quotes damaged text in its messages
MENDING = (  # what can be done about it
    "restore a copy of it, or export the people who can still be read (`vision-app faces export FILE.jsonl --person "
    "NAME`), delete the gallery's files, and import the export into a new gallery"
)
PATIENCE = 30.0  # seconds to wait for another connection to finish a transaction
LOCK = ".writer.lock"  # ends the name of the file that a writer locks
_HOLDER = re.compile(rb" *\d{0,19}\n?")  # what that file holds
_SQLITE = b"SQLite format 3\0"  # how the file of a database begins

# Ids of people and of centroids are random numbers that are never used twice. The audit log names people by these ids
# alone. A centroid gets a new one whenever it changes: an index with the right ids has the right vectors,
# also after a backup was restored.
MIGRATIONS = (
    """
    CREATE TABLE state (
        revision BLOB NOT NULL,     -- another one after every change
        unswept INTEGER NOT NULL    -- 1: something was deleted whose traces may still be in the file
    ) STRICT;
    INSERT INTO state VALUES (randomblob(16), 0);
    CREATE TABLE person (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE CHECK (name <> ''),
        added TEXT NOT NULL         -- UTC, ISO 8601
    ) STRICT;
    CREATE TABLE centroid (
        id INTEGER PRIMARY KEY,
        person INTEGER NOT NULL UNIQUE REFERENCES person ON DELETE CASCADE,
        embedding BLOB NOT NULL     -- of the person's samples, a unit vector
    ) STRICT;
    CREATE TABLE model (
        id INTEGER PRIMARY KEY,
        contract TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE sample (
        id INTEGER PRIMARY KEY,
        person INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
        model INTEGER NOT NULL REFERENCES model,
        embedding BLOB NOT NULL,    -- float32, little-endian
        source BLOB NOT NULL UNIQUE CHECK (length(source) = 32),  -- SHA-256 of the photo's file
        box TEXT NOT NULL,          -- JSON, pixels of the photo
        landmarks TEXT NOT NULL,    -- JSON, pixels of the photo
        quality TEXT NOT NULL,      -- JSON
        consent TEXT NOT NULL,
        added TEXT NOT NULL         -- UTC, ISO 8601
    ) STRICT;
    CREATE INDEX sample_person ON sample (person);
    CREATE TABLE crop (
        sample INTEGER PRIMARY KEY REFERENCES sample ON DELETE CASCADE,
        png BLOB NOT NULL           -- the aligned face with a margin
    ) STRICT;
    """,
)
"""What makes version n of the tables of version n - 1; the first one starts from an empty file."""


class EmptyFileError(GalleryError):
    """A file without content, where a gallery is only to be read."""


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
        with self.turn, self.reporting():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn what SQLite raises in the block into a GalleryError."""
        try:
            yield
        except DAMAGE as error:
            raise GalleryError(f"{self.path}: {_problem(error)}") from error

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
                    self.rows("ROLLBACK")
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


def connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    """Open a gallery's file; unless it is only read, make it if it is not there, and bring its tables up to date.

    Raises:
        UsageError: It cannot be made, or is no regular file.
        GalleryError: There is no such file to read, it is no gallery, damaged, of a newer version, or cannot be opened.
    """
    _refuse_other_kinds(path)
    if not readonly:
        _make_file(path)
    mode = "ro" if readonly else "rw"
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=PATIENCE,
            isolation_level=None,  # transactions begin where the code says so
            check_same_thread=False,  # threads take turns in `Store`
        )
        try:
            _prepare(connection, path, readonly)
        except BaseException:
            connection.close()
            raise
    except DAMAGE as error:
        raise GalleryError(f"{path}: {_problem(error, 'cannot be opened as a gallery')}") from error
    return connection


def _problem(error: Exception, what: str = "") -> str:
    """Say what SQLite found, and what can be done where the file is damaged; `what` is said of other problems."""
    if isinstance(error, UnicodeDecodeError) or _code(error) == sqlite3.SQLITE_CORRUPT:
        return f"damaged ({error}); {MENDING}"
    return f"{what} ({error})" if what else str(error)


def _code(error: Exception) -> int:
    """Return the kind of an error of SQLite, 0 where it has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _make_file(path: Path) -> None:
    """Create an empty file that only its owner may read; SQLite gives the files beside it the same permissions.

    A file that is there and empty, as `mktemp` makes it, gets these permissions as well.
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))
        if not path.stat().st_size:
            path.chmod(OWNER_ONLY)
    except OSError as error:
        raise UsageError(f"{flag('gallery')} {path}: cannot be made ({error.strerror})") from error


def _prepare(connection: sqlite3.Connection, path: Path, readonly: bool) -> None:
    """Check whose file it is, and set the connection up. A file that lost its end is read as far as it goes."""
    try:
        connection.execute("PRAGMA user_version")
    except sqlite3.Error as error:
        if not readonly or _code(error) != sqlite3.SQLITE_CORRUPT:
            raise
        connection.execute("PRAGMA writable_schema = ON")  # which makes SQLite bear a missing end
    (version,), (application,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id")
    )
    is_new = not (version or application or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if not is_new and application != APPLICATION:
        raise GalleryError(f"{path}: a database, but not a gallery of faces; choose another file")
    if version > len(MIGRATIONS):
        raise GalleryError(f"{path}: made by a newer version of Vision App (tables of version {version}); update it")
    connection.execute("PRAGMA foreign_keys = ON")
    if readonly:
        if is_new:
            raise EmptyFileError(f"{path}: empty, nobody is enrolled yet; `vision-app faces enroll` makes it a gallery")
        if version < len(MIGRATIONS):
            raise GalleryError(f"{path}: its tables are of an older version; `vision-app faces check` updates them")
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
    connection.execute("PRAGMA secure_delete = ON")  # deleted rows are overwritten with zeros
    if version < len(MIGRATIONS):  # in one transaction: after a kill, the file is as it was
        connection.executescript(
            f"BEGIN IMMEDIATE; {''.join(MIGRATIONS[version:])}; PRAGMA application_id = {APPLICATION}; "
            f"PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;"
        )


def resolve(path: Path) -> Path:
    """Return the one path of a gallery's file, whatever symbolic link leads to it: other files are named after it."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextmanager
def writer_lock(gallery: Path) -> Iterator[None]:
    """Lock a gallery for its writer. The system releases the lock when the process ends, however it ends.

    It is on a file of its own: SQLite's locks on the database are lost when a process closes any handle of that. The
    file holds the writer's process id. A file of this name that is somebody else's stays as it is.

    Raises:
        UsageError: There is no folder to make it in, or the gallery is no regular file.
        GalleryError: Another process, or another `Gallery` of this one, has it; or the gallery's file is no database.
    """
    _refuse_other_files(gallery)
    path = gallery.with_name(gallery.name + LOCK)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), OWNER_ONLY)
    except OSError as error:
        raise UsageError(
            f"{flag('gallery')} {gallery}: {path.name} cannot be made beside it ({error.strerror})"
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode) or not _HOLDER.fullmatch(holder := os.read(file, 40)):
            raise GalleryError(f"{path}: is in the way of the gallery's lock; move it or choose another gallery name")
        try:
            if sys.platform != "win32":
                flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            who = f"process {int(holder)}" if holder else "another process"
            raise GalleryError(f"{gallery}: {who} is writing to this gallery; try again when it is done") from None
        except OSError as error:
            raise GalleryError(f"{path}: cannot be locked ({error.strerror})") from error
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, b"%19d\n" % os.getpid())
        yield
    finally:
        os.close(file)


def _refuse_other_kinds(gallery: Path) -> None:
    """Refuse a gallery, or what SQLite would open beside it, that is no regular file: opening a pipe may never end."""
    for end in ("", "-journal", "-wal", "-shm"):
        path = gallery.with_name(gallery.name + end)
        try:
            kind = path.stat().st_mode
        except OSError:  # it is not there, or what opens it says why it cannot be
            continue
        if not stat.S_ISREG(kind) and not end:
            raise UsageError(f"{flag('gallery')} {path}: not a regular file; choose another one")
        if not stat.S_ISREG(kind):
            raise GalleryError(f"{path}: not a regular file, and in the way of the gallery; move it")


def _refuse_other_files(gallery: Path) -> None:
    """Refuse to make files beside one that is no database, and to write to one that another writer may not see."""
    _refuse_other_kinds(gallery)
    try:
        with open_regular(gallery, sys.maxsize) as file:
            about, start = os.fstat(file.fileno()), file.read(len(_SQLITE))
    except OSError:  # it is not there yet, or what opens it says why it cannot be
        return
    if start not in (b"", _SQLITE):
        raise GalleryError(f"{gallery}: cannot be opened as a gallery (file is not a database)")
    if about.st_nlink > 1:
        raise GalleryError(
            f"{gallery}: has another name (a hard link), under which it could be changed at the same time; "
            "copy it and remove the other name"
        )
