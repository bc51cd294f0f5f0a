"""Forgetting: nothing is left in any file, whatever was done before and whoever reads meanwhile."""

import os
import shutil

import numpy as np
import pytest
from painted_people import open_writer, paint, painted_recognizer, run_sql

from vision_app import Gallery
from vision_app.cli import main
from vision_app.core.errors import GalleryError, UsageError
from vision_app.faces import index as face_index
from vision_app.faces.gallery import database
from vision_app.faces.gallery import forget as forgetting

NAME = "Ada Lovelace"


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory):
    """The folder of a gallery of Ada with three photos and of five others."""
    folder = tmp_path_factory.mktemp("enrolled")
    with Gallery.open(folder / "people.db", recognizer=painted_recognizer()) as gallery:
        gallery.enroll(NAME, [paint((1, photo)) for photo in (1, 2, 3)], consent="a note about Ada alone")
        for person in range(2, 7):
            gallery.enroll(f"Person {person}", [paint((person, 1))])
    return folder


@pytest.fixture
def path(tmp_path, enrolled):
    shutil.copytree(enrolled, tmp_path, dirs_exist_ok=True)
    return tmp_path / "people.db"


def all_traces(gallery):
    """Everything that the gallery keeps of Ada, independently of how `forget` searches for it."""
    traces = {NAME.encode(), b"a note about Ada alone", gallery.store.centroid(gallery.store.person(NAME).id).tobytes()}
    for sample in gallery.samples(NAME):
        traces |= {sample.source, sample.embedding.tobytes(), sample.crop[1000:1100]}
    return traces


def content(path):
    return b"".join(file.read_bytes() for file in path.parent.glob(f"*{path.name}*"))


def test_nothing_is_left_in_any_file(path):
    with open_writer(path) as gallery:
        traces = all_traces(gallery)
        assert len(traces) == 12 and all(trace in content(path) for trace in traces)
        done = gallery.forget(NAME)
        assert (done.name, done.photos) == (NAME, 3) and done.traces >= 11 and str(path) in done.searched
        assert not any(trace in content(path) for trace in traces)
        assert gallery.identify(paint((1, 1))).faces[0].name is None
        assert len(gallery.people()) == 5 and gallery.check() == []
        with pytest.raises(UsageError, match="nobody named"):
            gallery.forget(NAME)
    assert not any(trace in content(path) for trace in traces)


def test_a_renamed_and_merged_person_is_forgotten_too(path):
    with open_writer(path) as gallery:
        traces = all_traces(gallery) | {b"A person of another name"}
        gallery.rename(NAME, "A person of another name")
        gallery.merge("A person of another name", "Person 2", allow_different=True)
        gallery.forget("Person 2")
        assert not any(trace in content(path) for trace in traces)


def test_the_last_person_leaves_no_model_behind(path):
    with open_writer(path) as gallery:
        for person in gallery.people():
            gallery.forget(person.name)
        assert gallery.store.model_ids == [] and gallery.check() == []
        assert gallery.identify(paint((1, 1))).threshold is None
    assert (
        Gallery.open(path, recognizer=painted_recognizer("second")).enroll("Eve", [paint((9, 1))])[0].code == "accepted"
    )


def test_a_person_is_removed_from_a_stored_index(path, monkeypatch):
    monkeypatch.setattr(face_index, "EXACT_LIMIT", 3)
    monkeypatch.setattr("vision_app.faces.gallery.index_cache.EXACT_LIMIT", 3)
    monkeypatch.setattr(face_index, "LISTS", 1)
    monkeypatch.setattr("vision_app.faces.index._inverted_file", exact_copy)
    with open_writer(path) as gallery:
        gallery.identify(paint((1, 1)))
    file = path.with_name("people.db.index")
    with open_writer(path) as gallery:
        key = gallery.store.person(NAME).id
        centroid = gallery.store.centroid(key).tobytes()
        assert centroid in file.read_bytes()
        done = gallery.forget(NAME)
        assert str(file) in done.searched and centroid not in file.read_bytes()
        assert gallery.check() == []


