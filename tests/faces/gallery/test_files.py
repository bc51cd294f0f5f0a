"""The files of a gallery: tables of other versions, the stored index, exports, and what `check` says of damage."""

import json
import shutil
import sqlite3
import stat
from hashlib import sha256

import numpy as np
import pytest
from painted_people import DIMENSION, paint, painted_recognizer, unit

from vision_app import Gallery
from vision_app.core.errors import DataError, GalleryError, ModelError, UsageError
from vision_app.faces import index as face_index
from vision_app.faces.gallery import EnrolledPhoto, schema, transfer
from vision_app.faces.gallery import index_cache as cached

LIMIT = 300  # of people whose index is exact, in these tests


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("enrolled")
    with Gallery.open(folder / "people.db", recognizer=painted_recognizer()) as gallery:
        gallery.enroll("Ada", [paint((1, 1)), paint((1, 2))], consent="ja, \u201cgerne\u201d")
        gallery.enroll("Bob", [paint((2, 1))])
    return folder


@pytest.fixture
def path(tmp_path, enrolled):
    shutil.copytree(enrolled, tmp_path, dirs_exist_ok=True)
    return tmp_path / "people.db"


def open_writer(path, contract="first"):
    return Gallery.open(path, recognizer=painted_recognizer(contract))


def run_sql(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.executescript(statement)
    connection.commit()
    connection.close()


def table_names(path):
    connection = sqlite3.connect(path)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return names


# Versions


def test_older_tables_are_brought_up_to_date_once_and_keep_their_rows(path, monkeypatch):
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE note (text TEXT) STRICT;"))
    with pytest.raises(GalleryError, match="of an older version; `vision-app faces check` updates them"):
        Gallery.open(path, readonly=True)
    with open_writer(path) as gallery:
        assert [person.name for person in gallery.people()] == ["Ada", "Bob"] and gallery.check() == []
    assert "note" in table_names(path)
    Gallery.open(path, readonly=True).close()
    Gallery.open(path).close()  # and not again


def test_a_migration_that_fails_changes_nothing(path, monkeypatch):
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE note (text TEXT) STRICT;", "DROP TABLE missing;")
    )
    with pytest.raises(GalleryError, match="no such table"):
        Gallery.open(path)
    assert "note" not in table_names(path)


def test_newer_tables_and_those_of_others_are_left_alone(path, tmp_path):
    run_sql(path, "PRAGMA user_version = 99")
    with pytest.raises(GalleryError, match="made by a newer version of Vision App"):
        Gallery.open(path)
    other = tmp_path / "other.db"
    run_sql(other, "CREATE TABLE songs (title TEXT)")
    before = other.read_bytes()
    with pytest.raises(GalleryError, match="a database, but not a gallery of faces"):
        Gallery.open(other)
    assert other.read_bytes() == before


# The stored index


@pytest.fixture
def crowd(tmp_path, monkeypatch):
    """A gallery of more people than fit into an exact index, and their embeddings by name."""
    for module in (face_index, cached):
        monkeypatch.setattr(module, "EXACT_LIMIT", LIMIT)
    monkeypatch.setattr(face_index, "LISTS", 4)
    path = tmp_path / "crowd.db"
    embeddings = unit(np.random.default_rng(5).standard_normal((LIMIT + 50, DIMENSION)))
    with open_writer(path) as gallery, gallery.store.change():
        for number, embedding in enumerate(embeddings):
            gallery.store.add(f"Person {number}", sample_of(number, embedding))
    return path, embeddings


def sample_of(number, embedding):
    source = sha256(str(number).encode()).digest()  # no bytes that an index holds by chance
    about = {"model_id": "first", "consent": "", "added": "2026-01-01T00:00:00Z"}
    return EnrolledPhoto(0, source, [0, 0, 9, 9], [[1, 1]] * 5, {"score": 1}, embedding, **about)


def nearest_names(gallery, embeddings):
    return [found[0].name for found in gallery.matcher.candidates(embeddings, 1)]


def test_a_large_index_is_stored_and_used_again(crowd, monkeypatch):
    path, embeddings = crowd
    file = path.with_name("crowd.db.index")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    wanted = [f"Person {number}" for number in range(len(embeddings))]
    monkeypatch.setattr(face_index, "_inverted_file", None)  # it is not built again
    before = file.read_bytes()
    with open_writer(path) as gallery:
        assert nearest_names(gallery, embeddings) == wanted
        assert not gallery.matcher.index.current().exact and gallery.check() == []
    assert file.read_bytes() == before
    with open_writer(path) as gallery:
        gallery.forget("Person 7")
        assert "Person 7" not in nearest_names(gallery, embeddings)
    assert file.read_bytes() != before
    with Gallery.open(path, readonly=True) as reader:
        assert nearest_names(reader, embeddings[:7]) == wanted[:7]


