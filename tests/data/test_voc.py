"""VOC folders as people have them: VOC's own layout, and XML files beside photos."""

import shutil

import numpy as np
import pytest
from image_files import quadrants
from PIL import Image

from vision_app.core.errors import DataError, UsageError
from vision_app.data.detection import load_detection
from vision_app.data.names import COCO_CLASSES
from vision_app.data.voc import load_voc, voc_splits


def objects(*rows, difficult=0):
    """`object` elements of (name, xmin, ymin, xmax, ymax)."""
    sides = ("xmin", "ymin", "xmax", "ymax")
    return "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><part><name>head</name></part><bndbox>"
        + "".join(f"<{side}>{value}</{side}>" for side, value in zip(sides, box, strict=True))
        + "</bndbox></object>"
        for name, *box in rows
    )


SIZE = "<size><width>64</width><height>48</height><depth>3</depth></size>"


def xml(content, filename="", size=SIZE):
    name = f"<filename>{filename}</filename>" if filename else ""
    return f"<annotation><folder>x</folder>{name}{size}{content}</annotation>"


@pytest.fixture
def voc(tmp_path):
    """Write a folder in VOC's layout from XML by stem, with a photo each, and its lists of splits."""

    def make(files, splits=None, layout=("Annotations", "JPEGImages"), suffix=".jpg"):
        for place in layout:
            (tmp_path / place).mkdir(exist_ok=True)
        for stem, content in files.items():
            (tmp_path / layout[0] / f"{stem}.xml").write_text(content)
            Image.fromarray(quadrants()).save(tmp_path / layout[-1] / f"{stem}{suffix}")
        for split, lines in (splits or {}).items():
            (tmp_path / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
            (tmp_path / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(lines) + "\n")
        return tmp_path

    return make


CAT, DOG = objects(("cat", 11, 6, 30, 25)), objects(("dog", 1, 1, 64, 48))


def test_pixels_count_from_one_and_a_box_holds_both_of_its_ends(voc):
    found = load_voc(voc({"b": xml(DOG + CAT), "a": xml(CAT)}))
    assert found.classes == ("cat", "dog") and not found.report.entries
    first, second = found.samples
    assert (first.path.name, first.name, first.width, first.height) == ("a.jpg", "a.jpg", 64, 48)
    np.testing.assert_array_equal(first.boxes.xyxy, [[10, 5, 30, 25]])  # 20 x 20 pixels
    np.testing.assert_array_equal(second.boxes.xyxy, [[0, 0, 64, 48], [10, 5, 30, 25]])
    assert second.boxes.labels.tolist() == [1, 0] and first.labeled == {0, 1}


def test_difficult_objects_are_ignored(voc):
    (found,) = load_voc(voc({"a": xml(CAT + objects(("dog", 1, 1, 9, 9), difficult=1))})).samples
    assert (found.boxes.labels.tolist(), found.boxes.ignored.tolist()) == ([0, 1], [False, True])
    assert found.boxes.xyxy[1].tolist() == [0, 0, 9, 9]


def test_splits_are_lists_of_names(voc):
    files = {stem: xml(CAT) for stem in "abcd"}
    lists = {"train": ["c", "a"], "val": ["b  1"], "cat_train": ["a 1"]}
    folder = voc(files, lists)
    assert voc_splits(folder) == ["train", "val"]
    for split, stems in (("train", "ca"), ("val", "b"), (None, "abcd")):
        assert [one.path.stem for one in load_voc(folder, split=split).samples] == list(stems)
    with pytest.raises(UsageError, match="unknown split 'vall'; did you mean 'val'"):
        load_voc(folder, split="vall")


@pytest.mark.parametrize("layout", [(".", "."), (".", "images"), ("Annotations", "images"), ("Annotations", ".")])
@pytest.mark.parametrize("suffix", [".png", ".JPG"])
def test_photos_may_lie_beside_the_xml_files_or_in_other_folders(voc, layout, suffix):
    folder = voc({"a": xml(CAT, filename="C:\\photos\\gone.jpg")}, layout=layout, suffix=suffix)
    assert load_voc(folder).samples[0].path.resolve() == (folder / layout[-1] / f"a{suffix}").resolve()


def test_the_photo_that_the_xml_names_goes_before_one_of_the_same_stem(voc):
    folder = voc({"a": xml(CAT, filename="b.png")})
    Image.fromarray(quadrants()).save(folder / "JPEGImages" / "b.png")
    assert load_voc(folder).samples[0].path.name == "b.png"


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_a_size_that_is_left_out_is_the_photos(voc, size):
    (found,) = load_voc(voc({"a": xml(CAT, size=size)})).samples
    assert (found.width, found.height) == (64, 48)


def test_entries_that_cannot_be_used_are_reported(voc):
    bad_boxes = objects(("cat", "x", 1, 2, 3), ("cat", 1, 1, "nan", 9), ("", 1, 1, 9, 9), ("cat", 9, 9, 5, 20))
    files = {
        "a": xml(bad_boxes + objects(("cat", 1, 1, 99, 40)) + "<object><name>cat</name></object>"),
        "b": "<annotation><object>",
        "c": xml(CAT),
        "d": xml(CAT, size="<size><width>wide</width><height>9</height></size>"),
        "e": xml(CAT, size=""),
        "f": xml(CAT),
        "g": xml(CAT + objects(*((("cat", 1, 1, x, 9)) for x in range(5, 10)))),
    }
    folder = voc(files)
    (folder / "JPEGImages" / "c.jpg").unlink()
    (folder / "JPEGImages" / "e.jpg").write_bytes(b"no image")
    (folder / "Annotations" / "f.xml").rename(folder / "f.txt")
    found = load_voc(folder)
    assert [sample.boxes.xyxy.tolist() for sample in found.samples] == [
        [[10, 5, 30, 25], *([0, 0, x, 9] for x in range(5, 10))]
    ]
    assert found.report.kinds == {
        "malformed row": 4, "empty box": 1, "box out of range": 1, "malformed annotation": 2, "missing image": 1,
        "corrupt image": 1, "image without annotation": 1, "unknown object": 1,
    }  # fmt: skip
    text = "\n".join(found.report.problems)
    for words in (
        "object 1 of a.xml has 'xmin': 'x', not a number", "object 2 of a.xml has 'xmax': 'nan', not a number",
        "object 3 of a.xml has no name", "object 4 of a.xml: [9.0, ",
        "object 5 of a.xml", "b.xml cannot be read", "photo of c.xml is in none of", "d.xml has a size", "e.jpg: not",
        "f.jpg has no XML file", "object 6 of a.xml has no xmin",
    ):  # fmt: skip
        assert words in text, words


def test_a_photo_of_which_no_object_is_usable_is_left_out(voc):
    found = load_voc(voc({"a": xml(objects(("cat", "x", 1, 2, 3))), "b": xml(CAT), "c": xml("")}))
    assert [sample.name for sample in found.samples] == ["b.jpg", "c.jpg"]
    assert found.report.problems[-1] == "no usable box: none of the 1 rows of a.jpg is usable (left out)"


def test_what_a_split_lists_but_is_not_there(voc):
    found = load_voc(voc({"a": xml(CAT)}, {"train": ["a", "b", "a"]}), split="train")
    assert found.report.kinds == {"missing annotation": 1, "duplicate image": 1} and len(found) == 1


def test_a_photo_that_two_xml_files_name_counts_once(voc):
    found = load_voc(voc({"a": xml(CAT, filename="a.jpg"), "b": xml(DOG, filename="a.jpg")}))
    assert [sample.boxes.labels.tolist() for sample in found.samples] == [[0]]
    # b.jpg belongs to b.xml by its name, which the other name goes before
    assert found.report.problems == [
        "renamed photo: b.xml names a.jpg, though b.jpg is there (took a.jpg)",
        "duplicate image: b.xml is not the first to name a.jpg",
    ]


def test_classes_may_be_given_and_vocs_own_names_are_understood_under_cocos(voc):
    folder = voc({"a": xml(objects(("sofa", 1, 1, 9, 9)))})
    assert load_voc(folder).classes == ("sofa",)
    assert load_detection(folder, COCO_CLASSES).samples[0].boxes.labels.tolist() == [COCO_CLASSES.index("couch")]
    with pytest.raises(DataError, match="category 'sofa' is none of the 1 classes"):
        load_detection(folder, ["couch"])


def test_a_folder_without_a_usable_entry_says_the_first_reason(voc):
    folder = voc({"a": "<"})
    with pytest.raises(DataError, match=r"none of its 1 XML files can be used \(malformed annotation: a\.xml"):
        load_voc(folder)


@pytest.mark.parametrize(
    ("element", "ignored"),
    [
        ("<difficult>1</difficult>", True), ("<Difficult>1</Difficult>", True), ("<difficult>True</difficult>", True),
        ("<difficult>yes</difficult>", True), ("<difficult>0</difficult>", False), ("<difficult/>", False),
        ("<difficult>False</difficult>", False), ("<difficult>Unspecified</difficult>", False), ("", False),
    ],
)  # fmt: skip
def test_what_counts_as_difficult(voc, element, ignored):
    found = load_voc(voc({"a": xml(CAT.replace("<difficult>0</difficult>", element))}))
    assert found.samples[0].boxes.ignored.tolist() == [ignored]
    told = ["unknown flag: 1, such as object 1 of a.xml: 'difficult' is 'Unspecified' (taken as not set)"]
    assert found.report.problems == told * ("Unspecified" in element)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            '<annotations><image name="a.jpg"><box label="a" xtl="4"/></image></annotations>',
            "its root is <annotations>",
        ),
        (f'<annotation xmlns="http://x">{SIZE}{CAT}</annotation>', "its root is <{http://x}annotation>"),
        ("<html><object><name>a</name></object></html>", "its root is <html>"),
        (xml(""), "not a VOC folder, none of its 1 XML files has an <object> with a name"),
        (f"<annotation>{SIZE}<polygon/></annotation>", "a.xml is not VOC's, it has <polygon> and no <object>"),
        (xml("<object><name>a</name><polygon/></object>"), "1 of 1 rows of its annotations cannot be used"),
    ],
)
def test_xml_of_other_tools_is_not_voc(voc, content, words):
    with pytest.raises(DataError) as error:
        load_voc(voc({"a": content}))
    assert words in str(error.value)


