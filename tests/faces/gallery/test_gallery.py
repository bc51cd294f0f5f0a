"""`Gallery`: who is enrolled is recognized, who is not is not, and who is forgotten is gone."""

import json
import multiprocessing
import shutil
import stat
from dataclasses import replace

import numpy as np
import pytest
from painted_people import BLURRED, CALIBRATION, embedding_of, paint, painted_recognizer, photo, unit

from vision_app import Gallery
from vision_app.core.errors import FaceError, GalleryError, ImageError, ModelError, UsageError
from vision_app.faces.gallery.results import LONGEST_NAME

ADA, BOB, EVE = 1, 2, 3


@pytest.fixture(scope="module")
def recognizer():
    return painted_recognizer()


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory, recognizer):
    """The folder of a gallery of Ada with two photos, and Bob with one."""
    folder = tmp_path_factory.mktemp("enrolled")
    with Gallery.open(folder / "people.db", recognizer=recognizer) as opened:
        opened.enroll("Ada", [paint((ADA, 1)), paint((ADA, 2))], consent="signed in May")
        opened.enroll("Bob", [paint((BOB, 1))])
    return folder


@pytest.fixture
def path(tmp_path, enrolled):
    """A copy of that gallery."""
    shutil.copytree(enrolled, tmp_path, dirs_exist_ok=True)
    return tmp_path / "people.db"


@pytest.fixture
def gallery(path, recognizer):
    with Gallery.open(path, recognizer=recognizer) as opened:
        yield opened


def names(identities):
    return [face.name for face in identities.faces]


def actions(gallery):
    return [json.loads(line) for line in gallery.audit.path.read_text().splitlines()]


def test_faces_get_the_names_of_those_enrolled_and_strangers_none(gallery):
    answer = gallery.identify(paint((BOB, 7), (EVE, 1), (ADA, 8)))
    assert names(answer) == ["Bob", None, "Ada"]
    assert answer.threshold == CALIBRATION.identify_threshold(2)
    bob, eve, ada = answer.faces
    assert [candidate.name for candidate in ada.candidates] == ["Ada", "Bob"]
    assert eve.similarity == eve.candidates[0].similarity < answer.threshold < bob.similarity


def test_it_takes_more_to_get_the_name_of_somebody_with_several_photos(gallery):
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


def test_rows_have_the_keys_that_were_promised(gallery):
    row = gallery.identify(paint((ADA, 8), (EVE, 2))).to_dict()
    assert list(row) == ["width", "height", "contract", "faces"] and row["contract"] == "first"
    for face in row["faces"]:
        assert list(face) == ["box", "name", "similarity", "candidates"]
        assert all(list(candidate) == ["name", "similarity"] for candidate in face["candidates"])
    assert row["faces"][1]["name"] is None and row["faces"][1]["similarity"] is not None
    assert json.loads(json.dumps(row)) == row


def test_nobody_is_on_a_photo_twice_unless_asked(gallery):
    twice = paint((ADA, 8), (ADA, 1))
    assert names(gallery.identify(twice)) == [None, "Ada"]  # the nearer one; photo 1 is enrolled
    assert names(gallery.identify(twice, repeats=True)) == ["Ada", "Ada"]


def test_an_empty_gallery_and_an_empty_photo_have_answers(path, recognizer, gallery):
    assert names(gallery.identify(paint())) == []
    with Gallery.open(path.with_name("empty.db"), recognizer=recognizer) as empty:
        answer = empty.identify(paint((ADA, 1)))
        assert (names(answer), answer.threshold) == ([None], None)
        assert answer.to_dict()["faces"][0]["similarity"] is None and answer.faces[0].candidates == ()


def test_enrollment_answers_for_each_photo(gallery, tmp_path):
    files = {
        "good.png": [(EVE, 1)],
        "none.png": [],
        "several.png": [(EVE, 2), (ADA, 3)],
        "blurred.png": [(EVE, BLURRED)],
        "ada.png": [(ADA, 5)],
    }
    photos = [photo(tmp_path / name, *faces) for name, faces in files.items()]
    again = photo(tmp_path / "again.png", (EVE, 1))
    (tmp_path / "broken.png").write_bytes(b"no picture")
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


def test_a_sibling_who_is_less_like_the_photo_stands_in_nobodys_way(gallery):
    assert gallery.enroll("Ada's twin", [paint((ADA, 6))], allow_similar=True)[0].code == "accepted"
    twin = gallery.samples("Ada's twin")[0].embedding
    ada = unit(embedding_of(ADA, 1) + embedding_of(ADA, 2))
    for other in (10, 13):
        assert gallery.matcher.threshold() < embedding_of(ADA, other) @ twin < embedding_of(ADA, other) @ ada
    assert gallery.enroll("Ada", [paint((ADA, 10))])[0].code == "accepted"
    (answer,) = gallery.enroll("Ada's twin", [paint((ADA, 13))])
    assert answer.code == "someone_else" and answer.reason.startswith("shows Ada (similarity 0.")


