"""Tables of other versions, files of others, who may read a new file, and one writer at a time."""

import json
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from painted_people import (
    open_writer,
    paint,
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


@pytest.mark.parametrize("end", [".lock", ".writer.lock", ".index"])
@pytest.mark.parametrize("linked", [False, True])
def test_files_of_others_beside_a_gallery_keep_their_content(tmp_path, end, linked):
    """As `poetry.lock` beside a gallery called `poetry`."""
    file = tmp_path / f"poetry{end}"
    target = tmp_path / "target" if linked else file
    target.write_text("[[package]]\nname = 'numpy'\n")
    if linked:
        file.symlink_to(target)
    if end == ".writer.lock":
        with pytest.raises((GalleryError, UsageError), match=r"poetry\.writer\.lock"):
            open_writer(tmp_path / "poetry")
    else:
        with open_writer(tmp_path / "poetry") as gallery:
            assert gallery.enroll("Ada", [paint((1, 1))])[0].code == "accepted"
            gallery.forget("Ada")
    assert target.read_text() == "[[package]]\nname = 'numpy'\n" and file.is_symlink() == linked


@pytest.mark.parametrize("options", [{}, {"readonly": True}, {"create": False}])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_a_gallery_that_is_no_regular_file_is_refused_at_once(tmp_path, make, options):
    path = tmp_path / "people.db"
    make(path)
    with pytest.raises(UsageError, match=f"{path.resolve()}: not a regular file; choose another one"):
        Gallery.open(path, **options)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UsageError, match="not a regular file"):
        database.connect(path, readonly=True)


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("end", ["-journal", "-wal", "-shm"])
def test_pipes_in_the_place_of_sqlites_files_are_named_at_once(path, end, readonly):
    file = path.with_name(path.name + end)
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    with pytest.raises(GalleryError, match=f"{file}: not a regular file, and in the way of the gallery; move it"):
        Gallery.open(path, readonly=readonly)


def test_a_file_that_is_no_database_gets_no_files_beside_it(tmp_path):
    (tmp_path / "poetry.toml").write_text("[virtualenvs]\n")
    with pytest.raises(GalleryError, match="file is not a database"):
        Gallery.open(tmp_path / "poetry.toml")
    assert [file.name for file in tmp_path.iterdir()] == ["poetry.toml"]


def test_a_lock_that_a_killed_writer_or_an_old_version_left_harms_nothing(path):
    path.with_name("people.db.lock").write_text("4711\n")
    path.with_name("people.db.writer.lock").write_text("99999999\n")
    with open_writer(path) as gallery:
        assert gallery.check() == []
        with pytest.raises(GalleryError, match=f"process {os.getpid()} is writing"):
            Gallery.open(path)
    assert path.with_name("people.db.lock").read_text() == "4711\n"


def test_a_gallery_behind_a_symbolic_link_is_the_same_gallery(path, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(path)
    with open_writer(path), pytest.raises(GalleryError, match="is writing to this gallery"):
        Gallery.open(link)
    with open_writer(link) as gallery:
        gallery.verify(paint((1, 8)), "Ada")
        assert {file.split("/")[-1] for file in gallery.forget("Ada").searched} >= {"people.db", "people.db-wal"}
    assert [file.name for file in link.parent.iterdir()] == ["link.db"]
    log = path.with_name("people.db.audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in log[-2:]] == ["verify", "forget"]


def test_a_gallery_with_a_second_name_is_only_read(path, tmp_path):
    os.link(path, tmp_path / "second.db")
    with pytest.raises(GalleryError, match="has another name"):
        Gallery.open(tmp_path / "second.db")
    with Gallery.open(path, readonly=True) as gallery:
        assert len(gallery.people()) == 2
