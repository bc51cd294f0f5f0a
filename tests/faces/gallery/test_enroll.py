"""Enrollment: which photos are accepted, what is stored of them, and new embeddings for another model."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from painted_people import (
    BLURRED,
    CALIBRATION,
    embedding_of,
    open_writer,
    paint,
    painted_recognizer,
    photo,
    run_sql,
    unit,
)

from vision_app import Gallery
from vision_app.core.errors import GalleryError, ModelError
from vision_app.faces.calibration import Rate

ADA, BOB, EVE = 1, 2, 3


def names(identities):
    return [face.name for face in identities.faces]


def test_each_photo_gets_an_outcome(gallery, tmp_path):
    files = {
        "good.png": [(EVE, 1)],
        "none.png": [],
        "several.png": [(EVE, 2), (ADA, 3)],
        "blurred.png": [(EVE, BLURRED)],
        "ada.png": [(ADA, 5)],
    }
    photos = [photo(tmp_path / name, *faces) for name, faces in files.items()]
    again = photo(tmp_path / "again.png", (EVE, 1))
    (tmp_path / "broken.png").write_bytes(b"no image")
    answers = gallery.enroll("Eve", [*photos, again, tmp_path / "broken.png", tmp_path / "missing.png"])
    assert [answer.code for answer in answers] == [
        "accepted", "no_face", "several_faces", "blurred", "someone_else", "already_enrolled", "unreadable",
        "unreadable",
    ]  # fmt: skip
    assert [answer.refused for answer in answers] == [False, True, True, True, True, False, True, True]
    assert "shows Ada (similarity 0." in answers[4].reason
    assert [person.photos for person in gallery.people() if person.name == "Eve"] == [1]
    assert names(gallery.identify(paint((EVE, 9)))) == ["Eve"]


@pytest.mark.parametrize("code", ["too_small", "blurred", "extreme_pose", "under_exposed", "over_exposed"])
def test_a_poor_face_is_refused_by_its_reason(gallery, recognizer, monkeypatch, code):
    def poor(source):
        faces = recognizer(source)
        return replace(faces, quality=[replace(faces.quality[0], reasons=(code,))])

    monkeypatch.setattr(gallery.matcher, "recognizer", Stand(recognizer, poor))
    (answer,) = gallery.enroll("Eve", [paint((EVE, 1))])
    assert answer.code == code and answer.reason.startswith("the face is")
    assert len(gallery.people()) == 2


class Stand:
    """A recognizer that finds faces in a way of its own."""

    def __init__(self, recognizer, find):
        self.model_id, self.calibration, self.read = recognizer.model_id, recognizer.calibration, recognizer.read
        self.find = find

    def __call__(self, source):
        return self.find(source)


def test_a_photo_of_someone_else_is_refused_also_by_its_file_and_twins_may_be_allowed(gallery, tmp_path):
    file = photo(tmp_path / "one.png", (EVE, 1))
    assert [answer.code for answer in gallery.enroll("Eve", [file])] == ["accepted"]
    (answer,) = gallery.enroll("Ada", [file], allow_similar=True)
    assert (answer.code, answer.reason) == ("someone_else", "enrolled already as Eve")
    (answer,) = gallery.enroll("Ada's twin", [paint((ADA, 6))], allow_similar=True)
    assert answer.code == "accepted"


def test_a_less_similar_sibling_does_not_block_enrollment(gallery):
    assert gallery.enroll("Ada's twin", [paint((ADA, 6))], allow_similar=True)[0].code == "accepted"
    twin = gallery.samples("Ada's twin")[0].embedding
    ada = unit(embedding_of(ADA, 1) + embedding_of(ADA, 2))
    for other in (10, 13):
        assert gallery.matcher.threshold() < embedding_of(ADA, other) @ twin < embedding_of(ADA, other) @ ada
    assert gallery.enroll("Ada", [paint((ADA, 10))])[0].code == "accepted"
    (answer,) = gallery.enroll("Ada's twin", [paint((ADA, 13))])
    assert answer.code == "someone_else" and answer.reason.startswith("shows Ada (similarity 0.")


@pytest.mark.parametrize(
    ("name", "face", "allowed", "code"),
    [
        ("Ada", (ADA, 8), {}, "accepted"),
        ("Ada", (EVE, 1), {}, "different_person"),
        ("Bob", (EVE, 1), {}, "different_person"),
        ("Bob", (ADA, 8), {}, "someone_else"),
        ("Bob", (ADA, 8), {"allow_similar": True}, "different_person"),
        ("Bob", (EVE, 1), {"allow_different": True}, "accepted"),
        ("Bob", (ADA, 8), {"allow_similar": True, "allow_different": True}, "accepted"),
        ("Eve", (EVE, 1), {}, "accepted"),
    ],
)
def test_another_face_under_an_enrolled_name_is_refused_unless_it_is_allowed(gallery, name, face, allowed, code):
    before = [(person.name, person.photos) for person in gallery.people()]
    (answer,) = gallery.enroll(name, paint(face), **allowed)
    assert answer.code == code and answer.refused == (code != "accepted")
    after = [(person.name, person.photos) for person in gallery.people()]
    assert (after == before) == answer.refused and gallery.check() == []


def test_a_refusal_of_another_face_gives_its_similarity_to_the_person_and_what_one_person_reaches(gallery):
    (answer,) = gallery.enroll("Ada", paint((EVE, 1)))
    similarity = float(unit(embedding_of(ADA, 1) + embedding_of(ADA, 2)) @ embedding_of(EVE, 1))
    threshold = 0.6 + CALIBRATION.gain(2)
    assert answer.reason == (
        f"does not look like Ada (similarity {similarity:.3f}; photos of one person reach about {threshold:.3f})"
    )


@pytest.mark.parametrize(("photos", "similarity", "refused"), [(1, 0.46, 0), (1, 0.44, 1), (2, 0.49, 0), (2, 0.47, 1)])
def test_another_face_is_told_below_the_uncertain_similarities_which_rise_with_photos(
    gallery, photos, similarity, refused
):
    """Two photos are different below 0.45, which strangers reach at ten times the rate; a mean of two gains 0.03."""
    name = {1: "Bob", 2: "Ada"}[photos]
    centroid = gallery.store.centroid(gallery.store.person(name).id)
    other = np.random.default_rng(0).standard_normal(centroid.size)
    apart = unit(other - (other @ centroid) * centroid)
    embedding = similarity * centroid + np.sqrt(1 - similarity**2) * apart
    assert (gallery.matcher.unlike(name, embedding[None], centroid, photos) is not None) == refused


def test_a_calibration_without_small_rates_tells_another_face_by_its_smallest_one(gallery, monkeypatch):
    rates = (Rate(0.2, 0.3, 0.28, 0.32), Rate(0.05, 0.6, 0.58, 0.62))
    few = replace(CALIBRATION, rates=rates, tail_far=0.05)
    monkeypatch.setattr(gallery.recognizer.embedder, "calibration", few)
    assert [gallery.enroll("Bob", paint(face))[0].code for face in ((BOB, 8), (EVE, 1))] == [
        "accepted",
        "different_person",
    ]


def test_the_largest_face_of_several_is_taken_when_asked(gallery):
    (answer,) = gallery.enroll("Eve", [paint((EVE, 1), (EVE, 2))], largest=True)
    assert answer.code == "accepted"


def test_the_stored_data_of_a_photo(gallery, recognizer):
    sample, _ = gallery.samples("Ada")
    face = recognizer(paint((ADA, 1)))[0].to_dict()
    assert (sample.box, sample.landmarks, sample.quality) == (face["box"], face["landmarks"], face["quality"])
    np.testing.assert_array_equal(sample.embedding, embedding_of(ADA, 1))
    assert (sample.model_id, sample.consent, len(sample.source)) == ("first", "signed in May, \u201cgerne\u201d", 32)
    assert sample.crop.startswith(b"\x89PNG") and sample.added.endswith("Z")


def test_a_photo_is_read_once_so_that_another_in_its_place_is_not_taken_for_it(tmp_path, monkeypatch):
    file, recognizer = photo(tmp_path / "eve.png", (3, 1)), painted_recognizer()
    content, read = file.read_bytes(), recognizer.read

    def taken_away(source, **options):
        image = read(source, **options)
        file.unlink(missing_ok=True)
        return image

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


def test_another_model_is_refused_until_everything_is_embedded_again(gallery, path):
    gallery.close()
    other = painted_recognizer("second")
    with Gallery.open(path, recognizer=other) as opened:
        for ask in (
            lambda: opened.identify(paint((ADA, 8))),
            lambda: opened.enroll("Eve", [paint((EVE, 1))]),
            lambda: opened.verify(paint((ADA, 8)), "Ada"),
        ):
            with pytest.raises(
                ModelError, match=f"model first, not of second; `vision-app faces reembed --gallery {path}`"
            ):
                ask()
        done = []
        assert opened.reembed(done.append) == 3
        assert [person.name for person in done] == ["Ada", "Bob"]
        assert opened.store.model_ids == ["second"] and opened.check() == []
        assert names(opened.identify(paint((ADA, 8), (BOB, 8), (EVE, 1)))) == ["Ada", "Bob", None]
        np.testing.assert_array_equal(opened.samples("Bob")[0].embedding, embedding_of(BOB, 1, "second"))
        assert opened.reembed() == 0


def test_photos_without_a_stored_image_cannot_be_embedded_again(path):
    run_sql(path, "DELETE FROM crop WHERE sample = (SELECT max(id) FROM sample)")
    with open_writer(path, "second") as gallery:
        with pytest.raises(GalleryError, match="Bob: no image of a photo is kept"):
            gallery.reembed()
        assert gallery.store.model_ids == ["first"]
