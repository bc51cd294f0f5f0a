"""`Gallery`: enrolled people are recognized and strangers are not; answers are of one moment."""

import json
import multiprocessing
from dataclasses import replace
from io import BytesIO

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

from vision_app import Gallery, read_image
from vision_app.core.errors import FaceError, GalleryError, ImageError, UsageError
from vision_app.faces.gallery.results import LONGEST_NAME

ADA, BOB, EVE = 1, 2, 3


def names(identities):
    return [face.name for face in identities.faces]


def test_enrolled_people_get_their_names_and_strangers_none(gallery):
    answer = gallery.identify(paint((BOB, 7), (EVE, 1), (ADA, 8)))
    assert tuple(answer) == answer.faces and answer[0] is answer.faces[0] and len(answer) == 3
    assert names(answer) == ["Bob", None, "Ada"]
    assert answer.threshold == CALIBRATION.identify_threshold(2)
    bob, eve, ada = answer.faces
    assert [candidate.name for candidate in ada.candidates] == ["Ada", "Bob"]
    assert eve.similarity == eve.candidates[0].similarity < answer.threshold < bob.similarity


def test_the_threshold_is_higher_for_a_person_with_several_photos(gallery):
    faces = gallery.recognizer(paint((EVE, 1)))
    for name, photos in (("Ada", 2), ("Bob", 1)):
        mean = gallery.store.centroid(gallery.store.person(name).id).astype(float)
        stranger = faces.embeddings[0] - faces.embeddings[0] @ mean * mean
        lowest = gallery.matcher.threshold(photos=photos)
        assert lowest == gallery.matcher.threshold() + CALIBRATION.gain(photos)
        for similarity, wanted in ((lowest - 0.01, None), (lowest + 0.01, name)):
            face = similarity * mean + np.sqrt(1 - similarity**2) * unit(stranger)
            answer = gallery.identify_faces(replace(faces, embeddings=np.float32(face)[None]))
            assert names(answer) == [wanted]
            near = answer.faces[0].candidates[0]
            assert (near.name, near.photos) == (name, photos) and near.similarity == pytest.approx(similarity, abs=1e-5)


def test_faces_are_drawn_with_name_and_similarity(gallery):
    answer = gallery.identify(paint((BOB, 7), (EVE, 1)))
    drawn = answer.detections
    assert drawn.labels == ("Bob", "unknown") and (drawn.width, drawn.height) == (answer.width, answer.height)
    np.testing.assert_array_equal(drawn.boxes, [face.box for face in answer.faces])
    assert answer.captions == [f"Bob {answer.faces[0].similarity:.2f}", f"unknown {answer.faces[1].similarity:.2f}"]
    gallery.forget("Ada")
    gallery.forget("Bob")
    assert gallery.identify(paint((EVE, 1))).captions == ["unknown"]
    assert len(gallery.identify(paint()).detections) == 0


def test_similarity_is_the_cosine_to_the_mean_of_a_persons_embeddings(gallery):
    probe = embedding_of(ADA, 8)
    (face,) = gallery.identify(paint((ADA, 8))).faces
    mean = unit(embedding_of(ADA, 1) + embedding_of(ADA, 2))
    assert face.similarity == pytest.approx(float(probe @ mean), abs=1e-6)
    assert face.candidates[1].similarity == pytest.approx(float(probe @ embedding_of(BOB, 1)), abs=1e-6)


def test_rows_have_the_documented_keys(gallery):
    row = gallery.identify(paint((ADA, 8), (EVE, 2))).to_dict()
    assert list(row) == ["width", "height", "contract", "faces"] and row["contract"] == "first"
    for face in row["faces"]:
        assert list(face) == ["box", "name", "similarity", "candidates"]
        assert all(list(candidate) == ["name", "similarity"] for candidate in face["candidates"])
    assert row["faces"][1]["name"] is None and row["faces"][1]["similarity"] is not None
    assert json.loads(json.dumps(row)) == row


