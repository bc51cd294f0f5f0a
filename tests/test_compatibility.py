"""What version 0.1 wrote works as before. The files in `data/v0.1` were made with it, from painted people."""

import shutil
from pathlib import Path

import pytest
from painted_people import paint, painted_recognizer

from vision_app import Gallery

V01 = Path(__file__).parent / "data" / "v0.1"


@pytest.fixture
def old_gallery(tmp_path):
    """A gallery of painted people that version 0.1 made: Ada with two photos, Zoë with one, and Eve, forgotten."""
    shutil.unpack_archive(V01 / "gallery.zip", tmp_path)
    for file in tmp_path.iterdir():
        file.chmod(0o600)
    return tmp_path / "people.db"


def test_an_old_gallery_identifies_exports_and_forgets(old_gallery, tmp_path):
    with Gallery.open(old_gallery, readonly=True, recognizer=painted_recognizer()) as gallery:
        before = gallery.store.revision
        answer = gallery.identify(paint((1, 8), (9, 1), (2, 8)))
        assert [face.name for face in answer.faces] == ["Ada", None, "Zo\u00eb"]
    with Gallery.open(old_gallery, recognizer=painted_recognizer()) as gallery:
        assert gallery.check() == [] and gallery.store.revision == before
        assert [(one.name, one.photos, one.consent) for one in gallery.people()] == [
            ("Ada", 2, "signed in May"), ("Zo\u00eb", 1, "")
        ]  # fmt: skip
        assert gallery.verify(paint((1, 8)), "Ada").verdict == "same"
        gallery.export(tmp_path / "new.jsonl")
        assert (tmp_path / "new.jsonl").read_bytes() == (tmp_path / "export.jsonl").read_bytes()
        ada = gallery.samples("Ada")[0].source
        assert gallery.enroll("Ada", [paint((1, 5))])[0].code == "accepted"
        done = gallery.forget("Ada")
        assert done.photos == 3 and ada not in old_gallery.read_bytes()
        assert [person.name for person in gallery.people()] == ["Zo\u00eb"] and gallery.check() == []


def test_an_old_export_is_imported_and_gets_embeddings_of_another_model(old_gallery, tmp_path):
    with Gallery.open(tmp_path / "new.db", recognizer=painted_recognizer()) as gallery:
        assert {answer.code for answer in gallery.import_file(tmp_path / "export.jsonl")} == {"accepted"}
        assert gallery.identify(paint((2, 8))).faces[0].name == "Zo\u00eb"
    with Gallery.open(old_gallery, recognizer=painted_recognizer("second")) as gallery:
        assert gallery.reembed() == 3 and gallery.store.model_ids == ["second"]
        assert gallery.identify(paint((2, 8))).faces[0].name == "Zo\u00eb" and gallery.check() == []
