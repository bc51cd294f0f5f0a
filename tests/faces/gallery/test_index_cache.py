"""The index of a large gallery: stored, updated, and rebuilt when it is damaged."""

import os
import stat
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from painted_people import (
    DIMENSION,
    open_writer,
    unit,
)

from vision_app import Gallery
from vision_app.core.errors import GalleryError
from vision_app.faces import index as face_index
from vision_app.faces.gallery import EnrolledPhoto
from vision_app.faces.gallery import index_cache as cached

QUALITY = dict.fromkeys(("size", "blur", "yaw", "pitch", "roll", "exposure", "score"), 1) | {"reasons": []}
LIMIT = 300  # of people whose index is exact, in these tests


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
    return EnrolledPhoto(0, source, [0, 0, 9, 9], [[1, 1]] * 5, QUALITY, embedding, **about)


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


def test_an_outdated_index_is_updated_by_the_ids_that_differ(crowd, monkeypatch):
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
    [
        lambda content: content[:-20],
        lambda content: b"",
        lambda content: b'{"format": 9}\n',
        lambda content: content + b"x",
        lambda content: b'{"format": 1}\n',
        lambda content: b'{"format": 1, "sha256": "%s"}\n' % sha256().hexdigest().encode(),
        lambda content: content.replace(b'"sha256": ', b'"sha256": 5, "x": '),
        lambda content: b'{"format": ' + b"[" * 100_000 + b"\n",
        lambda content: b'{"format": ' + b"1" * 10_000,
    ],
    ids=["cut short", "empty", "another header", "longer", "short", "nothing", "number", "deep", "endless"],
)
def test_a_damaged_index_is_rebuilt_from_the_rows(crowd, damage):
    path, embeddings = crowd
    file = path.with_name("crowd.db.index")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with open_writer(path) as gallery:
        assert any("it will be rebuilt" in problem for problem in gallery.check())
        assert nearest_names(gallery, embeddings[:3]) == ["Person 0", "Person 1", "Person 2"]
    with open_writer(path) as gallery:
        assert gallery.check() == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda file: file.write_text("5"), "another format"),
        (lambda file: file.write_text("[]"), "another format"),
        (lambda file: file.write_text("null\n"), "another format"),
        (lambda file: file.write_text("[" * 100_000), ""),
        (lambda file: file.write_text("text"), "Expecting value"),
        (os.mkfifo, "not a regular file"),
        (lambda file: file.symlink_to("/dev/zero"), "not a regular file"),
        (Path.mkdir, "Is a directory"),
    ],
    ids=["number", "list", "null", "deep", "text", "pipe", "device", "folder"],
)
def test_what_lies_in_the_place_of_the_index_is_named_and_left_there(crowd, make, reason):
    path, embeddings = crowd
    file = path.with_name("crowd.db.index")
    file.unlink()
    make(file)
    kind = file.lstat().st_mode, file.lstat().st_size
    with Gallery.open(path, readonly=True) as reader:
        problem = reader.check()[-1]
        assert problem.startswith(f"{file}: cannot be used (") and reason in problem
        assert problem.endswith("; move it, it is in the way of the gallery's index")
        assert nearest_names(reader, embeddings[:3]) == ["Person 0", "Person 1", "Person 2"]
    with pytest.raises(GalleryError, match="is in the way of the gallery's index; move it"):
        open_writer(path).close()
    assert (file.lstat().st_mode, file.lstat().st_size) == kind


def test_the_index_file_of_a_gallery_that_shrinks_is_deleted(crowd, monkeypatch):
    path, embeddings = crowd
    for module in (face_index, cached):
        monkeypatch.setattr(module, "EXACT_LIMIT", LIMIT + 100)
    with open_writer(path) as gallery:
        assert (
            nearest_names(gallery, embeddings[:2]) == ["Person 0", "Person 1"] and gallery.matcher.index.current().exact
        )
    assert not path.with_name("crowd.db.index").exists()
