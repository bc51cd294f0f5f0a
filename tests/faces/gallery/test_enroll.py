"""Enrollment: what is embedded is what the photo's file held."""

from hashlib import sha256

from painted_people import painted_recognizer, photo

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