def exact_copy(embeddings):
    """An index that keeps embeddings as they are, so that they can be searched for in its file."""
    import faiss

    index = faiss.index_factory(embeddings.shape[1], "IVF1,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(embeddings)
    return index


def test_the_proof_fails_where_data_is_left(path, monkeypatch):
    """A gallery that does not wipe: SQLite leaves deleted rows in free pages."""
    monkeypatch.setattr(database, "_prepare", without_wiping(database._prepare))
    monkeypatch.setattr(forgetting, "finish", lambda store, index: store.rows("PRAGMA wal_checkpoint(TRUNCATE)"))
    with (
        open_writer(path) as gallery,
        pytest.raises(GalleryError, match="still contains data of the person; please report this as a bug"),
    ):
        gallery.forget(NAME)


def test_rebuilding_the_file_leaves_nothing_even_where_deleted_rows_are_not_wiped(path, monkeypatch):
    monkeypatch.setattr(database, "_prepare", without_wiping(database._prepare))
    with open_writer(path) as gallery:
        traces, size = all_traces(gallery), path.stat().st_size
        gallery.forget(NAME)
        assert gallery.store.rows("PRAGMA secure_delete") == [(0,)]
        assert gallery.store.rows("PRAGMA freelist_count") == [(0,)] and path.stat().st_size < size
        assert not any(trace in content(path) for trace in traces)


def test_deleted_rows_are_wiped_even_where_the_file_is_not_rebuilt(path, monkeypatch):
    with open_writer(path) as gallery:
        traces = all_traces(gallery)
        monkeypatch.setattr(gallery.store, "sweep", lambda: gallery.store.rows("PRAGMA wal_checkpoint(TRUNCATE)"))
        gallery.forget(NAME)
        assert gallery.store.rows("PRAGMA freelist_count") != [(0,)]
        assert not any(trace in content(path) for trace in traces)


def without_wiping(prepare):
    def prepare_and_allow(connection, path, readonly):
        prepare(connection, path, readonly)
        connection.execute("PRAGMA secure_delete = OFF")

    return prepare_and_allow


def test_a_reader_that_holds_old_pages_is_named_and_the_next_writer_finishes(path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.05)
    with open_writer(path) as gallery, Gallery.open(path, readonly=True) as reader:
        traces = all_traces(gallery)
        reader.store.rows("BEGIN")
        reader.people()
        with pytest.raises(GalleryError, match="a reader in another process keeps old pages in use"):
            gallery.forget(NAME)
        assert [person.name for person in gallery.people()] == [f"Person {number}" for number in range(2, 7)]
        assert any("not wiped" in problem for problem in gallery.check())
        reader.store.rows("ROLLBACK")
    with open_writer(path) as gallery:
        assert gallery.check() == []
    assert not any(trace in content(path) for trace in traces)


@pytest.mark.parametrize(("name", "size", "is_sought"), [("Al", 10**6, False), ("Al", 10, True), (NAME, 10**12, True)])
def test_a_text_is_searched_for_where_it_cannot_be_there_by_chance(name, size, is_sought):
    assert forgetting._tells(name.encode(), size) == is_sought


def test_texts_that_were_not_searched_for_are_listed(path):
    long_note = "Met at the conference in the town hall and signed all of the papers there, as did her friend Grace"
    with open_writer(path) as gallery:
        gallery.enroll("Al", [paint((8, 1))], consent=long_note)
        gallery.enroll("Al", [paint((8, 2))], consent="by telephone, today")
        gallery.enroll("Person 2", [paint((2, 2))], consent="she asked by telephone, today")
        gallery.enroll("Person 3", [paint((3, 2))], consent="20")
        done = gallery.forget("Al")
        assert done.unsought == ("Al", "by telephone, today")
        assert done.traces == 1 + 2 * 3 + 2  # the mean, of each photo three, both ends of the long note
        assert gallery.forget("Person 3").unsought == ("20",)
        assert gallery.forget(NAME).unsought == ()


@pytest.mark.parametrize("secret", ["Ada Lovelace", "a note about Ada alone"])
def test_a_name_or_a_note_that_is_left_is_found(path, monkeypatch, secret):
    finish = forgetting.finish

    def finish_but_one(store, index):
        finish(store, index)
        with store.path.with_name("people.db-wal").open("ab") as file:
            file.write(secret.encode())

    with open_writer(path) as gallery:
        monkeypatch.setattr(forgetting, "finish", finish_but_one)
        with pytest.raises(
            GalleryError, match=r"people\.db-wal: still contains data of the person; please report this as a bug"
        ):
            gallery.forget(NAME)


def test_traces_are_found_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(forgetting, "BLOCK", 16)
    dice = np.random.default_rng(0)
    text = dice.bytes(400)
    (tmp_path / "file").write_bytes(text)
    traces = {text[start : start + 20] for start in range(0, 380, 7)}
    assert forgetting.search(tmp_path / "file", traces | {b"something else that is not there"}) == traces


def test_nothing_is_read_where_nothing_is_sought(tmp_path):
    assert forgetting.search(tmp_path / "missing", []) == set()


def test_a_pipe_in_the_place_of_the_index_does_not_keep_a_person_from_being_forgotten(path):
    pipe = path.with_name("people.db.index")
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    with open_writer(path) as gallery:
        done = gallery.forget(NAME)
        assert str(path) in done.searched and str(pipe) not in done.searched
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE sample SET embedding = zeroblob(8)",
        "UPDATE sample SET embedding = zeroblob(7)",
        "UPDATE sample SET embedding = x''",
        "UPDATE centroid SET embedding = zeroblob(64)",
        "UPDATE centroid SET embedding = x'00'",
        "DELETE FROM centroid",
        "PRAGMA foreign_keys = OFF; DELETE FROM model",
        "UPDATE sample SET box = '', landmarks = '[1', quality = 'x'",
        "UPDATE sample SET quality = '[]', box = '{}', landmarks = 'null'",
        "UPDATE sample SET quality = replace(hex(zeroblob(50000)), '0', '[')",
        "UPDATE sample SET box = '[1e999, 0, 0, 0]'",
        "UPDATE person SET name = 'Ada' || char(27) WHERE name = 'Ada Lovelace'",
        "UPDATE crop SET png = x'00'",
    ],
)
def test_a_person_is_forgotten_by_a_gallery_with_damaged_rows(path, sql):
    run_sql(path, sql)
    with open_writer(path) as gallery:
        (name,) = [person.name for person in gallery.people() if person.name.startswith("Ada")]
        assert gallery.forget(name).photos == 3
        assert name not in [person.name for person in gallery.people()]


