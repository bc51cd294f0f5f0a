"""Enrollment: what is embedded is what the photo's file held."""

from hashlib import sha256

import pytest
from painted_people import paint, painted_recognizer, photo

from vision_app import Gallery


def test_a_photo_is_read_once_so_that_another_in_its_place_is_not_taken_for_it(tmp_path, monkeypatch):
    file, recognizer = photo(tmp_path / "eve.png", (3, 1)), painted_recognizer()
    content, read = file.read_bytes(), recognizer.read

    def taken_away(source, **options):
        picture = read(source, **options)
        file.unlink(missing_ok=True)
        return picture

    monkeypatch.setattr(recognizer, "read", taken_away)
    with Gallery.open(tmp_path / "people.db", recognizer=recognizer) as gallery:
        assert [one.code for one in gallery.enroll("Eve", [file])] == ["accepted"]
        assert gallery.samples("Eve")[0].source == sha256(content).digest()


@pytest.mark.parametrize(
    ("enrolled", "name"),
    [([], "Ada"), (["Bob"], "Ada"), (["Ada", "Bob"], "Ada"), (["Ada", "Ada", "Bob"], "Ada")],
    ids=["the first person", "a new person", "a second photo", "a third photo"],
)
def test_enrolling_one_photo_takes_at_most_eight_statements(tmp_path, enrolled, name):
    """All that SQLite runs from `enroll` to its answer, BEGIN and COMMIT included."""
    people, path, statements = {"Ada": 1, "Bob": 2}, tmp_path / "people.db", []
    with Gallery.open(path, recognizer=painted_recognizer()) as gallery:
        for number, known in enumerate(enrolled):
            gallery.enroll(known, [paint((people[known], number + 1))])
    with Gallery.open(path, recognizer=painted_recognizer()) as gallery:
        gallery.store._connection.set_trace_callback(statements.append)
        assert gallery.enroll(name, [paint((people[name], 9))])[0].code == "accepted"
        gallery.store._connection.set_trace_callback(None)
        assert len(statements) <= 8 and (statements[-1], "BEGIN IMMEDIATE" in statements) == ("COMMIT", True)
        assert gallery.check() == []
        assert gallery.identify(paint((1, 8), (2, 8))).faces[0].name == "Ada"