def test_a_name_is_given_once_a_photo_unless_repeats_are_allowed(gallery):
    twice = paint((ADA, 8), (ADA, 1))
    assert names(gallery.identify(twice)) == [None, "Ada"]  # the nearer one; photo 1 is enrolled
    assert names(gallery.identify(twice, repeats=True)) == ["Ada", "Ada"]


def test_an_empty_gallery_and_a_photo_without_faces_are_answered(path, recognizer, gallery):
    assert names(gallery.identify(paint())) == []
    with Gallery.open(path.with_name("empty.db"), recognizer=recognizer) as empty:
        answer = empty.identify(paint((ADA, 1)))
        assert (names(answer), answer.threshold) == ([None], None)
        assert answer.to_dict()["faces"][0]["similarity"] is None and answer.faces[0].candidates == ()


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[2J", "A\u200dda", "\u202eAda", "x" * (LONGEST_NAME + 1)])
def test_invalid_names_are_refused(gallery, name):
    with pytest.raises(UsageError, match="name "):
        gallery.enroll(name, [paint((EVE, 1))])
    with pytest.raises(UsageError, match="name "):
        gallery.rename("Ada", name)


@pytest.mark.parametrize(
    "name",
    ["\u0dc1\u0dca\u200d\u0dbb\u0dd3", "\u0645\u06cc\u200c\u062e\u0648", "\U0001f468\u200d\U0001f469\u200d\U0001f467"],
)
def test_names_with_joiners_are_names(gallery, name):
    assert gallery.enroll(name, [paint((EVE, 1))])[0].code == "accepted"
    assert name in [person.name for person in gallery.people()]
    assert gallery.forget(name).photos == 1


def test_one_name_is_one_person_however_it_is_typed(gallery):
    assert gallery.enroll(" Zoe\u0308 ", [paint((4, 1))])[0].code == "accepted"
    assert gallery.enroll("Zo\u00eb", [paint((4, 2))])[0].code == "accepted"
    assert [person.name for person in gallery.people()] == ["Ada", "Bob", "Zo\u00eb"]


def test_a_person_is_verified_by_name(gallery):
    assert gallery.verify(paint((ADA, 8)), "Ada").verdict == "same"
    assert gallery.verify_face(gallery.recognizer.face(paint((BOB, 8))), "Bob").verdict == "same"
    answer = gallery.verify(paint((BOB, 8)), "Ada", far=0.1)
    assert (answer.verdict, answer.far) == ("different", 0.1)
    assert answer.threshold == 0.3 + CALIBRATION.gain(2), "strangers are nearer to the mean of two photos"
    assert gallery.verify(paint((BOB, 8)), "Bob", far=0.1).threshold == 0.3
    mean = unit(embedding_of(ADA, 1) + embedding_of(ADA, 2))
    assert answer.similarity == pytest.approx(float(embedding_of(BOB, 8) @ mean), abs=1e-6)
    json.dumps(answer.to_dict())
    with pytest.raises(UsageError, match="nobody named 'Add' is enrolled; did you mean 'Ada'"):
        gallery.verify(paint((ADA, 8)), "Add")
    with pytest.raises(FaceError, match="no face"):
        gallery.verify(paint(), "Ada")


def test_renamed_and_merged_people_are_found_by_the_new_name(gallery):
    gallery.rename("Ada", "Ada Lovelace")
    gallery.enroll("Stranger", [paint((EVE, 1))])
    gallery.enroll("Eve", [paint((EVE, 2))], allow_similar=True)
    with pytest.raises(UsageError, match="another person has it already"):
        gallery.rename("Stranger", "Eve")
    gallery.merge("Stranger", "Eve")
    assert [(person.name, person.photos) for person in gallery.people()] == [
        ("Ada Lovelace", 2),
        ("Bob", 1),
        ("Eve", 2),
    ]
    assert names(gallery.identify(paint((ADA, 9), (EVE, 9)))) == ["Ada Lovelace", "Eve"]
    with pytest.raises(UsageError, match="the same person twice"):
        gallery.merge("Eve", "Eve")
    assert gallery.check() == []


def test_people_who_look_different_are_merged_only_on_request(gallery):
    answer = gallery.compare("Ada", "Bob")
    ada = unit(embedding_of(ADA, 1) + embedding_of(ADA, 2))
    assert answer.similarity == pytest.approx(float(ada @ embedding_of(BOB, 1)), abs=1e-6)
    assert answer.verdict == "different" and answer.threshold == pytest.approx(0.6 + CALIBRATION.gain(2))
    with pytest.raises(FaceError, match="does not look like Bob") as error:
        gallery.merge("Ada", "Bob")
    assert error.value.code == "different_people" and "`allow_different=True`" in str(error.value)
    assert error.value.source == "Ada" and f"similarity {answer.similarity:.3f}; " in str(error.value)
    assert [person.name for person in gallery.people()] == ["Ada", "Bob"]
    gallery.merge("Ada", "Bob", allow_different=True)
    assert [(person.name, person.photos) for person in gallery.people()] == [("Bob", 3)]


def test_people_of_another_model_are_merged_only_on_request(gallery, path):
    gallery.close()
    with open_writer(path, "second") as other:
        with pytest.raises(FaceError, match=r"Ada: cannot be compared with Bob \(.*faces reembed") as error:
            other.merge("Ada", "Bob")
        assert error.value.code == "not_comparable"
        other.merge("Ada", "Bob", allow_different=True)
        assert [person.name for person in other.people()] == ["Bob"]


@pytest.mark.parametrize("names", [("Ada", "Bob"), ("Bob", "Ada")])
def test_a_person_without_a_photo_is_merged_only_on_request(gallery, path, names):
    gallery.close()
    run_sql(path, "DELETE FROM centroid WHERE person = (SELECT id FROM person WHERE name = 'Bob')")
    with open_writer(path) as other:
        with pytest.raises(FaceError, match=r"cannot be compared with \w+ \(.*Bob has no photo") as error:
            other.merge(*names)
        assert error.value.code == "not_comparable" and len(other.people()) == 2
        other.merge(*names, allow_different=True)
        assert [person.name for person in other.people()] == [names[1]]


@pytest.mark.parametrize("kind", ["str", "path", "bytes", "file", "array", "image"])
def test_one_photo_is_enrolled_as_a_list_of_one_is(gallery, tmp_path, kind):
    file = photo(tmp_path / "eve.png", (EVE, 1))
    given = {
        "str": str(file), "path": file, "bytes": file.read_bytes(), "file": BytesIO(file.read_bytes()),
        "array": read_image(file).pixels, "image": read_image(file),
    }  # fmt: skip
    (answer,) = gallery.enroll("Eve", given[kind])
    assert answer.code == "accepted" and answer.file == (str(file) if kind in ("str", "path") else "<image>")


@pytest.mark.parametrize(
    ("name", "photos", "words"),
    [
        ("Eve", None, "photos None: must be an image or several"),
        (None, "eve.png", "name None: must be text"),
        (7, "eve.png", "name 7: must be text"),
    ],
)
def test_enrolling_without_photos_or_name_says_what_is_missing(gallery, name, photos, words):
    with pytest.raises(UsageError, match=words):
        gallery.enroll(name, photos)
    assert [person.name for person in gallery.people()] == ["Ada", "Bob"]


def test_photos_from_a_generator_are_read_one_after_the_other(gallery):
    def photos():
        yield paint((EVE, 1))
        assert [person.name for person in gallery.people()] == ["Ada", "Bob", "Eve"], "the first one is safe"
        yield paint((EVE, 2))

    assert [answer.code for answer in gallery.enroll("Eve", photos())] == ["accepted"] * 2


def test_one_name_is_exported_as_a_list_of_one_is(gallery, tmp_path):
    assert gallery.export(tmp_path / "ada.jsonl", "Ada") == gallery.export(tmp_path / "list.jsonl", ["Ada"]) == 2
    assert (tmp_path / "ada.jsonl").read_bytes() == (tmp_path / "list.jsonl").read_bytes()


def test_a_face_that_is_not_fit_gets_candidates_and_reasons_but_no_name(gallery):
    bad, bob = gallery.identify(paint((ADA, BLURRED), (BOB, 8))).faces
    assert (bad.name, bad.person, bad.verdict, bad.reasons) == (None, None, "uncertain", ("blurred",))
    assert [one.name for one in bad.candidates] == ["Ada", "Bob"] and bad.similarity > 0.8
    assert bad.to_dict()["reasons"] == ["blurred"] and "reasons" not in bob.to_dict() and bob.name == "Bob"


def test_a_face_that_is_not_fit_takes_no_name_from_another(gallery):
    bad, ada = gallery.identify(paint((ADA, BLURRED), (ADA, 8))).faces
    assert (bad.name, ada.name) == (None, "Ada")
    close = gallery.store.centroid(gallery.store.person("Ada").id)
    faces = gallery.recognizer(paint((ADA, BLURRED), (ADA, 8)))
    faces = replace(faces, embeddings=np.stack([close, faces.embeddings[1]]))
    assert names(gallery.identify_faces(faces)) == [None, "Ada"], "however near it is"


def test_a_face_that_is_not_fit_is_neither_the_person_nor_another(gallery):
    for name in ("Ada", "Bob"):
        assert gallery.verify(paint((ADA, BLURRED)), name).verdict == "uncertain"


def test_an_empty_gallery_says_why_a_face_is_not_fit(tmp_path, recognizer):
    with Gallery.open(tmp_path / "empty.db", recognizer=recognizer) as gallery:
        bad, good = gallery.identify(paint((ADA, BLURRED), (ADA, 8))).faces
    assert (bad.verdict, bad.candidates, bad.reasons) == ("uncertain", (), ("blurred",))
    assert (good.verdict, good.candidates, good.reasons) == ("unknown", (), ())


def test_unreadable_photos_and_invalid_embeddings_are_errors(gallery):
    with pytest.raises(ImageError):
        gallery.identify(b"no image")
    for wrong, message in ((np.full((1, 32), np.nan), "finite"), (np.zeros((1, 5)), "of 32 numbers")):
        with pytest.raises(GalleryError, match=message):
            gallery.matcher.candidates(wrong, 1)


def test_a_reader_sees_the_changes_of_a_writer(gallery, path, recognizer):
    with Gallery.open(path, readonly=True, recognizer=recognizer) as reader:
        assert names(reader.identify(paint((EVE, 9)))) == [None]
        gallery.enroll("Eve", [paint((EVE, 1))])
        assert names(reader.identify(paint((EVE, 9)))) == ["Eve"]
        gallery.rename("Eve", "Eva")
        assert names(reader.identify(paint((EVE, 9)))) == ["Eva"]
        with gallery.store.change():  # a writer in the middle of something keeps nobody waiting
            gallery.store.add("Half", replace(gallery.samples("Eva")[0], source=bytes(32)))
            assert names(reader.identify(paint((EVE, 9)))) == ["Eva"]
            assert reader.store.find("Half") is None
        with pytest.raises(GalleryError, match="readonly"):
            reader.enroll("Zoe", [paint((4, 1))])


def test_an_answer_is_of_one_moment(gallery, path, recognizer, monkeypatch):
    """Another process enrolls and renames people between the steps of an answer."""
    with Gallery.open(path, readonly=True, recognizer=recognizer) as reader:
        before = reader.identify(paint((ADA, 8), (EVE, 9)))
        candidates = reader.matcher.candidates

        def candidates_later(embeddings):
            monkeypatch.undo()
            gallery.close()
            process = multiprocessing.get_context("fork").Process(target=rename_and_enroll, args=(path,))
            process.start()
            process.join()
            assert process.exitcode == 0
            return candidates(embeddings)

        monkeypatch.setattr(reader.matcher, "candidates", candidates_later)  # when it knows the threshold
        assert reader.identify(paint((ADA, 8), (EVE, 9))).to_dict() == before.to_dict()
        after = reader.identify(paint((ADA, 8), (EVE, 9)))
        assert names(after) == ["Augusta", "Eve"] and after.threshold > before.threshold


def rename_and_enroll(path):
    with Gallery.open(path, recognizer=painted_recognizer()) as writer:
        writer.rename("Ada", "Augusta")
        assert writer.enroll("Eve", [paint((EVE, 1))])[0].code == "accepted"
