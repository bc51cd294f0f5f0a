"""The data.yaml that people have, with its folders, lists and labels, becomes samples."""

import os
import re

import numpy as np
import pytest
from image_files import quadrants
from PIL import Image

from vision_app.core.errors import DataError, UsageError
from vision_app.data.detection import load_detection, open_dataset
from vision_app.data.names import COCO_CLASSES
from vision_app.data.yolo import YoloFile

NAMES = "names: [screw, nut]\n"


def load_yolo(path, split=None):
    """Everything of a data.yaml, or one split."""
    return YoloFile(path).load(split)


@pytest.fixture
def yolo(tmp_path):
    """Write a data.yaml, 64 x 48 photos by path, and label files by path."""

    def make(content, photos=(), labels=None):
        for name in photos:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(quadrants()).save(tmp_path / name)
        for name, rows in (labels or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(rows)
        (tmp_path / "data.yaml").write_text(content)
        return tmp_path / "data.yaml"

    return make


PHOTOS = ("images/train/a.png", "images/train/sub/b.png", "images/val/c.png")
LABELS = {"labels/train/a.txt": "0 0.5 0.5 0.5 0.25\n\n1 0.25 0.75 0.5 0.5\n", "labels/val/c.txt": "1 .5 .5 1 1"}
YAML = "train: images/train\nval: images/val\ntest:  # none\n" + NAMES


def names(data):
    return [sample.name for sample in data.samples]


def test_boxes_are_fractions_of_the_photo_and_photos_without_labels_are_background(yolo):
    found = load_yolo(yolo(YAML, PHOTOS, LABELS), split="train")
    assert found.classes == ("screw", "nut") and not found.report.entries
    first, second = found.samples
    assert (first.name, first.width, first.height) == ("images/train/a.png", 64, 48)
    np.testing.assert_array_equal(first.boxes.xyxy, [[16, 18, 48, 30], [0, 24, 32, 48]])
    assert (first.boxes.labels.tolist(), first.labeled) == ([0, 1], {0, 1})
    assert second.name == "images/train/sub/b.png" and second.boxes.xyxy.shape == (0, 4)


def test_splits_are_listed_and_loaded_by_name(yolo):
    path = yolo(YAML, PHOTOS, LABELS)
    assert YoloFile(path).splits == ["train", "val"]
    assert names(load_yolo(path, split="val")) == ["images/val/c.png"] and len(load_yolo(path)) == 3
    with pytest.raises(UsageError, match=r"data\.yaml: unknown split 'valid'; did you mean 'val'"):
        load_yolo(path, split="valid")


def test_a_turned_photo_has_the_size_that_people_see(yolo, tmp_path):
    sideways = Image.Exif()
    sideways[0x0112] = 8
    path = yolo(YAML, PHOTOS, LABELS)
    Image.fromarray(quadrants()).save(tmp_path / "images" / "val" / "c.png", exif=sideways)
    (found,) = load_yolo(path, split="val").samples
    assert (found.width, found.height, found.boxes.xyxy.tolist()) == (48, 64, [[0, 0, 48, 64]])


def test_outlines_become_the_boxes_around_them(yolo):
    rows = "0 0.25 0.5 0.5 0.25 0.75 0.5\n1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"
    (found,) = load_yolo(yolo("val: images\n" + NAMES, ["images/a.png"], {"labels/a.txt": rows})).samples
    np.testing.assert_allclose(found.boxes.xyxy, [[16, 12, 48, 24], [6.4, 4.8, 32, 24]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 2), (17, 3), (4, 3), (1, 2)])