def test_an_index_out_of_date_is_mended_by_the_ids_that_differ(crowd, monkeypatch):
    path, embeddings = crowd
    file = path.with_name("crowd.db.index")
    old = file.read_bytes()
    with open_writer(path) as gallery:
        gallery.forget("Person 3")
        gallery.rename("Person 4", "Zoe")
        with gallery.store.change():
            gallery.store.add("New", sample_of(999, -embeddings[3]))
    file.write_bytes(old)  # as from a backup
    monkeypatch.setattr(face_index, "_inverted_file", None)
    with Gallery.open(path, readonly=True) as reader:
        assert nearest_names(reader, np.stack([-embeddings[3], embeddings[4]])) == ["New", "Zoe"]
        assert "Person 3" not in nearest_names(reader, embeddings)


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-20], lambda content: b"", lambda content: b"{}\n", lambda content: content + b"x"],
    ids=["cut short", "empty", "another header", "longer"],
)
def test_a_damaged_index_is_made_anew_from_the_rows(crowd, damage):
    path, embeddings = crowd
    file = path.with_name("crowd.db.index")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with open_writer(path) as gallery:
        assert any("it will be rebuilt" in problem for problem in gallery.check())
        assert nearest_names(gallery, embeddings[:3]) == ["Person 0", "Person 1", "Person 2"]
    with open_writer(path) as gallery:
        assert gallery.check() == []


def test_a_gallery_that_shrinks_needs_no_file_any_more(crowd, monkeypatch):
    path, embeddings = crowd
    for module in (face_index, cached):
        monkeypatch.setattr(module, "EXACT_LIMIT", LIMIT + 100)
    with open_writer(path) as gallery:
        assert (
            nearest_names(gallery, embeddings[:2]) == ["Person 0", "Person 1"] and gallery.matcher.index.current().exact
        )
    assert not path.with_name("crowd.db.index").exists()


# Export and import


def test_an_export_restores_everything(path, tmp_path):
    with open_writer(path) as gallery:
        assert gallery.export(tmp_path / "all.jsonl") == 3
        before = {person.name: gallery.samples(person.name) for person in gallery.people()}
    assert stat.S_IMODE((tmp_path / "all.jsonl").stat().st_mode) == 0o600
    with open_writer(tmp_path / "other.db") as gallery:
        assert [answer.code for answer in gallery.import_file(tmp_path / "all.jsonl")] == ["accepted"] * 3
        assert [answer.code for answer in gallery.import_file(tmp_path / "all.jsonl")] == ["already_enrolled"] * 3
        assert gallery.check() == []
        for name, samples in before.items():
            for old, new in zip(samples, gallery.samples(name), strict=True):
                np.testing.assert_array_equal(old.embedding, new.embedding)
                for field in ("source", "box", "landmarks", "quality", "model_id", "consent", "added", "crop"):
                    assert getattr(old, field) == getattr(new, field)
        assert gallery.identify(paint((1, 8))).faces[0].name == "Ada"


def test_an_export_of_some_holds_nobody_else_and_is_not_overwritten(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "bob.jsonl", ["Bob"])
        text = (tmp_path / "bob.jsonl").read_text()
        assert "Bob" in text and "Ada" not in text
        with pytest.raises(UsageError, match="will not be overwritten"):
            gallery.export(tmp_path / "bob.jsonl")
        with pytest.raises(UsageError, match="nobody named"):
            gallery.export(tmp_path / "x.jsonl", ["Bib"])
        assert not (tmp_path / "x.jsonl").exists()


def test_an_export_is_of_one_moment(path, tmp_path, monkeypatch):
    """Another process embeds all photos anew while they are written."""
    write = transfer.atomic_write

    def write_later(file, permissions):
        monkeypatch.undo()
        with open_writer(path, "second") as writer:
            assert writer.reembed() == 3
        return write(file, permissions)

    with Gallery.open(path, readonly=True) as reader:
        before = reader.samples("Bob")
        monkeypatch.setattr(transfer, "atomic_write", write_later)
        assert reader.export(tmp_path / "bob.jsonl", ["Bob"]) == 1
    with open_writer(tmp_path / "other.db") as gallery:
        gallery.import_file(tmp_path / "bob.jsonl")
        np.testing.assert_array_equal(gallery.samples("Bob")[0].embedding, before[0].embedding)
        assert gallery.store.model_ids == ["first"]


def test_embeddings_of_several_models_are_not_exported(path, tmp_path):
    run_sql(path, "INSERT INTO model (contract) VALUES ('another')")
    with open_writer(path) as gallery, pytest.raises(GalleryError, match="embeddings of several models"):
        gallery.export(tmp_path / "all.jsonl")
    assert not (tmp_path / "all.jsonl").exists()


