"""The audit log: all that is done, and nobody's name."""

import json
import os

import pytest
from painted_people import (
    paint,
)

from vision_app.core.errors import GalleryError

ADA, BOB, EVE = 1, 2, 3


def actions(gallery):
    return [json.loads(line) for line in gallery.audit.path.read_text().splitlines()]


def test_the_audit_log_contains_actions_but_no_names(gallery, tmp_path):
    gallery.identify(paint((ADA, 8), (EVE, 1)))
    gallery.verify(paint((BOB, 8)), "Bob")
    gallery.export(tmp_path / "all.jsonl")
    people = {person.name: f"{person.id:016x}" for person in gallery.people()}
    gallery.forget("Ada")
    rows = actions(gallery)
    assert [row["action"] for row in rows] == ["enroll"] * 3 + ["identify", "verify", "export", "forget"]
    assert [row["people"] for row in rows[2:]] == [
        [people["Bob"]], [people["Ada"]], [people["Bob"]], sorted(people.values(), key=[*people.values()].index),
        [people["Ada"]],
    ]  # fmt: skip
    assert {key for row in rows for key in row} == {"time", "action", "people", "photos", "faces"}
    text = gallery.audit.path.read_text()
    assert "Ada" not in text and "Bob" not in text


def test_nothing_is_done_when_the_audit_log_cannot_be_written(gallery):
    gallery.audit.path.unlink()
    gallery.audit.path.mkdir()
    with pytest.raises(GalleryError, match="audit log cannot be written"):
        gallery.enroll("Eve", [paint((EVE, 1))])
    with pytest.raises(GalleryError, match="audit log cannot be written"):
        gallery.forget("Ada")
    gallery.audit.path.rmdir()
    assert [(person.name, person.photos) for person in gallery.people()] == [("Ada", 2), ("Bob", 1)]
    assert names(gallery.identify(paint((ADA, 8), (EVE, 1)))) == ["Ada", None]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_an_audit_log_that_is_no_regular_file_stops_what_it_should_note_at_once(gallery, make):
    gallery.audit.path.unlink()
    make(gallery.audit.path)
    with pytest.raises(GalleryError, match="audit log cannot be written"):
        gallery.forget("Ada")
    assert [person.name for person in gallery.people()] == ["Ada", "Bob"]


def names(identities):
    return [face.name for face in identities.faces]
