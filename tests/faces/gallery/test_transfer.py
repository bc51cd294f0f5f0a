"""Export and import: everything is restored, and damaged files are refused whole."""

import json
import os
import re
import stat
from base64 import b64encode
from io import BytesIO

import numpy as np
import pytest
from painted_people import (
    open_writer,
    paint,
    run_sql,
)
from PIL import Image

from vision_app import Gallery
from vision_app.core.errors import DataError, FaceError, GalleryError, ModelError, UsageError
from vision_app.faces.gallery import transfer
from vision_app.faces.reasons import CODES

FIELDS = ("name", "source", "box", "landmarks", "quality", "consent", "added", "embedding", "crop")


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
        with pytest.raises(UsageError, match="exists already; write elsewhere or replace it with overwrite"):
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
        assert answers[0].reason.startswith("does not look like Ada (similarity ")
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


def row(number, **values):
    """A change of one line: a value per field."""
    return lambda lines: [changed(line, **values) if i == number else line for i, line in enumerate(lines, start=1)]


def lost(number, key):
    return lambda lines: [without(line, key) if i == number else line for i, line in enumerate(lines, start=1)]


def replaced(number, text):
    return lambda lines: [text if i == number else line for i, line in enumerate(lines, start=1)]


def numbers(*values):
    return b64encode(np.array(values, "<f4").tobytes()).decode()


def png_of(width, height):
    Image.new("RGB", (width, height)).save(stream := BytesIO(), "PNG")
    return b64encode(stream.getvalue()).decode()


NO_DIGEST = "not a SHA-256 digest of 64 hexadecimal digits"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced(1, "no export"), "not an export of a gallery"),
        (replaced(1, "[" * 100_000), "not an export of a gallery"),
        (replaced(1, "[]"), "not an export of a gallery"),
        (lambda lines: [], "not an export of a gallery"),
        (lost(1, "version"), "not an export of a gallery"),
        (lost(1, "contract"), "not an export of a gallery"),
        (row(1, version=2), "of version 2, which this version of Vision App does not know"),
        (row(1, contract=[1]), "line 2 is damaged: 'contract' in line 1 is [1], not text; nothing was imported"),
        (row(1, contract="\ud800"), "line 2 is damaged: 'contract' in line 1 is '\\ud800', not text"),
        (replaced(4, "[" * 100_000), "line 4 is damaged: it is not a JSON object; nothing was imported"),
        (replaced(4, '{"name": "Bob'), "line 4 is damaged: it is not a JSON object"),
        (replaced(4, '"name"'), "line 4 is damaged: it is not a JSON object"),
        (replaced(4, "null"), "line 4 is damaged: it is not a JSON object"),
        (replaced(4, ""), "line 4 is damaged: it is not a JSON object"),
        *((lost(3, key), f"line 3 is damaged: it has no '{key}'") for key in FIELDS),
        (row(3, embedding=""), "line 3 is damaged: 'embedding' has 0 bytes, not numbers of 4 bytes each"),
        (row(3, embedding="AAAA"), "line 3 is damaged: 'embedding' has 3 bytes, not numbers of 4 bytes each"),
        (row(2, embedding="AAAA"), "line 2 is damaged: 'embedding' has 3 bytes, not numbers of 4 bytes each"),
        (row(4, embedding=numbers(1)), "line 4 is damaged: 'embedding' has 1 number, not 32"),
        (row(4, embedding=numbers(*[0] * 32)), "line 4 is damaged: 'embedding' has a length of 0, not 1"),
        (row(4, embedding=numbers(*[np.nan] * 32)), "line 4 is damaged: 'embedding' has a length of nan, not 1"),
        (row(4, embedding="?"), "line 4 is damaged: 'embedding' is '?', not bytes in base64"),
        (row(4, embedding=None), "line 4 is damaged: 'embedding' is None, not text"),
        (row(4, crop="AAAA"), "line 4 is damaged: 'crop' is not an image of 160 x 160 pixels: "),
        (
            row(4, crop=png_of(6, 8)),
            "line 4 is damaged: 'crop' has 6 x 8 pixels, it is not an image of 160 x 160 pixels",
        ),
        (
            row(4, crop=png_of(200, 200)),
            "line 4 is damaged: 'crop' is not an image of 160 x 160 pixels: too large: ",
        ),
        (row(4, crop=7), "line 4 is damaged: 'crop' is 7, not text"),
        (row(4, source="00"), f"line 4 is damaged: 'source' is '00', {NO_DIGEST}"),
        (row(4, source="xy" * 32), f"line 4 is damaged: 'source' is 'xyxyxyxyxyxy...yxyxyxyxyxyxy', {NO_DIGEST}"),
        (row(4, source=None), "line 4 is damaged: 'source' is None, not text"),
        (row(4, consent=None), "line 4 is damaged: 'consent' is None, not text"),
        (row(4, consent="\ud800"), "line 4 is damaged: 'consent' is '\\ud800', not text"),
        (row(4, added=2026), "line 4 is damaged: 'added' is 2026, not text"),
        (row(4, name="\x07"), "line 4 is damaged: name '\\x07': must be 1 to 200 characters that can be printed"),
        (row(4, name=["x" * 5000]), "line 4 is damaged: name ['xxxxxxxxxxxx...xxxxxxxxxxxxx']: must be text"),
        (row(4, box=[1, 2, 3]), "line 4 is damaged: 'box' is [1, 2, 3], not four numbers"),
    ],
)
def test_a_damaged_export_is_refused_whole_by_line_and_field(path, tmp_path, change, message):
    check_refused(path, tmp_path / "all.jsonl", change, message)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"score": "1"}, "'quality' has 'score': '1', not a finite number"),
        ({"reasons": ["blurry"]}, "'quality' has unknown reason 'blurry'; did you mean 'blurred'?"),
        ({"reasons": ["blurred", "x" * 5000]}, "'quality' has unknown reason 'x"),
    ],
)
def test_an_export_with_damaged_quality_is_refused(path, tmp_path, values, message):
    def change(lines):
        return [*lines[:3], changed(lines[3], quality=json.loads(lines[3])["quality"] | values)]

    check_refused(path, tmp_path / "all.jsonl", change, f"line 4 is damaged: {message}")


