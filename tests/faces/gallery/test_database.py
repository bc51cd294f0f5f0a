"""Tables of other versions, files of others, who may read a new file, and one writer at a time."""

import sqlite3
import stat

import pytest
from painted_people import (
    open_writer,
    run_sql,
)

from vision_app import Gallery
from vision_app.core.errors import GalleryError, UsageError
from vision_app.faces.gallery import database


def table_names(path):
    connection = sqlite3.connect(path)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return names


def test_older_tables_are_migrated_once_and_keep_their_rows(path, monkeypatch):
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, "CREATE TABLE note (text TEXT) STRICT;"))
    with pytest.raises(GalleryError, match="of an older version; `vision-app faces check` updates them"):
        Gallery.open(path, readonly=True)
    with open_writer(path) as gallery:
        assert [person.name for person in gallery.people()] == ["Ada", "Bob"] and gallery.check() == []
    assert "note" in table_names(path)
    Gallery.open(path, readonly=True).close()
    Gallery.open(path).close()  # and not again


def test_a_migration_that_fails_changes_nothing(path, monkeypatch):
    monkeypatch.setattr(
        database, "MIGRATIONS", (*database.MIGRATIONS, "CREATE TABLE note (text TEXT) STRICT;", "DROP TABLE missing;")
    )
    with pytest.raises(GalleryError, match="no such table"):
        Gallery.open(path)
    assert "note" not in table_names(path)


def test_newer_tables_and_other_databases_are_left_alone(path, tmp_path):
    run_sql(path, "PRAGMA user_version = 99")
    with pytest.raises(GalleryError, match="made by a newer version of Vision App"):
        Gallery.open(path)
    other = tmp_path / "other.db"
    run_sql(other, "CREATE TABLE songs (title TEXT)")
    before = other.read_bytes()
    with pytest.raises(GalleryError, match="a database, but not a gallery of faces"):
        Gallery.open(other)
    assert other.read_bytes() == before


def test_an_empty_file_becomes_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "people.db"
    path.touch()
    path.chmod(0o644)
    with pytest.raises(GalleryError, match=r"people\.db: empty, nobody is enrolled yet; `vision-app faces enroll`"):
        Gallery.open(path, readonly=True)
    with Gallery.open(path) as gallery:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and gallery.check() == []
    path.chmod(0o640)
    Gallery.open(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # the owner's wish for a gallery that is there


def test_other_files_are_not_opened_as_a_gallery(tmp_path, recognizer):
    missing = tmp_path / "missing.db"
    for options in ({"readonly": True}, {"create": False}):
        with pytest.raises(UsageError, match="there is no such gallery"):
            Gallery.open(missing, **options)
    assert not missing.exists()
    text = tmp_path / "text.db"
    text.write_text("no database, but long enough to be one" * 50)
    with pytest.raises(GalleryError, match="cannot be opened as a gallery"):
        Gallery.open(text)
    assert text.read_text().startswith("no database")
    with pytest.raises(UsageError, match="cannot be made beside it"):
        Gallery.open(tmp_path / "nowhere" / "people.db")


def test_only_one_writer_at_a_time(gallery, path, recognizer):
    with pytest.raises(GalleryError, match=r"process \d+ is writing to this gallery; try again when it is done"):
        Gallery.open(path)
    gallery.close()
    Gallery.open(path).close()
