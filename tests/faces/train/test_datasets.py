"""What is trained and measured on: splits, pairs, faces that are kept, people who are held out."""

import numpy as np
import pytest
from drawn_people import faces, write_photos
from tiny_faces import green_detector

from vision_app.core.errors import DataError, UsageError
from vision_app.faces.align import TEMPLATE
from vision_app.faces.train.datasets import FaceValidation, Reader, has_validation, hold_out


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Three people with three photos each; a table says for what they are."""
    folder = write_photos(tmp_path_factory.mktemp("photos") / "people", 3, 3)
    split = {"p0": "train", "p1": "val", "p2": "val"}
    rows = [f"{name}/{photo}.png,{name},{split[name]}" for name in split for photo in range(3)]
    (folder / "split.csv").write_text("\n".join(["file,identity,split", *rows]))
    pairs = ["p0/0.png,p0/1.png,1", "p0/0.png,p1/0.png,0", "p2/0.png,blank.png,1", "p1/1.png,p2/1.png,0"]
    (folder / "pairs.csv").write_text("\n".join(["file_a,file_b,same", *pairs]))
    (folder / "blank.png").write_bytes((folder / "p0" / "0.png").read_bytes()[:60])
    return folder


def reader(output, *, resume=False, detector=green_detector):
    lines = []
    return Reader(output, resume, detector, lines.append), lines


def test_sets_are_joined_and_found_faces_are_stored(people, tmp_path):
    faces(2, 2, first=10).save(tmp_path / "ready.npz")
    one, lines = reader(tmp_path)
    found = one.train([people, tmp_path / "ready.npz"])
    assert sorted(set(found.identities)) == ["p0", "p1", "p10", "p11", "p2"] and len(found) == 4 + 9
    assert lines == ["people: faces on 9 of 9 photos"]

    def nobody():
        raise AssertionError("faces are searched for again")

    again, _ = reader(tmp_path, resume=True, detector=nobody)
    assert again.train([people, tmp_path / "ready.npz"]).digest() == found.digest()


def test_a_table_with_splits_is_trained_and_validated_on_by_split(people, tmp_path):
    one, _ = reader(tmp_path)
    assert set(one.train([people / "split.csv"]).identities) == {"p0"}
    assert has_validation(people / "split.csv") and not has_validation(people)
    assert not has_validation(tmp_path / "crops.npz")
    assert set(one.validation(people / "split.csv", 1).crops.identities) == {"p1", "p2"}
    (tmp_path / "test.csv").write_text("file,identity,split\na.png,a,test\n")
    with pytest.raises(DataError, match=r"test.csv: has no split 'train', only test"):
        one.train([tmp_path / "test.csv"])


def test_listed_pairs_are_measured_and_a_photo_without_a_face_matches_nobody(people, tmp_path):
    one, lines = reader(tmp_path)
    pairs = one.validation(people / "pairs.csv", 2)
    assert len(pairs.crops) == 6 and (tmp_path / "validation-2.npz").exists()
    assert lines == ["pairs.csv: faces on 6 of 7 photos; 1 x corrupt image (see scan.csv)"]
    for _ in range(2):
        (row,) = (tmp_path / "scan.csv").read_text().splitlines()[1:]
        assert row.startswith("pairs.csv,corrupt image,") and "blank.png" in row
        reader(tmp_path, resume=True)
    directions = {"p0": [1, 0, 0], "p1": [0, 1, 0], "p2": [0, 0, 1]}
    embeddings = np.float32([directions[file.split("/")[0]] for file in pairs.crops.files])
    assert pairs.measure(embeddings) == {"accuracy": 0.75}  # one of two is found, and no stranger


def test_all_pairs_are_measured_by_an_independent_count():
    crops = faces(12, 5)
    generator = np.random.default_rng(0)
    embeddings = np.eye(12)[crops.labels] + generator.normal(0, 0.25, (60, 12))
    embeddings = np.float32(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
    found = FaceValidation.of_people("drawn", crops).measure(embeddings)
    similarity = embeddings @ embeddings.T
    pairs = [(i, j) for i in range(60) for j in range(i)]
    genuine = sorted(similarity[i, j] for i, j in pairs if crops.identities[i] == crops.identities[j])
    impostor = sorted((similarity[i, j] for i, j in pairs if crops.identities[i] != crops.identities[j]), reverse=True)
    allowed = impostor[len(impostor) // 100]  # the first one that must not be accepted
    rate = np.mean([value > allowed for value in genuine])
    assert 0.2 < rate < 0.99 and found["TAR at FAR 1%"] == pytest.approx(rate, abs=1e-5)
    best = max(np.mean(np.array(genuine) >= t) + np.mean(np.array(impostor) < t) for t in genuine + impostor) / 2
    assert found["accuracy"] == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize(("people", "photos"), [(1, 5), (5, 1)])
def test_one_person_or_one_photo_each_is_too_little_to_measure_on(people, photos):
    with pytest.raises(DataError, match="drawn: takes two people, and two photos of one of them"):
        FaceValidation.of_people("drawn", faces(people, photos, unnamed=3))


def test_a_tenth_of_the_people_is_held_out_where_there_are_enough():
    few, crops, lines = faces(19, 2, unnamed=40), faces(30, 2, unnamed=5), []
    assert hold_out(few, 0, lines.append) == (few, [])
    learned, (validation,) = hold_out(crops, 0, lines.append)
    assert "too few people to hold some out" in lines[0] and lines[1].startswith("no validation set: 3 people")
    aside = validation.crops
    assert len(set(aside.identities)) == 3 and len(aside) == 6 and len(learned) == 59
    assert not set(aside.identities) & set(learned.identities)
    for seed in (0, 1):
        (again,) = hold_out(crops, seed, lines.append)[1]
        assert (set(again.crops.identities) == set(aside.identities)) is (seed == 0)


def test_faces_of_another_template_are_refused(people, tmp_path):
    faces(2, 2, template=TEMPLATE + 3).save(tmp_path / "moved.npz")
    one, _ = reader(tmp_path)
    one.agree("--initial model", TEMPLATE)
    with pytest.raises(UsageError, match=r"moved.npz: its faces are aligned to another template"):
        one.train([tmp_path / "moved.npz"])
    other, _ = reader(tmp_path)
    other.train([tmp_path / "moved.npz"])
    found = other.validation(people / "pairs.csv", 1)
    np.testing.assert_array_equal(found.crops.template, TEMPLATE + 3)  # photos follow
