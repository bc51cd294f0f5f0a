"""What `check` reports of damage, and of files that others may read."""

import stat

import pytest
from painted_people import (
    open_writer,
    paint,
    run_sql,
)

from vision_app.core.errors import GalleryError


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE sample SET embedding = zeroblob(128)", "Ada: has an embedding that is not a unit vector"),
        ("UPDATE sample SET embedding = zeroblob(8)", "Ada: has embeddings of several sizes"),
        ("UPDATE centroid SET embedding = (SELECT embedding FROM sample LIMIT 1)", "the mean of the embeddings is not"),
        ("PRAGMA foreign_keys = ON; DELETE FROM sample", "Ada: has no photo, and cannot be recognized"),
        ("DELETE FROM centroid", "Ada: has no photo, and cannot be recognized"),
        ("INSERT INTO model (contract) VALUES ('another')", "embeddings of 2 models"),
        ("UPDATE sample SET box = '[1, 2]'", "Ada: has a photo whose data is damaged"),
        ("UPDATE sample SET quality = '{'", "Bob: has a photo whose data is damaged"),
        ("UPDATE sample SET embedding = x'010203'; UPDATE centroid SET embedding = x'010203'", "of another size"),
        (
            "UPDATE sample SET embedding = zeroblob(8) WHERE person = (SELECT id FROM person WHERE name = 'Bob');"
            "UPDATE centroid SET embedding = zeroblob(8) WHERE person = (SELECT id FROM person WHERE name = 'Bob')",
            "Bob: has embeddings of another size than most people",
        ),
        ("DELETE FROM model", "a row of sample refers to nothing"),
    ],
)
def test_damaged_rows_are_reported(path, sql, message):
    run_sql(path, sql)
    with open_writer(path) as gallery:
        assert any(message in problem for problem in gallery.check())


@pytest.mark.parametrize("sql", ["PRAGMA foreign_keys = ON; DELETE FROM sample", "DELETE FROM centroid"])
def test_people_without_a_photo_are_forgotten_as_check_advises(path, sql):
    run_sql(path, sql)
    with open_writer(path) as gallery:
        with pytest.raises(GalleryError, match="Ada has no photo"):
            gallery.verify(paint((1, 8)), "Ada")
        for problem in gallery.check():
            name, advice = problem.split(": ")
            assert "forget this person" in advice
            gallery.forget(name)
        assert gallery.check() == [] and gallery.people() == []


def test_a_damaged_file_is_reported(path):
    content = bytearray(path.read_bytes())
    content[4096 * 3 + 8 : 4096 * 4] = bytes(4096 - 8)
    path.write_bytes(content)
    with open_writer(path) as gallery:
        assert any("damaged" in problem for problem in gallery.check())


def test_files_are_readable_by_their_owner_only(gallery, path):
    gallery.identify(paint((1, 1)))
    files = list(path.parent.glob("people.db*"))
    assert {file.name for file in files} >= {
        "people.db",
        "people.db-wal",
        "people.db.writer.lock",
        "people.db.audit.jsonl",
    }
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    path.chmod(0o644)
    assert [problem for problem in gallery.check() if "others may read it" in problem]