def test_reasons_that_are_known_are_imported(path, tmp_path):
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl", ["Bob"])
    header, line = (tmp_path / "all.jsonl").read_text().splitlines()
    line = changed(line, quality=json.loads(line)["quality"] | {"reasons": list(CODES)})
    (tmp_path / "all.jsonl").write_text(f"{header}\n{line}\n")
    with open_writer(tmp_path / "other.db") as gallery:
        gallery.import_file(tmp_path / "all.jsonl")
        assert gallery.samples("Bob")[0].quality["reasons"] == list(CODES)


def test_lines_without_an_end_and_files_that_are_none_are_not_read(path, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "LONGEST", 1000)
    with open_writer(path) as gallery:
        gallery.export(tmp_path / "all.jsonl")
        with pytest.raises(DataError, match="line 2 is damaged: it is longer than 1,000 bytes; nothing was imported"):
            gallery.import_file(tmp_path / "all.jsonl")
        (tmp_path / "zeros").write_bytes(bytes(5000))
        with pytest.raises(DataError, match="zeros: not an export of a gallery"):
            gallery.import_file(tmp_path / "zeros")
        (tmp_path / "bytes").write_bytes(b"\xff\xfe\n")
        with pytest.raises(DataError, match="bytes: not an export of a gallery"):
            gallery.import_file(tmp_path / "bytes")
        os.mkfifo(tmp_path / "pipe")
        for name, reason in ((tmp_path / "pipe", "not a regular file"), ("/dev/zero", "not a regular file")):
            with pytest.raises(UsageError, match=rf"{name}: cannot be read \({reason}\)"):
                gallery.import_file(name)


def check_refused(path, file, change, message):
    with open_writer(path) as gallery:
        gallery.export(file)
    file.write_text("".join(line + "\n" for line in change(file.read_text().splitlines())))
    with open_writer(file.with_name("other.db")) as gallery:
        with pytest.raises(DataError, match=re.escape(f"{file}: {message}")):
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
        with pytest.raises(
            DataError, match=rf"line 2 is damaged: 'embedding' has {size} numbers?, not 32; nothing was imported"
        ):
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