def test_key_points_behind_a_box_are_no_outline(yolo, shape):
    content = f"val: images\nkpt_shape: {list(shape)}\nnames: [hand]\n"
    whole = "0 0.5 0.5 0.5 0.25" + " 0.1" * (shape[0] * shape[1])
    rows = [whole, *[whole.replace("5", "4")] * 2]
    bad = [whole + " 0.1", whole.removesuffix(" 0.1"), "0 0.5 0.5 0.5 0.25"]
    labels = {"labels/a.txt": "\n".join(rows), "labels/b.txt": "\n".join(bad)}
    found = load_yolo(yolo(content, ["images/a.png", "images/b.png"], labels))
    np.testing.assert_allclose(found.samples[0].boxes.xyxy, [[16, 18, 48, 30], [12.8, 13.44, 38.4, 24.96]], rtol=1e-6)
    assert found.report.kinds == {"malformed row": 3, "duplicate box": 1, "no usable box": 1}


@pytest.mark.parametrize(
    ("content", "photos", "expected"),
    [
        ("path: .\ntrain: images/train", PHOTOS, ["images/train/a.png", "images/train/sub/b.png"]),
        ("train: [images/train/sub, images/val]", PHOTOS, ["images/train/sub/b.png", "images/val/c.png"]),
        ("path: sets/one\ntrain: images", ["sets/one/images/a.png"], ["images/a.png"]),
        # made on another machine
        ("path: /content/datasets/one\ntrain: images/val", PHOTOS, ["images/val/c.png"]),
        # an export that writes one folder too many
        ("train: ../train/images", ["train/images/a.png"], ["train/images/a.png"]),
        ("train: list.txt", PHOTOS, ["images/val/c.png", "images/train/a.png"]),
    ],
)
def test_photos_are_found_where_people_keep_them(yolo, tmp_path, content, photos, expected):
    (tmp_path / "list.txt").write_text("./images/val/c.png\nimages/train/a.png\n\n")
    labels = {name.replace("images", "labels").replace("png", "txt"): "0 .5 .5 .5 .5" for name in photos}
    found = load_yolo(yolo(content + "\n" + NAMES, photos, labels), split="train")
    assert [name.removeprefix(f"{tmp_path}/") for name in names(found)] == expected
    assert all(sample.boxes.labels.tolist() == [0] for sample in found.samples)


def test_paths_in_a_list_may_be_absolute(yolo, tmp_path):
    (tmp_path / "list.txt").write_text(f"{tmp_path / PHOTOS[0]}\n{tmp_path / 'gone.png'}\n")
    found = load_yolo(yolo("train: list.txt\n" + NAMES, PHOTOS, LABELS))
    assert names(found) == ["images/train/a.png"]
    assert found.report.problems == [f"missing image: {tmp_path / 'gone.png'} is not there"]


@pytest.mark.parametrize("labels", ["photos/a.txt", "images/labels/a.txt", "images/images/a.txt"])
def test_labels_lie_in_labels_or_beside_the_photo(yolo, labels):
    photo = "photos/a.png" if labels.startswith("photos") else "images/images/a.png"
    found = load_yolo(yolo(f"val: {photo.partition('/')[0]}\n{NAMES}", [photo], {labels: "1 .5 .5 .5 .5"}))
    assert found.samples[0].boxes.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("lines", "classes", "label"),
    [
        ("names: {0: screw, 1: nut}", ("screw", "nut"), 1),
        ("names:\n  1: nut\n  0: screw", ("screw", "nut"), 1),
        ("names: {1: nut, 7: screw}", ("nut", "screw"), 0),
        ("nc: 2", ("class 0", "class 1"), 1),
        ("names: [no, 12]", ("no", "12"), 1),
        ("names: [007, 12:30]", ("007", "12:30"), 1),
        ("names: {0: on, 1: off}", ("on", "off"), 1),
        ("names: {'0': screw, '1': nut}", ("screw", "nut"), 1),
        ("names: [1.10, 2024-01-01]", ("1.10", "2024-01-01"), 1),
        ("names: ['null', '~']", ("null", "~"), 1),
        ("names: list.names", ("no", "nut 2"), 1),
    ],
)
def test_class_names_are_a_list_or_by_index(yolo, tmp_path, lines, classes, label):
    (tmp_path / "list.names").write_text("no\nnut 2\n\n", encoding="utf-8-sig")
    found = load_yolo(yolo(f"val: images\n{lines}\n", ["images/a.png"], {"labels/a.txt": "1 .5 .5 .5 .5"}))
    assert (found.classes, found.samples[0].boxes.labels.tolist()) == (classes, [label])


