"""The gallery's file: how it is made and opened, what its tables are, and how older tables are migrated."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from vision_app.core.errors import GalleryError, UsageError
from vision_app.core.files import OWNER_ONLY

APPLICATION = 0x56414647  # "VAFG", by which SQLite files of a gallery are told from others
PATIENCE = 30.0  # seconds to wait for another connection to finish a transaction

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


def connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    """Open a gallery's file; unless it is only read, make it if it is not there, and bring its tables up to date.

    Raises:
        UsageError: There is no such file to read, or it cannot be made.
        GalleryError: It is no gallery, damaged, of a newer version, or cannot be opened.
    """
    if not readonly:
        _make_file(path)
    elif not path.is_file():
        raise missing(path)
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
    except sqlite3.Error as error:
        raise GalleryError(f"{path}: cannot be opened as a gallery ({error})") from error
    return connection


def missing(path: Path) -> UsageError:
    """Return the error that says that there is no gallery."""
    return UsageError(f"--gallery {path}: there is no such gallery; `vision-app faces enroll` makes one")


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
        raise UsageError(f"--gallery {path}: cannot be made ({error.strerror})") from error


def _prepare(connection: sqlite3.Connection, path: Path, readonly: bool) -> None:
    """Check whose file it is, and set the connection up."""
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