PAGE = 4096  # bytes of the file that SQLite reads at once


@pytest.mark.parametrize("lost", [1, 3])
def test_a_gallery_that_lost_its_end_says_how_to_keep_the_others_and_that_works(path, tmp_path, lost, capsys):
    path.write_bytes(path.read_bytes()[: -lost * PAGE])
    where = ["--gallery", str(path)]
    for words in (["forget", NAME, "--yes"], ["check"]):
        assert main(["faces", *words, *where]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(
            f"vision-app: {path}: damaged (database disk image is malformed); restore a copy of it, "
        )
        assert "`vision-app faces export FILE.jsonl --person NAME`), delete the gallery's files, and import the" in line
    assert main(["faces", "list", *where]) == 0
    assert capsys.readouterr().out.count("Person ") == 5
    file = str(tmp_path / "kept.jsonl")
    assert main(["faces", "export", file, *where, "--person", "Person 2", "--person", "Person 3"]) == 0
    for part in tmp_path.glob("people.db*"):
        part.unlink()
    assert main(["faces", "import", file, *where]) == 0
    with open_writer(path) as gallery:
        assert [person.name for person in gallery.people()] == ["Person 2", "Person 3"] and gallery.check() == []


def test_a_gallery_of_which_others_rows_are_lost_says_that_traces_may_be_left(path):
    with open_writer(path) as gallery:
        place = path.read_bytes().index(gallery.samples("Person 6")[0].crop[5000:5100]) // PAGE * PAGE
    content = bytearray(path.read_bytes())
    content[place - PAGE * 2 : place + PAGE] = bytes(PAGE * 3)  # pages of the crop, each of which names the next
    path.write_bytes(content)
    with (
        open_writer(path) as gallery,
        pytest.raises(
            GalleryError, match=r"damaged .*; restore a copy .* Rows were deleted, but traces of them may be"
        ),
    ):
        gallery.forget(NAME)
    with pytest.raises(GalleryError, match=r"damaged .*; restore a copy .* Rows were deleted, but traces"):
        open_writer(path)
    with Gallery.open(path, readonly=True) as gallery:
        assert NAME not in [person.name for person in gallery.people()]


def test_a_file_with_random_damage_is_refused_in_one_sentence_or_forgets(path, capsys):
    whole, codes = path.read_bytes(), []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        content = bytearray(whole)
        for place in rng.integers(100, len(content), 20 * 4 ** (seed % 4)):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        for words in (["forget", NAME, "--yes"], ["list"], ["check"]):
            code = main(["faces", *words, "--gallery", str(path)])
            assert code in (0, 1, 2)
            for line in capsys.readouterr().err.splitlines():
                assert line.startswith(("vision-app: ", str(path), "Person", NAME, "no one"))
            if words[0] == "forget":
                codes.append(code)
                assert code != 0 or NAME.encode() not in path.read_bytes(), seed
    assert 0 in codes and {*codes} != {0}