def test_entries_that_cannot_be_used_are_reported_with_their_line(yolo, tmp_path):
    rows = ["0 0.5 0.5 0.5 0.5", "0 .9 .5 .5 .5", "1 .5 .5 0 .5", "0 0.5 0.5 0.5 0.5"]
    bad = ["0 .5 .5 .5 .5", "2 .5 .5 .1 .1", "0.5 .5 .5 .1 .1", "0 .5 .5 .1", "0 .5 .5 .1 nan", "screw 1 2 3 4"]
    bad += ["0 .5 .5 .1 .1 .9", *[f"1 .5 .5 .{i} .{i}" for i in range(1, 6)]]
    photos = [f"images/{stem}.png" for stem in "abcde"]
    labels = {"labels/a.txt": "\n".join(rows), "labels/e.txt": "\n".join(bad)}
    path = yolo("val: [images, list.txt]\n" + NAMES, photos, labels)
    (tmp_path / "list.txt").write_text("images/a.png\n")
    (tmp_path / "labels" / "d.txt").write_bytes(b"\xff0 .5 .5 .5 .5")
    (tmp_path / "images" / "b.png").write_bytes(b"no image")
    found = load_yolo(path)
    assert names(found) == ["images/a.png", "images/c.png"]
    np.testing.assert_allclose(found.samples[0].boxes.xyxy[:2], [[16, 12, 48, 36], [41.6, 12, 64, 36]], rtol=1e-6)
    assert found.report.kinds == {
        "unknown category": 2, "malformed row": 4, "box out of range": 1, "empty box": 1, "duplicate box": 1,
        "corrupt image": 1, "duplicate image": 1, "malformed annotation": 1, "unknown object": 1,
    }  # fmt: skip
    text = "\n".join(found.report.problems)
    for stem, lines in (("a", rows), ("e", bad[:7])):
        for number, line in enumerate(lines[1:], start=2):
            assert f"{stem}.txt line {number}: {line}" in text


@pytest.mark.parametrize("row", ["0 .5 .5 .1", "screw .5 .5 .1 .1", "7 .5 .5 .1 .1", "0 32 24 16 12"])
def test_a_photo_of_which_no_row_is_usable_is_left_out(yolo, row):
    good = {f"labels/{stem}.txt": "1 .5 .5 .5 .5\n" * 6 for stem in "ab"}
    photos = [f"images/{stem}.png" for stem in "abcd"]
    found = load_yolo(yolo("val: images\n" + NAMES, photos, good | {"labels/c.txt": f"{row}\n\n", "labels/d.txt": ""}))
    assert names(found) == ["images/a.png", "images/b.png", "images/d.png"]
    assert found.report.problems[-1] == "no usable box: none of the 1 rows of images/c.png is usable (left out)"