def test_import_gives_known_people_more_photos_and_refuses_those_of_others(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl")
        gallery.forget("Bob")
        gallery.rename("Ada", "Augusta")
        answers = gallery.import_file(tmp_path / "all.jsonl")
        assert [(answer.name, answer.code) for answer in answers] == [
            ("Ada", "someone_else"), ("Ada", "someone_else"), ("Bob", "accepted")
        ]  # fmt: skip
        assert [(person.name, person.photos) for person in gallery.people()] == [("Augusta", 2), ("Bob", 1)]


def changed(line, **values):
    return json.dumps(json.loads(line) | values)


def without(line, key):
    return json.dumps({other: value for other, value in json.loads(line).items() if other != key})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: ["no export", *lines[1:]], "not an export of a gallery"),
        (lambda lines: [], "not an export of a gallery"),
        (lambda lines: [changed(lines[0], version=2), *lines[1:]], "of version 2, which this version"),
        (lambda lines: [*lines[:2], changed(lines[2], embedding="AAAA"), lines[3]], "line 3 is damaged"),
        (lambda lines: [*lines[:3], changed(lines[3], embedding="AADAfw==" * 32)], "line 4 is damaged"),
        (
            lambda lines: [*lines[:3], changed(lines[3], embedding="AACAPw==")],
            "line 4 has an embedding of another size",
        ),
        (lambda lines: [*lines[:3], changed(lines[3], name="\x07")], "line 4 is damaged"),
        (lambda lines: [*lines[:3], changed(lines[3], source="00")], "line 4 is damaged"),
        (lambda lines: [*lines[:3], changed(lines[3], box=[1, 2, 3])], "line 4 is damaged"),
        (lambda lines: [*lines[:3], changed(lines[3], crop="AAAA")], "line 4 is damaged"),
        (lambda lines: [*lines[:3], changed(lines[3], quality={})], "line 4 is damaged"),
        (lambda lines: [*lines[:3], changed(lines[3], box=[10**400, 2, 3, 4])], "line 4 is damaged"),
        (lambda lines: [*lines[:3], lines[3][:40]], "line 4 is damaged"),
        (lambda lines: [without(lines[0], "version"), *lines[1:]], "not an export of a gallery"),
        (lambda lines: [without(lines[0], "contract"), *lines[1:]], "not an export of a gallery"),
    ],
)
def test_a_damaged_export_is_refused_whole(path, tmp_path, change, message):
    check_refused(path, tmp_path / "all.jsonl", change, message)


@pytest.mark.parametrize(
    "values",
    [
        {"score": None},
        {"score": "1"},
        {"blur": float("nan")},
        {"size": float("-inf")},
        {"reasons": None},
        {"reasons": [1]},
        {"reasons": "blurred"},
        {"more": 1},
    ],
    ids=str,
)
def test_an_export_with_damaged_quality_is_refused(path, tmp_path, values):
    def change(lines):
        return [*lines[:3], changed(lines[3], quality=json.loads(lines[3])["quality"] | values)]

    check_refused(path, tmp_path / "all.jsonl", change, "line 4 is damaged")


def check_refused(path, file, change, message):
    with open_writer(path) as gallery:
        gallery.export(file)
    file.write_text("".join(line + "\n" for line in change(file.read_text().splitlines())))
    with open_writer(file.with_name("other.db")) as gallery:
        with pytest.raises(DataError, match=message):
            gallery.import_file(file)
        assert gallery.people() == [] and gallery.store.model_ids == []


def test_an_export_of_another_model_is_refused(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl")
    with open_writer(tmp_path / "other.db", "second") as gallery:
        gallery.enroll("Eve", [paint((3, 1))])
        with pytest.raises(ModelError, match="of model second, not of first"):
            gallery.import_file(tmp_path / "all.jsonl")
        assert [person.name for person in gallery.people()] == ["Eve"]


# Check


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE sample SET embedding = zeroblob(128)", "Ada: has an embedding that is not a unit vector"),
        ("UPDATE sample SET embedding = zeroblob(8)", "Ada: has embeddings of several sizes"),
        ("UPDATE centroid SET embedding = (SELECT embedding FROM sample LIMIT 1)", "the mean of the embeddings is not"),
        ("PRAGMA foreign_keys = ON; DELETE FROM sample", "Ada: has no photo, and cannot be recognized"),
        ("DELETE FROM centroid", "Ada: has no photo, and cannot be recognized"),
        ("INSERT INTO model (contract) VALUES ('another')", "embeddings of 2 models"),
        ("DELETE FROM model", "a row of sample refers to nothing"),
    ],
)
def test_what_is_wrong_with_the_rows_is_said(path, sql, message):
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


def test_damage_is_found(path):
    content = bytearray(path.read_bytes())
    content[4096 * 3 + 8 : 4096 * 4] = bytes(4096 - 8)
    path.write_bytes(content)
    with open_writer(path) as gallery:
        assert any("damaged" in problem for problem in gallery.check())


def test_photos_without_a_kept_picture_cannot_be_embedded_anew(path):
    run_sql(path, "DELETE FROM crop WHERE sample = (SELECT max(id) FROM sample)")
    with open_writer(path, "second") as gallery:
        with pytest.raises(GalleryError, match="Bob: no image of a photo is kept"):
            gallery.reembed()
        assert gallery.store.model_ids == ["first"]