FOREIGN = f"<annotation>{SIZE}<objects><item><name>cat</name></item></objects></annotation>"


def test_xml_of_another_tool_among_vocs_is_no_background(voc):
    empty = xml("<path>a</path><source><database>x</database></source><owner/><segmented>0</segmented>")
    found = load_voc(voc({"a": xml(CAT), "b": FOREIGN, "c": empty, "d": "<annotation"}))
    assert [sample.name for sample in found.samples] == ["a.jpg", "c.jpg"]
    assert found.report.faults[0] == "malformed annotation: b.xml is not VOC's, it has <objects> and no <object>"


@pytest.mark.parametrize("other", [FOREIGN, "<annotation", "<annotations/>"])
def test_a_folder_of_which_most_xml_is_of_another_tool_is_refused(voc, other):
    folder = voc({"a": xml(CAT * 9 + DOG), "b": other, "c": other}, {"val": ["a", "b", "c", "gone"]})
    for split in (None, "val"):
        with pytest.raises(DataError, match=r"2 of 3 XML files cannot be used \(b.xml "):
            load_voc(folder, split)


def test_a_split_of_background_is_one_where_other_files_have_objects(voc):
    folder = voc({"a": xml(CAT), "b": xml("")}, {"val": ["b"]})
    found = load_voc(folder, split="val")
    assert (found.classes, [len(sample.boxes) for sample in found.samples]) == ((), [0])