@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        ("1 2 1 2", "2 of 4 rows of its labels have a class that 'names' lacks: class indices run 1..2, names 0..1"),
        ("7 8 7", "3 of 3 rows of its labels have a class that 'names' lacks: class indices run 7..8, names 0..1"),
        ("0 0.5 1", "1 of 3 rows of its labels have a class that 'names' lacks: class indices run 0..1, names 0..1"),
        ("0 1 0 1 / 2", None),
    ],
)
def test_classes_that_are_counted_otherwise_than_their_names_are_refused(yolo, rows, refused):
    labels = {
        f"labels/{stem}.txt": "".join(f"{index} .5 .5 .{place} .5\n" for place, index in enumerate(part.split(), 1))
        for stem, part in zip("ab", rows.split("/"), strict=False)
    }
    path = yolo("val: images\n" + NAMES, [f"images/{stem}.png" for stem in "ab"[: len(labels)]], labels)
    if refused is None:
        found = load_yolo(path)
        assert found.report.kinds == {"unknown category": 1, "no usable box": 1} and names(found) == ["images/a.png"]
    else:
        with pytest.raises(DataError) as error:
            load_yolo(path)
        assert str(error.value) == f"{path}: {refused}"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{0: screw, 5: nut}", "classes 1, 2, 3, 4"),
        ("{0: screw, 2: nut}", "class 1"),
        ("{1: screw, 2: nut}", "class 0"),
        ("{0: screw, 90000000: nut}", "classes 1, 2, 3, 4, 5 and 89,999,994 more"),
        ("{1: nut, 0: screw}", None),
        ("[screw, nut]", None),
    ],
)
def test_numbers_that_the_names_skip_are_told(yolo, given, words):
    index = 0 if "0:" in given or "[" in given else 1
    found = load_yolo(yolo(f"val: images\nnames: {given}", ["images/a.png"], {"labels/a.txt": f"{index} .5 .5 .5 .5"}))
    lines = [f"missing class name: 'names' has none for {words}"] if words else []
    assert (found.report.problems, found.report.faults) == (lines, [])


@pytest.mark.parametrize(("index", "refused"), [(3, True), (1, True), (6, False), (-1, False), (2.5, False)])
def test_labels_of_a_class_that_the_names_skip_are_refused_by_its_number(yolo, index, refused):
    good = "".join(f"{label} .5 .5 .{i} .5\n" for i in range(1, 10) for label in (0, 5))
    labels = {"labels/a.txt": good, "labels/b.txt": f"0 .5 .5 .5 .5\n{index} .5 .5 .2 .2"}
    if refused:
        labels["labels/a.txt"] += "4 .5 .5 .2 .2\n"  # of another class that 'names' skips, in an earlier file
    path = yolo("val: images\nnames: {0: screw, 5: nut}", ["images/a.png", "images/b.png"], labels)
    if refused:
        words = rf"rows of its labels have class {index}, for which 'names' has no name \(b.txt line 2: {index} .5 .5"
        with pytest.raises(DataError, match=f"data.yaml: {words}"):
            load_yolo(path)
    else:
        assert load_yolo(path).report.kinds["unknown category"] == 1


@pytest.mark.parametrize(("first", "last", "is_told"), [(1, 3, True), (0, 3, False), (1, 2, False)])
def test_classes_that_may_be_counted_from_one_are_told(yolo, first, last, is_told):
    rows = [f"{label} .5 .5 .{i + 10} .5\n" for i, label in enumerate([first] + [1] * 9 + [2])]
    labels = {"labels/a.txt": "".join(rows), "labels/b.txt": f"{last} .5 .5 .5 .5"}
    found = load_yolo(yolo("val: images\nnames: [screw, nut, bolt]", ["images/a.png", "images/b.png"], labels))
    told = "classes may be counted from 1: 1, such as the labels have classes 1 to 3, 'names' 0 to 2; then every object"
    assert any(line.startswith(told) for line in found.report.counts) == is_told


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.symlink_to("/nowhere/a.txt"), "No such file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.mkdir(), "not a regular file|Is a directory"),
        (lambda path: os.mkfifo(path), "not a regular file"),
    ],
)  # fmt: skip
def test_a_photo_whose_labels_cannot_be_read_is_left_out_and_no_background(yolo, tmp_path, make, why):
    path = yolo("val: images\nnames: [screw]", ["images/a.png", "images/b.png"], {"labels/a.txt": "0 .5 .5 .5 .5"})
    make(path.parent / "labels" / "b.txt")
    found = load_yolo(path)
    assert [sample.name for sample in found.samples] == ["images/a.png"]
    ((kind, sentence),) = found.report.entries
    assert kind == "malformed annotation" and "b.txt" in sentence and re.search(why, sentence)


