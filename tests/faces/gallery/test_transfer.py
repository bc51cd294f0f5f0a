"""Export and import: everything is restored, and damaged files are refused whole."""

import json
import stat
from base64 import b64encode

import numpy as np
import pytest
from painted_people import (
    open_writer,
    paint,
    run_sql,
)

from vision_app import Gallery
from vision_app.core.errors import DataError, FaceError, GalleryError, ModelError, UsageError
from vision_app.faces.gallery import transfer


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


def test_an_export_that_an_editor_has_saved_is_read(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl")
    (tmp_path / "all.jsonl").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "all.jsonl").read_bytes())
    with open_writer(tmp_path / "other.db") as gallery:
        assert [answer.code for answer in gallery.import_file(tmp_path / "all.jsonl")] == ["accepted"] * 3


def test_an_export_of_some_people_contains_nobody_else_and_is_not_overwritten(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "bob.jsonl", ["Bob"])
        text = (tmp_path / "bob.jsonl").read_text()
        assert "Bob" in text and "Ada" not in text
        with pytest.raises(UsageError, match="exists already; write elsewhere or replace it with --overwrite"):
            gallery.export(tmp_path / "bob.jsonl")
        with pytest.raises(UsageError, match="nobody named"):
            gallery.export(tmp_path / "x.jsonl", ["Bib"])
        assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize("end", ["", "-wal", "-shm", ".writer.lock", ".index", ".audit.jsonl"])
def test_an_export_never_replaces_the_gallery_itself(path, tmp_path, end):
    (tmp_path / "sub").mkdir()
    target = tmp_path / "sub" / ".." / f"{path.name}{end}"
    with open_writer(path) as gallery:
        before = target.read_bytes() if target.exists() else None
        with pytest.raises(UsageError, match="is read by this command and would be replaced; write elsewhere"):
            gallery.export(target, overwrite=True)
        assert (target.read_bytes() if target.exists() else None) == before
        assert gallery.check() == [] and len(gallery.people()) == 2


def test_an_export_is_of_one_moment(path, tmp_path, monkeypatch):
    """Another process embeds all photos again while they are written."""
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


def test_import_adds_photos_to_known_people_and_refuses_those_of_others(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl")
        gallery.forget("Bob")
        gallery.rename("Ada", "Augusta")
        answers = gallery.import_file(tmp_path / "all.jsonl")
        assert [(answer.name, answer.code) for answer in answers] == [
            ("Ada", "someone_else"), ("Ada", "someone_else"), ("Bob", "accepted")
        ]  # fmt: skip
        assert [(person.name, person.photos) for person in gallery.people()] == [("Augusta", 2), ("Bob", 1)]


def test_import_refuses_photos_of_a_name_that_are_of_another_person_than_the_gallerys(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl")
    with open_writer(tmp_path / "other.db") as gallery:
        gallery.enroll("Ada", paint((3, 1)))
        answers = gallery.import_file(tmp_path / "all.jsonl")
        assert [(answer.name, answer.code) for answer in answers] == [
            ("Ada", "different_person"), ("Ada", "different_person"), ("Bob", "accepted")
        ]  # fmt: skip
        assert answers[0].reason.startswith("looks like a different person than Ada (similarity ")
        assert [(person.name, person.photos) for person in gallery.people()] == [("Ada", 1), ("Bob", 1)]
        answers = gallery.import_file(tmp_path / "all.jsonl", allow_different=True)
        assert [answer.code for answer in answers] == ["accepted", "accepted", "already_enrolled"]
        assert gallery.check() == []


def test_photos_of_different_people_under_one_name_are_restored_as_they_were(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.enroll("Ada", paint((3, 1)), allow_different=True)
        gallery.export(tmp_path / "all.jsonl")
    lines = (tmp_path / "all.jsonl").read_text().splitlines()
    apart = tmp_path / "apart.jsonl"
    apart.write_text("\n".join([lines[0], lines[3], lines[4], lines[1], lines[2]]) + "\n")
    for file in (tmp_path / "all.jsonl", apart):
        with open_writer(tmp_path / f"{file.stem}.db") as gallery:
            assert [answer.code for answer in gallery.import_file(file)] == ["accepted"] * 4
            assert [answer.code for answer in gallery.import_file(file)] == ["already_enrolled"] * 4


def test_a_photo_that_is_twice_in_an_import_is_added_once(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl")
        gallery.forget("Ada")
        lines = (tmp_path / "all.jsonl").read_text().splitlines()
        (tmp_path / "twice.jsonl").write_text("\n".join([*lines[:2], lines[1], *lines[2:]]) + "\n")
        codes = [answer.code for answer in gallery.import_file(tmp_path / "twice.jsonl")]
    assert codes == ["accepted", "already_enrolled", "accepted", "already_enrolled"]


def test_an_import_says_whose_photos_could_not_be_compared(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl")
        gallery.forget("Bob")
        gallery.enroll("Bob", paint((3, 1)))
    with open_writer(path, "second") as gallery:
        answers = gallery.import_file(tmp_path / "all.jsonl")
        assert [answer.code for answer in answers] == ["already_enrolled", "already_enrolled", "accepted"]
        assert answers[2].reason.startswith("not compared with Bob, who is enrolled already (")
        assert "model first, not of second" in answers[2].reason


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
        (lambda lines: [*lines[:3], changed(lines[3], box={"a": []})], "line 4 is damaged"),
        (lambda lines: [*lines[:3], "[" * 100_000], "line 4 is damaged"),
        (lambda lines: ["[" * 100_000, *lines[1:]], "not an export of a gallery"),
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


@pytest.mark.parametrize("size", [1, 16, 31, 33, 64])
def test_embeddings_of_another_size_than_the_gallerys_are_refused_and_it_stays_as_it_is(path, tmp_path, size):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl", ["Bob"])
        header, row = (tmp_path / "all.jsonl").read_text().splitlines()
        embedding = b64encode(np.full(size, size**-0.5, "<f4").tobytes()).decode()
        row = changed(row, name="Eve", source="00" * 32, embedding=embedding)
        (tmp_path / "all.jsonl").write_text(f"{header}\n{row}\n")
        with pytest.raises(DataError, match="line 2 has an embedding of another size; nothing was imported"):
            gallery.import_file(tmp_path / "all.jsonl")
        assert gallery.check() == [] and gallery.identify(paint((1, 8))).faces[0].name == "Ada"


def test_a_gallery_filled_with_embeddings_of_a_wrong_size_is_refused_and_embedded_again(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl")
    header, *rows = (tmp_path / "all.jsonl").read_text().splitlines()
    short = b64encode(np.full(16, 0.25, "<f4").tobytes()).decode()
    (tmp_path / "all.jsonl").write_text("\n".join([header, *(changed(row, embedding=short) for row in rows)]))
    with open_writer(tmp_path / "other.db") as gallery:
        gallery.import_file(tmp_path / "all.jsonl")
        for use in (
            lambda: gallery.identify(paint((1, 8))),
            lambda: gallery.enroll("Eve", [paint((3, 1))]),
            lambda: gallery.verify(paint((1, 8)), "Ada"),
        ):
            with pytest.raises((GalleryError, FaceError), match=r"embeddings? (of|have) (16|32) numbers"):
                use()
        assert gallery.reembed() == 3
        assert gallery.check() == [] and gallery.identify(paint((1, 8))).faces[0].name == "Ada"