@pytest.mark.parametrize(
    ("line", "stem"),
    [("a b", "a b"), ("a b  -1", "a b"), ("a b 1", "a b"), ("c.jpg", "c"), ("c 0", "c"), ("sub\\d", "sub/d")],
)
def test_names_in_lists(voc, line, stem):
    folder = voc({"a b": xml(CAT), "c": xml(DOG)}, {"train": [line, "._c"]})
    for place, name in (("Annotations", "d.xml"), ("JPEGImages", "d.jpg")):
        (folder / place / "sub").mkdir()
        shutil.copy(folder / place / f"c{name[1:]}", folder / place / "sub" / name)
    (folder / "ImageSets" / "Main" / "train.txt").write_text(f"{line}\n._c\n", encoding="utf-8-sig")
    (found,) = load_voc(folder, split="train").samples
    assert found.path == folder / "JPEGImages" / f"{stem}.jpg"


def test_sub_folders_upper_case_suffixes_and_other_names_of_folders(tmp_path):
    for name, suffix in (("one/a", ".XML"), ("two/a", ".xml")):
        for place in ("annotations", "images"):
            (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "annotations" / f"{name}{suffix}").write_text(xml(CAT if "one" in name else DOG, filename="a.jpg"))
        Image.fromarray(quadrants()).save(tmp_path / "images" / f"{name}.jpg")
    for place, name in (("annotations/one", "._a.xml"), ("images/one", "._a.jpg"), ("annotations/__MACOSX", "b.xml")):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / name).write_bytes(b"\0\5\x16\7")
    found = load_detection(tmp_path)
    assert [(sample.path, sample.boxes.labels.tolist()) for sample in found.samples] == [
        (tmp_path / "images" / "one" / "a.jpg", [0]), (tmp_path / "images" / "two" / "a.jpg", [1]),
    ]  # fmt: skip
    assert found.report.problems == []


def test_sub_folders_called_like_splits_are_these(tmp_path):
    for split, content in (("train", CAT), ("valid", DOG)):
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.xml").write_text(xml(content))
        Image.fromarray(quadrants()).save(tmp_path / split / "a.jpg")
    assert voc_splits(tmp_path) == ["train", "val"]
    assert [sample.path.parent.name for sample in load_detection(tmp_path, split="val").samples] == ["valid"]
    assert len(load_detection(tmp_path)) == 2


def test_photos_elsewhere(voc, tmp_path):
    folder = voc({"a": xml(CAT, filename="a.jpg")})
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (folder / "JPEGImages" / "a.jpg").rename(tmp_path / "elsewhere" / "deep" / "a.jpg")
    with pytest.raises(DataError, match="--images names the folder that has it"):
        load_detection(folder)
    assert len(load_detection(folder, images=[tmp_path / "elsewhere"])) == 1


def test_the_folder_of_annotations_itself_may_be_given(voc):
    found = load_detection(voc({"a": xml(CAT)}) / "Annotations")
    assert [sample.path.name for sample in found.samples] == ["a.jpg"]


def test_two_photos_of_one_stem_are_told(voc):
    folder = voc({"a": xml(CAT)})
    Image.fromarray(quadrants()).save(folder / "JPEGImages" / "a.png")
    assert load_voc(folder).report.problems == ["shared labels: a.xml may be of a.jpg or a.png (took the first)"]