def test_labels_without_a_photo_are_reported(yolo, tmp_path):
    row = "0 .5 .5 .5 .5"
    more = {"labels/train/gone.txt": row, "labels/val/sub/lost.txt": row, "labels/val/classes.txt": "screw\nnut\n"}
    path = yolo(YAML, PHOTOS, LABELS | more)
    for split, missing in (
        ("train", ["train/gone"]),
        ("val", ["val/sub/lost"]),
        (None, ["train/gone", "val/sub/lost"]),
    ):
        lines = [f"missing image: there is no photo for {tmp_path / 'labels' / name}.txt" for name in missing]
        assert load_yolo(path, split=split).report.faults == lines
    (tmp_path / "list.txt").write_text(f"{PHOTOS[0]}\n")  # the others belong to other lists
    path.write_text("train: list.txt\nval: images/train\n" + NAMES)
    assert not load_yolo(path, split="train").report.entries
    found = load_yolo(path).report
    assert found.kinds == {"duplicate image": 1, "missing image": 1}
    assert found.problems[0] == "duplicate image: images/train/a.png is listed twice, in train and in val"
    beside = yolo("val: photos\n" + NAMES, ["photos/a.png"], {"photos/a.txt": row, "photos/about.txt": "some text"})
    assert not load_yolo(beside).report.entries


@pytest.mark.parametrize(("key", "guess"), [("trains", "train"), ("Test", "test"), ("vla", "val"), ("pth", "path")])
def test_a_key_that_looks_like_a_misspelled_one_is_reported(yolo, key, guess):
    found = load_yolo(yolo(f"{key}: images/train\n{YAML}", PHOTOS, LABELS))
    assert found.report.problems == [f"unknown key: data.yaml has {key!r}; did you mean {guess!r}?"]
    assert found.report.faults == []


def test_keys_that_other_programs_read_pass(yolo):
    keys = ("download", "flip_idx", "kpt_names", "roboflow", "minival", "channels", "yaml_file", "license", "author")
    found = load_yolo(yolo("".join(f"{key}: something\n" for key in keys) + YAML, PHOTOS, LABELS))
    assert not found.report.entries


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("train: [", "not a YAML file"),
        ("- 1", "not a data.yaml"),
        ("a: &a [*a]\nnames: *a", "not a YAML file (an alias stands for what contains it)"),
        ("nc: 2000000000\ntrain: images", "'nc' is 2000000000; at most 100,000 classes can be told apart"),
        ("nc: 100001\ntrain: images", "'nc' is 100001; at most 100,000 classes can be told apart"),
        ("train: images", "'names' must list"),
        ("train: images\nnames: screw", "'names' must list"),
        ("train: images\nnames: x.names", "its 'names' are in x.names, which is not there"),
        ("train: images\nnames: data/x.txt", "its 'names' are in data/x.txt, which is not there"),
        ("train: images\nnames: {screw: 0}", "'names' must list"),
        (
            "train: images\nnames: {-1: screw, 0: nut}",
            "'names' must list the names of the classes, in order or by number",
        ),
        ("train: images\nnc: 3\n" + NAMES, "'nc' is 3, but 'names' lists 2"),
        ("train: images\nkpt_shape: 17\n" + NAMES, "'kpt_shape' must be two whole numbers"),
        (NAMES, "lists no images"),
        (
            "Train: images\n" + NAMES,
            "lists no images, it has none of the keys train, val, test; it has 'Train'; did you",
        ),
        ("train: images\nnames: [nut, screw, nut]", "'names' lists 'nut' more than once"),
        ("train: images\nnames: {0: 1, 1: '1'}", "'names' lists '1' more than once"),
        ("train: images\nnames: {0: screw, 0: nut}", "'names' has two names for class 0"),
        ("train: images\nnames: [null, b]", "'names' has nothing as the name of class 0"),
        ("train: images\nnames: [a, ~]", "'names' has nothing as the name of class 1"),
        ("train: images\nnames: ['', b]", "'names' has nothing as the name of class 0"),
        ("train: images\nnames: [[a, b]]", "'names' has ['a', 'b'] as the name of class 0"),
        ("train: images\nnames: []", "'names' must list"),
        ("train: image\n" + NAMES, "its train 'image' is not there; looked for "),
        ("train: empty\n" + NAMES, "none of its 0 images can be used"),
        ("train: images\n" + NAMES, "none of its 1 images has labels; those of "),
    ],
)
def test_files_that_are_no_data_set(yolo, tmp_path, content, words):
    (tmp_path / "empty").mkdir()
    path = yolo(content, ["images/a.png"])
    with pytest.raises(DataError) as error:
        load_yolo(path)
    assert str(error.value).startswith(f"{path}: ") and words in str(error.value) and "\n" not in str(error.value)