def test_the_largest_face_of_several_is_taken_when_asked(gallery):
    (answer,) = gallery.enroll("Eve", [paint((EVE, 1), (EVE, 2))], largest=True)
    assert answer.code == "accepted"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[2J", "x" * (LONGEST_NAME + 1)])
def test_names_that_cannot_be_used_are_refused(gallery, name):
    with pytest.raises(UsageError, match="name "):
        gallery.enroll(name, [paint((EVE, 1))])
    with pytest.raises(UsageError, match="name "):
        gallery.rename("Ada", name)


def test_one_name_is_one_person_however_it_is_typed(gallery):
    assert gallery.enroll(" Zoe\u0308 ", [paint((4, 1))])[0].code == "accepted"
    assert gallery.enroll("Zo\u00eb", [paint((4, 2))])[0].code == "accepted"
    assert [person.name for person in gallery.people()] == ["Ada", "Bob", "Zo\u00eb"]


def test_what_is_kept_of_a_photo(gallery, recognizer):
    sample, _ = gallery.samples("Ada")
    face = recognizer(paint((ADA, 1)))[0].to_dict()
    assert (sample.box, sample.landmarks, sample.quality) == (face["box"], face["landmarks"], face["quality"])
    np.testing.assert_array_equal(sample.embedding, embedding_of(ADA, 1))
    assert (sample.model_id, sample.consent, len(sample.source)) == ("first", "signed in May", 32)
    assert sample.crop.startswith(b"\x89PNG") and sample.added.endswith("Z")


def test_somebody_is_verified_by_name(gallery):
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


def test_unreadable_photos_and_lost_embeddings_are_errors(gallery):
    with pytest.raises(ImageError):
        gallery.identify(b"no picture")
    for wrong, message in ((np.full((1, 32), np.nan), "finite"), (np.zeros((1, 5)), "N x 32")):
        with pytest.raises(GalleryError, match=message):
            gallery.matcher.candidates(wrong, 1)


def test_another_model_is_refused_until_everything_is_embedded_anew(gallery, path):
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


def test_a_reader_sees_what_a_writer_does_meanwhile(gallery, path, recognizer):
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


def test_only_one_may_write(gallery, path, recognizer):
    with pytest.raises(GalleryError, match=r"process \d+ is writing to this gallery; try again when it is done"):
        Gallery.open(path)
    gallery.close()
    Gallery.open(path).close()


def test_a_file_that_was_empty_is_its_owners_alone_too(tmp_path):
    path = tmp_path / "people.db"
    path.touch()
    path.chmod(0o644)
    with Gallery.open(path) as gallery:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and gallery.check() == []
    path.chmod(0o640)
    Gallery.open(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # the owner's wish for a gallery that is there


def test_files_are_for_their_owner_alone(gallery, path):
    gallery.identify(paint((ADA, 1)))
    files = list(path.parent.glob("people.db*"))
    assert {file.name for file in files} >= {"people.db", "people.db-wal", "people.db.lock", "people.db.audit.jsonl"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    path.chmod(0o644)
    assert [problem for problem in gallery.check() if "others may read it" in problem]


def test_the_audit_log_knows_what_was_done_but_not_who_it_was(gallery, tmp_path):
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


def test_nothing_is_done_that_cannot_be_audited(gallery):
    gallery.audit.path.unlink()
    gallery.audit.path.mkdir()
    with pytest.raises(GalleryError, match="audit log cannot be written"):
        gallery.enroll("Eve", [paint((EVE, 1))])
    with pytest.raises(GalleryError, match="audit log cannot be written"):
        gallery.forget("Ada")
    gallery.audit.path.rmdir()
    assert [(person.name, person.photos) for person in gallery.people()] == [("Ada", 2), ("Bob", 1)]
    assert names(gallery.identify(paint((ADA, 8), (EVE, 1)))) == ["Ada", None]


def test_what_is_no_gallery_is_not_opened(tmp_path, recognizer):
    missing = tmp_path / "missing.db"
    for options in ({"readonly": True}, {"create": False}):
        with pytest.raises(UsageError, match="there is no such gallery"):
            Gallery.open(missing, **options)
    assert not missing.exists()
    text = tmp_path / "text.db"
    text.write_text("no database, but long enough to be one" * 50)
    with pytest.raises(GalleryError, match="cannot be opened as a gallery"):
        Gallery.open(text)
    assert text.read_text().startswith("no database")
    with pytest.raises(UsageError, match="cannot be made beside it"):
        Gallery.open(tmp_path / "nowhere" / "people.db")
