"""Which photos are compared: lists of pairs, folders of people, tables of people."""

import numpy as np
import pytest

from vision_app.core.errors import DataError
from vision_app.faces.evaluate.pairs import compare_all, compare_listed, load_photos, numbers, share_of


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def unit(*degrees):
    return np.array([[np.cos(np.radians(d)), np.sin(np.radians(d))] for d in degrees], np.float32)


def test_a_list_of_pairs_gives_photos_folds_and_similarities(tmp_path):
    path = write(
        tmp_path / "pairs.csv", "file_a,file_b,same,fold,group",
        "a1.jpg,a2.jpg,1,7,x", "a1.jpg,b.jpg,0,9,", "b.jpg,c.jpg,0,9,y",
    )  # fmt: skip
    photos = load_photos(path, tmp_path / "photos")
    assert photos.files == ("a1.jpg", "a2.jpg", "b.jpg", "c.jpg")
    assert photos.paths[3] == tmp_path / "photos" / "c.jpg"
    assert photos.listed.folds.tolist() == [[0, 0], [1, 1], [1, 1]] and photos.listed.folds_given
    found = compare_listed(unit(0, 60, 90, 180), photos)
    np.testing.assert_allclose(found.similarity, [0.5, 0, 0], atol=1e-6)
    assert found.same.tolist() == [True, False, False] and found.groups.tolist() == ["x", "", "y"]
    assert photos.names is None and found.units.tolist() == [[0], [1], [2]]


def test_one_fold_is_refused_before_any_photo_is_read(tmp_path):
    path = write(tmp_path / "pairs.csv", "file_a,file_b,same,fold", "a1.jpg,a2.jpg,1,1", "a1.jpg,b.jpg,0,1")
    with pytest.raises(DataError, match="column fold is the same in all rows"):
        load_photos(path)


def test_folders_are_people_where_every_pair_agrees(tmp_path):
    rows = ["ada/1.jpg,ada/2.jpg,1", "ada/1.jpg,bob/1.jpg,0"]
    photos = load_photos(write(tmp_path / "agree.csv", "file_a,file_b,same", *rows))
    assert photos.names.tolist() == ["ada", "ada", "bob"] and photos.paths[0] == tmp_path / "ada/1.jpg"
    assert photos.listed.folds[1].tolist() == [share_of("ada", 10), share_of("bob", 10)]
    assert not photos.listed.folds_given
    assert compare_listed(unit(0, 0, 0), photos).units.tolist() == [[0, 0], [0, 1]]
    rows.append("ada/1.jpg,bob/2.jpg,1")  # the same person in two folders: folders are not people
    assert load_photos(write(tmp_path / "differ.csv", "file_a,file_b,same", *rows)).names is None


def test_a_list_may_say_who_is_on_the_photos(tmp_path):
    header = "file_a,file_b,same,identity_a,identity_b"
    photos = load_photos(write(tmp_path / "a.csv", header, "1.jpg,2.jpg,1,Ada,Ada", "1.jpg,3.jpg,0,Ada,Bob"))
    assert photos.names.tolist() == ["Ada", "Ada", "Bob"]
    for row, problem in (
        ("1.jpg,3.jpg,1,Ada,Bob", "contradicts itself"),
        ("1.jpg,3.jpg,0,Bob,Eve", "another identity"),
    ):
        with pytest.raises(DataError, match=f"row 3 .*{problem}"):
            load_photos(write(tmp_path / "b.csv", header, "1.jpg,2.jpg,1,Ada,Ada", row))


@pytest.mark.parametrize("row", ["1.jpg,2.jpg,maybe", "1.jpg,2.jpg", "1.jpg,,1"])
def test_an_invalid_row_is_named(tmp_path, row):
    with pytest.raises(DataError, match="row 3"):
        load_photos(write(tmp_path / "pairs.csv", "file_a,file_b,same", "1.jpg,2.jpg,1", row))


def test_a_table_of_people_is_measured_on_its_val_split(tmp_path):
    path = write(
        tmp_path / "people.csv", "file,identity,split,group",
        "1.jpg,Ada,val,x", "2.jpg,Bob,val,y", "3.jpg,,val,y", "4.jpg,Eve,train,", "5.jpg,Ada,val,x", "6.jpg,Dan,train,",
    )  # fmt: skip
    photos = load_photos(path)
    assert photos.files == ("1.jpg", "2.jpg", "5.jpg") and photos.groups.tolist() == ["x", "y", "x"]
    assert load_photos(path, split="train").names.tolist() == ["Eve", "Dan"]
    with pytest.raises(DataError, match="split test: names fewer than two people"):
        load_photos(path, split="test")


def test_all_pairs_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(9, 4)).astype(np.float32)
    embeddings[4] = np.nan
    names = np.array(["b", "a", "b", "c", "c", "a", "a", "d", "b"])
    groups = np.array([{"a": "x", "b": "x", "c": "", "d": "y"}[name] for name in names])
    found = compare_all(embeddings, names, groups)
    expected = [(i, j) for i in range(9) for j in range(i + 1, 9)]
    assert len(found) == len(expected)
    for n, (i, j) in enumerate(expected):
        np.testing.assert_allclose(found.similarity[n], embeddings[i] @ embeddings[j], rtol=1e-5)
        assert found.same[n] == (names[i] == names[j])
        assert "abcd"[found.units[n, 0]] == names[i] and "abcd"[found.units[n, 1]] == names[j]
        assert found.groups[n] == (groups[i] if groups[i] == groups[j] else "")
    kept = found.keep(found.same)
    assert kept.same.all() and len(kept) == found.same.sum()


def test_shares_are_even_and_never_change():
    counts = np.bincount([share_of(f"person {i}", 4) for i in range(2000)])
    assert len(counts) == 4 and (abs(counts - 500) < 80).all()
    assert [share_of(name, 10) for name in ("Ada", "Bob", "Eve")] == [1, 6, 1]


def test_people_are_numbered_in_the_order_of_their_names():
    assert numbers(np.array(["b", "a", "b"])).tolist() == [1, 0, 1]


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("True", "False"), ("yes", "no"), ("TRUE", "FALSE")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_pairs_as_other_programs_write_them(tmp_path, yes, no, encoding):
    lines = ["file_a,file_b,same", f"1.jpg,2.jpg,{yes}", f"1.jpg,3.jpg,{no}"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines), encoding=encoding)
    assert load_photos(tmp_path / "pairs.csv").pairs.same.tolist() == [True, False]