def test_given_classes_number_the_labels_and_must_cover_the_names(yolo):
    path = yolo("val: images\nnames: [sofa, dog]", ["images/a.png"], {"labels/a.txt": "0 .5 .5 .5 .5"})
    assert load_detection(path, COCO_CLASSES).samples[0].boxes.labels.tolist() == [COCO_CLASSES.index("couch")]
    with pytest.raises(DataError, match="category 'sofa' is none of the 1 classes"):
        load_detection(path, ["dog"])


MARK = "\ufeff"


def test_a_byte_order_mark_is_no_part_of_a_row_or_a_name(yolo, tmp_path):
    rows = f"{MARK}0 .5 .5 .5 .5\n1 .2 .2 .1 .1\n"
    (tmp_path / "list.txt").write_text(f"{MARK}images/a.png\r\nimages/b.png\r\n")
    path = yolo(f"{MARK}train: list.txt\n{NAMES}", ["images/a.png", "images/b.png"], {"labels/a.txt": rows})
    (tmp_path / "labels" / "b.txt").write_bytes("1 .5 .5 .5 .5\r\n".encode("utf-16"))
    found = load_yolo(path)
    assert [sample.boxes.labels.tolist() for sample in found.samples] == [[0, 1], [1]] and found.report.problems == []


@pytest.mark.parametrize(
    ("content", "listed", "photos", "labels"),
    [
        ("train: .\\images", "", ["images/a.png"], "labels/a.txt"),
        ("path: .\\parts\\screws\ntrain: images", "", ["parts/screws/images/a.png"], "parts/screws/labels/a.txt"),
        ("train: list.txt", "images\\a.png", ["images/a.png"], "labels/a.txt"),
        ("train: list.txt", "/home/else/set/images/a.png", ["images/a.png"], "labels/a.txt"),
        ("train: /home/else/set/images/train", "", ["images/train/a.png"], "labels/train/a.txt"),
        ("train: C:\\set\\images\\train", "", ["images/train/a.png"], "labels/train/a.txt"),
        ("train: list.txt", "data/obj_train_data/a.png", ["obj_train_data/a.png"], "obj_train_data/a.txt"),
        ("train: images", "", ["images/a.png"], "labels/a.TXT"),
    ],
)
def test_layouts_of_other_tools_and_machines(yolo, tmp_path, content, listed, photos, labels):
    (tmp_path / "list.txt").write_text(listed)
    found = load_yolo(yolo(f"{content}\n{NAMES}", photos, {labels: "1 .5 .5 .5 .5"}))
    assert [sample.path for sample in found.samples] == [tmp_path / name for name in photos]
    assert found.samples[0].boxes.labels.tolist() == [1] and found.report.faults == []


