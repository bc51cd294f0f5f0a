"""Photos are found where people keep them, and not guessed where two could be meant."""

import pytest

from vision_app.core.errors import DataError
from vision_app.data.layout import ImageFolders, files_below, found_name, is_hidden, is_leftover, relocated
from vision_app.data.scan_report import ScanReport


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_files_below_a_folder_are_those_of_linked_folders_too_without_hidden_ones(tmp_path):
    write(tmp_path, "set/b.jpg", "set/A/c.JPG", "set/._b.jpg", "set/.cache/x.jpg", "set/__MACOSX/set/._b.jpg")
    write(tmp_path, "set/__MACOSX/y.jpg", "set/notes.txt", "store/d.png")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "circle").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found = files_below(tmp_path / "set", {".jpg", ".png"})
    assert [path.relative_to(tmp_path / "set").as_posix() for path in found] == ["A/c.JPG", "b.jpg", "linked/d.png"]
    assert files_below(tmp_path / "none", {".jpg"}) == []
    assert [is_hidden(name) for name in ("._a", ".a", "__MACOSX", "a", "MACOSX")] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/._b.jpg", True), ("._b.jpg", True), ("a\\._b.jpg", True), ("__MACOSX/a/b.jpg", True),
        ("a/b.jpg", False), ("a/.b.jpg", False), ("a._b.jpg", False),
    ],
)  # fmt: skip
def test_what_macs_add_to_archives(path, expected):
    assert is_leftover(path) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("images/a.jpg", "images/a.jpg"),
        (".\\images\\a.jpg", "images/a.jpg"),
        ("/home/else/set/images/a.jpg", "images/a.jpg"),
        ("D:\\set\\images\\a.jpg", "images/a.jpg"),
        ("data/obj_train_data/b.jpg", "obj_train_data/b.jpg"),
        ("/home/else/top.jpg", "top.jpg"),
        ("../else/train/images", "train/images"),
        ("images", "images"),
        ("/home/else/val/images", None),  # these images are of another split
        ("gone.jpg", None),
    ],
)
def test_the_longest_end_of_a_path_that_exists_is_taken(tmp_path, name, expected):
    write(tmp_path, "images/a.jpg", "a.jpg", "obj_train_data/b.jpg", "top.jpg", "train/images/c.jpg")
    found = relocated(name, [tmp_path])
    assert (found and found.relative_to(tmp_path).as_posix()) == expected


@pytest.mark.parametrize(
    ("json", "name", "photos", "expected"),
    [
        ("boxes.json", "a.jpg", ["images/a.jpg", "a.jpg"], "images/a.jpg"),
        ("boxes.json", "a.jpg", ["a.jpg", "../images/a.jpg"], "a.jpg"),
        ("annotations/instances_train2017.json", "a.jpg", ["train2017/a.jpg", "val2017/a.jpg"], "train2017/a.jpg"),
        ("annotations/train.json", "a.jpg", ["images/train/a.jpg", "images/val/a.jpg"], "images/train/a.jpg"),
        ("annotations/train.json", "a.jpg", ["images/a.jpg"], "images/a.jpg"),
        ("annotations/all.json", "a.jpg", ["photos/a.jpg"], "photos/a.jpg"),
        ("annotations/all.json", "train/a.jpg", ["photos/train/a.jpg"], "photos/train/a.jpg"),
        ("annotations/all.json", "images/x/a.jpg", ["images/x/a.jpg"], "images/x/a.jpg"),
        ("annotations/all.json", "C:\\x\\a.jpg", ["images/a.jpg"], "images/a.jpg"),
        ("sets/boxes.json", "a.jpg", ["images/a.jpg"], "images/a.jpg"),
        ("annotations/coco/val.json", "a.jpg", ["images/a.jpg"], "images/a.jpg"),
        ("annotations/coco/val.json", "a.jpg", ["val/a.jpg", "train/a.jpg"], "val/a.jpg"),
        ("sets/boxes.json", "a.jpg", ["other/a.jpg"], None),  # beside a folder that is not of annotations
        ("annotations/instances_val2017.json", "a.jpg", ["val2017/b.jpg", "train2017/a.jpg"], None),
    ],
)
def test_where_the_photos_of_a_json_file_are(tmp_path, json, name, photos, expected):
    root = tmp_path / "root"
    write(root, json, *photos)
    folders, report = ImageFolders.of_json(root / json), ScanReport()
    if expected is None:
        with pytest.raises(DataError, match=r"is neither in .*; --images names the folder that has it"):
            folders.find(name, report)
    else:
        assert folders.find(name, report).resolve() == root / expected
        assert bool(report.counted) == (":" in name or "photos" in expected)