def test_another_splits_images_do_not_stand_for_one_that_is_gone(yolo):
    path = yolo("train: images\nval: ../valid/images\n" + NAMES, ["images/a.png"], {"labels/a.txt": "0 .5 .5 .5 .5"})
    with pytest.raises(DataError, match=r"its val '\.\./valid/images' is not there; .*; --images names the folder"):
        load_yolo(path)


def test_a_darknet_file_as_exports_have_it(yolo, tmp_path):
    yolo(
        "",
        ["obj_train_data/a.png"],
        {"obj_train_data/a.txt": "1 .5 .5 .5 .5", "train.txt": "data/obj_train_data/a.png"},
    )
    (tmp_path / "obj.names").write_text("screw\nnut\n")
    (tmp_path / "obj.data").write_text(
        "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    )
    dataset = open_dataset(tmp_path / "obj.data")
    found = dataset.load()
    assert dataset.splits == ["train"] and found.classes == ("screw", "nut")
    assert found.samples[0].boxes.labels.tolist() == [1]


def test_photos_elsewhere(yolo, tmp_path):
    path = yolo("train: images/train\n" + NAMES, ["elsewhere/a.png"], {"labels/a.txt": "1 .5 .5 .5 .5"})
    with pytest.raises(DataError, match="--images names the folder"):
        load_detection(path)
    found = load_detection(path, images=[tmp_path / "elsewhere"])
    assert found.samples[0].boxes.labels.tolist() == [1]


def test_hidden_files_of_macs_are_no_part_of_a_set(yolo, tmp_path):
    labels = {"labels/a.txt": "0 .5 .5 .5 .5", "labels/._a.txt": "x", "__MACOSX/images/._a.png": "x"}
    path = yolo("train: [images, list.txt]\n" + NAMES, ["images/a.png", "images/b.png"], labels)
    (tmp_path / "images" / "._a.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "list.txt").write_text("images/._b.png\n")
    found = load_yolo(path)
    assert names(found) == ["images/a.png", "images/b.png"] and found.report.problems == []


def test_photos_behind_a_linked_folder_belong_to_the_set(yolo, tmp_path):
    path = yolo("train: images\n" + NAMES, ["images/z.png", "store/0.png"], {"labels/train/0.txt": "1 .5 .5 .5 .5"})
    (tmp_path / "images" / "train").symlink_to(tmp_path / "store")
    found = load_yolo(path)
    assert names(found) == ["images/train/0.png", "images/z.png"] and found.report.problems == []


def test_two_photos_that_share_a_file_of_labels_are_told(yolo):
    found = load_yolo(
        yolo("train: images\n" + NAMES, ["images/a.jpg", "images/a.png"], {"labels/a.txt": "0 .5 .5 .5 .5"})
    )
    assert found.report.problems == ["shared labels: images/a.png and images/a.jpg both take a.txt, of the same name"]


@pytest.mark.parametrize("row", ["0 32 24 16 12", "0 50 50 25 25", "0 10 10 50 10 50 40", "1 600 400 100 50"])
def test_labels_in_pixels_or_percent_are_refused_as_such(yolo, row):
    path = yolo("val: images\n" + NAMES, ["images/a.png"], {"labels/a.txt": row})
    with pytest.raises(DataError, match=r"1 of 1 rows .* \(not normalized: a\.txt line 1: .* is in pixels or percent"):
        load_yolo(path)


def test_a_label_without_a_photo_is_not_named_as_the_place_of_anothers(yolo, tmp_path):
    path = yolo("train: images\n" + NAMES, ["images/a.png"], {"labels/3f2c-a.txt": "0 .5 .5 .5 .5"})
    with pytest.raises(DataError) as error:
        load_yolo(path)
    assert str(error.value) == (
        f"{path}: none of its 1 images has labels (there is no photo for {tmp_path / 'labels/3f2c-a.txt'}); "
        f"those of {tmp_path / 'images/a.png'} should be in {tmp_path / 'labels/a.txt'}"
    )