@pytest.mark.parametrize(
    ("json", "name", "photos", "expected"),
    [
        ("instances_train.json", "1.png", ["val/1.png"], None),
        ("instances_train.json", "1.png", ["val2017/1.png", "photos/1.png"], "photos/1.png"),
        ("instances_train.json", "1.png", ["test_images/1.png"], None),
        ("train.json", "1.png", ["testset/1.png"], None),
        ("instances_train.json", "train/1.png", ["val/1.png"], None),
        ("boxes.json", "train/1.png", ["val/1.png"], None),
        ("boxes.json", "sub/1.png", ["val/1.png"], "val/1.png"),
        ("test.json", "1.png", ["Valid/1.png"], None),
        ("latest.json", "1.png", ["valley/1.png"], "valley/1.png"),
        ("instances_valid.json", "1.png", ["validation/1.png"], "validation/1.png"),
        ("train_small.json", "1.png", ["train/1.png", "train_small/1.png"], "train_small/1.png"),
        ("train.json", "1.png", ["train/1.png", "train_small/1.png"], "train/1.png"),
        ("instances_train2017.json", "1.png", ["train/1.png", "train2017/1.png"], "train2017/1.png"),
        ("train_small.json", "1.png", ["train/1.png", "train_small/2.png"], "train/1.png"),
    ],
)
def test_photos_of_another_split_are_not_taken_and_the_best_name_is(tmp_path, json, name, photos, expected):
    write(tmp_path, f"annotations/{json}", *photos)
    folders, report = ImageFolders.of_json(tmp_path / "annotations" / json), ScanReport()
    if expected is None:
        with pytest.raises(DataError, match="--images names the folder that has it"):
            folders.find(name, report)
    else:
        assert folders.find(name, report).relative_to(tmp_path).as_posix() == expected
        unmentioned = expected.startswith(("photos", "valley")) or name.startswith("sub")
        assert bool(report.counted) == unmentioned


def test_one_of_two_photos_of_a_name_is_not_guessed(tmp_path):
    write(tmp_path, "annotations/all.json", "one/a.jpg", "two/a.jpg", "elsewhere/x/a.jpg", "elsewhere/y/b.jpg")
    folders = ImageFolders.of_json(tmp_path / "annotations" / "all.json")
    with pytest.raises(DataError, match=r"a\.jpg may be .*one/a\.jpg or .*two/a\.jpg; --images names the folder"):
        folders.find("a.jpg", ScanReport())
    given = ImageFolders.of_json(tmp_path / "annotations" / "all.json", [tmp_path / "two"])
    assert given.find("a.jpg", ScanReport()) == tmp_path / "two" / "a.jpg"
    deep = ImageFolders.of_json(tmp_path / "annotations" / "all.json", [tmp_path / "elsewhere"])
    assert deep.find("sub\\b.jpg", ScanReport()) == tmp_path / "elsewhere" / "y" / "b.jpg"


def test_an_image_keeps_the_end_of_its_name_that_is_still_true(tmp_path):
    path = tmp_path / "images" / "a.jpg"
    for name, expected in (
        ("a.jpg", "a.jpg"), ("images\\a.jpg", "images\\a.jpg"), ("/x/images/a.jpg", "images/a.jpg"),
        ("/x/a.jpg", "a.jpg"), ("./a.jpg", "./a.jpg"),
    ):  # fmt: skip
        assert found_name(name, path) == expected
