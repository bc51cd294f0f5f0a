"""COCO-style files as people write them, good and bad, become samples and a report."""

import numpy as np
import pytest
from coco_files import CATEGORIES, annotation, image

from vision_app.core.errors import DataError
from vision_app.data.coco import load_coco
from vision_app.data.detection import load_detection
from vision_app.data.names import ALIASES, COCO_CLASSES, canonical


def test_boxes_labels_and_sizes_of_every_photo(write):
    rows = [annotation(1, [2, 3, 10, 20], category_id=3), annotation(2, [0, 0, 64, 48]), annotation(1, [5, 5, 7, 9])]
    found = load_detection(write([image(1), image(2), image(3)], rows), ["dog", "cat", "sofa"])
    assert found.classes == ("dog", "cat", "sofa") and found.report.problems == []
    first, second, third = found.samples
    assert first.path.name == "1.png" and (first.width, first.height) == (64, 48)
    np.testing.assert_array_equal(first.boxes.xyxy, [[2, 3, 12, 23], [5, 5, 12, 14]])
    assert first.boxes.xyxy.dtype == np.float32
    assert first.boxes.labels.tolist() == [2, 0] and first.boxes.scores.tolist() == [1, 1]
    assert second.boxes.labels.tolist() == [0]
    assert all(sample.labeled == {0, 2} and sample.exhaustive for sample in found.samples)
    # a photo without objects stays: it shows what is nothing
    assert third.boxes.xyxy.shape == (0, 4) and third.boxes.labels.shape == (0,)


def test_classes_of_the_file_itself_keep_their_names_and_are_each_there_once(write):
    categories = [*CATEGORIES, {"id": 9, "name": "dog"}, {"id": 1, "name": "couch"}]
    found = load_coco(write([image(1)], [annotation(1, [1, 1, 9, 9], category_id=9)], categories))
    assert found.classes == ("sofa", "dog", "couch")
    assert found.samples[0].boxes.labels.tolist() == [1] and found.samples[0].labeled == {0, 1, 2}


def test_other_names_of_the_same_things_are_understood_under_cocos_classes_alone(write):
    path = write([image(1)], [annotation(1, [1, 1, 9, 9], category_id=3), annotation(1, [3, 3, 9, 9], iscrowd=1)])
    (sample,) = load_detection(path, COCO_CLASSES).samples
    couch, dog = COCO_CLASSES.index("couch"), COCO_CLASSES.index("dog")
    assert sample.boxes.labels.tolist() == [couch, dog] and sample.boxes.ignored.tolist() == [False, True]
    assert sample.labeled == {couch, dog}
    with pytest.raises(DataError, match="category 'sofa' is none of the 2 classes"):
        load_detection(path, ["dog", "couch"])


def test_photos_may_lie_beside_the_file(write, tmp_path):
    path = write([image(1)])
    (tmp_path / "images" / "1.png").rename(tmp_path / "1.png")
    assert load_coco(path).samples[0].path == tmp_path / "1.png"


def test_entries_that_contradict_each_other_are_reported_and_left_out(write, tmp_path):
    rows = [annotation(6, [1, 1, 9, 9], category_id=99), annotation(8, [1, 1, 9, 9]), annotation(1, [2, 2, 9, 9])]
    rows += [annotation(2, [3, 3, 9, 9])]
    images = [image(6), image(1), image(2), image(3), image(4, file_name="1.png"), image(1, file_name="5.png")]
    path = write(images, rows)
    (tmp_path / "images" / "3.png").unlink()
    found = load_coco(path)
    assert [sample.path.name for sample in found.samples] == ["1.png", "2.png"]
    assert found.samples[0].boxes.xyxy.tolist() == [[2, 2, 11, 11]]
    kinds = {
        "annotation without image": 1,
        "unknown category": 1,
        "missing image": 1,
        "duplicate image": 2,
        "no usable box": 1,
    }
    assert found.report.kinds == kinds
    text = "\n".join(found.report.problems)
    for words in (
        "annotation 108 names image 8",
        "106 of 6.png: 99",
        "3.png is neither in",
        "1.png, id 4",
        "5.png, id 1",
    ):
        assert words in text


def test_annotations_of_other_images_alone_are_refused_and_do_not_make_these_background(write):
    with pytest.raises(DataError, match=r"none of its annotations is of an image that it lists \(annotation 109 names"):
        load_coco(write([image(1)], [annotation(8, [1, 1, 9, 9]), annotation(9, [1, 1, 9, 9])]))
    rows = [
        annotation(1, [1, 1, 9, 9]),
        annotation(2, [1, 1, 9, 9]) | {"image_id": "2.png"},
        annotation(9, [1, 1, 9, 9]),
    ]
    with pytest.raises(DataError, match=r"2 of 3 rows .* \(annotation without image: annotation 102 names image 2.png"):
        load_coco(write([image(1), image(2)], rows))
    found = load_coco(write([image(1)], [*[rows[0]] * 9, rows[2]])).report
    assert found.faults == ["annotation without image: annotation 109 names image 9, which is not listed"]


@pytest.mark.parametrize(("listed", "others"), [([1], [9]), ([1, 2], [3, 4, 5, 6, 7]), (["a"], ["b", "c"])])
def test_a_list_of_images_that_is_a_cut_of_the_annotations_is_read_with_a_word(write, listed, others):
    rows = [annotation(1, [1, 1, 9, 9]) | {"image_id": place} for place in [*others, *listed]]
    found = load_coco(write([image(place) for place in listed], rows))
    assert [len(sample.boxes) for sample in found.samples] == [1] * len(listed)
    assert found.report.faults == [] and found.report.problems == [
        f"annotation without image: {len(others)}, such as annotation 101 names image {others[0]}, which is not listed"
    ]


def test_two_categories_of_one_name_are_one_class_with_a_word(write):
    found = load_coco(write([image(1)], [annotation(1, [1, 1, 9, 9])], [*CATEGORIES, {"id": 9, "name": "dog"}]))
    assert found.report.problems == ["category listed twice: 1, such as 'dog' with the ids 7 and 9 (one class)"]


@pytest.mark.parametrize(
    ("named", "there", "found"),
    [
        ("p0.JPG", ["p0.jpg"], "p0.jpg"),
        ("P0.jpg", ["p0.jpg"], "p0.jpg"),
        ("sub/P0.JPG", ["sub/p0.jpg"], "p0.jpg"),
        ("/home/else/P0.JPG", ["p0.jpg"], "p0.jpg"),
        ("p0.JPG", ["p0.jpg", "P0.jpg"], None),
    ],
)
def test_a_photo_whose_name_differs_in_case_alone_is_taken_with_a_word(write, tmp_path, named, there, found):
    path = write([image(1)], [annotation(1, [1, 1, 9, 9])])
    path.write_text(path.read_text().replace("1.png", named))
    for name in there:
        (tmp_path / "images" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_bytes((tmp_path / "images" / "1.png").read_bytes())
    if found is None:
        with pytest.raises(DataError, match=r"p0\.JPG may be .*--images names the folder"):
            load_coco(path)
        return
    data = load_coco(path)
    assert [sample.path for sample in data.samples] == [tmp_path / "images" / there[0]]
    assert data.report.problems == [
        f"photo named in another case: 1, such as {tmp_path / 'images' / there[0]} for {named}"
    ]


@pytest.mark.parametrize(
    ("images", "written"),
    [
        ([1, 2, 3, 100000], ["000001", "000002", "000003", "100000"]),
        ([1, 2], ["1.0", "2.0"]),
        ([1, 2], [" 1", "2 "]),
        (["000001", "000002"], [1, 2.0]),
        (["000001", "000002"], ["000001", "000002"]),
        (["1", "2"], ["01", "02"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_ids_are_one_however_the_number_is_written(write, images, written):
    rows = [annotation(1, [1, 1, 9, 9 + i]) | {"image_id": place} for i, place in enumerate(written)]
    found = load_coco(write([image(one) for one in images], rows))
    assert [sample.boxes.xyxy.tolist() for sample in found.samples] == [[[1, 1, 10, 10 + i]] for i in range(len(rows))]
    assert found.report.faults == [] and len(found.report.counted) == (images != written)


def test_ids_that_differ_as_texts_and_not_as_numbers_are_refused(write):
    with pytest.raises(DataError, match=r"'1.png' and '01.png' have the ids '1' and '01', which are one number"):
        load_coco(write([image("1"), image("01")], [annotation(1, [1, 1, 9, 9])]))


def test_an_image_that_is_listed_twice_has_the_annotations_of_both(write):
    images = [image(1), image(2, file_name="1.png")]
    found = load_coco(write(images, [annotation(1, [1, 1, 9, 9]), annotation(2, [2, 2, 9, 9])]))
    assert [sample.boxes.xyxy.tolist() for sample in found.samples] == [[[1, 1, 10, 10], [2, 2, 11, 11]]]


@pytest.mark.parametrize("size", [{}, {"width": None, "height": None}, {"width": 0, "height": 0}, {"width": "64"}])
def test_a_size_that_is_left_out_is_the_photos(write, size):
    row = {"id": 1, "file_name": "1.png"} | size
    (found,) = load_coco(write([row], [annotation(1, [1, 1, 9, 9])])).samples
    assert (found.width, found.height) == (64, 48) and isinstance(found.width, int)


@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "categories 'a' and 'b' both have the id 1"),
        ([{"id": 1, "name": "a"}, {"id": "1", "name": "b"}], "categories 'a' and 'b' both have the id 1"),
        ([{"id": 1, "name": "a"}, {"id": 2, "name": "a "}], "categories 'a' and 'a ' differ in spaces alone"),
        ([{"id": 1, "name": ""}], "categories[0] has 'name': ''"),
        ([{"id": 1, "name": ["a"]}], "categories[0] has 'name': ['a']"),
        ([{"id": 1, "name": None}], "categories[0] has 'name': None"),
        ([{"id": 1, "name": True}], "categories[0] has 'name': True"),
        ([{"id": 1, "name": 7}, {"id": 2, "name": "no"}], ("7", "no")),
        ([{"id": 1, "name": "a"}, {"id": 1, "name": "a"}], ("a",)),
    ],
)
def test_names_of_categories(write, categories, expected):
    path = write([image(1)], [annotation(1, [1, 1, 9, 9], category_id=1)], categories)
    if isinstance(expected, tuple):
        assert load_coco(path).classes == expected
    else:
        with pytest.raises(DataError) as error:
            load_coco(path)
        assert expected in str(error.value)


def test_a_byte_order_mark_is_no_part_of_the_file(write):
    path = write([image(1)])
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
        assert len(load_coco(path)) == 1
        path.write_bytes(path.read_text(encoding=encoding).encode())


def test_photos_elsewhere(write, tmp_path):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    path = write([image(1), image(2)], [annotation(1, [1, 1, 9, 9])])
    for number in "12":
        (tmp_path / "images" / f"{number}.png").rename(tmp_path / "elsewhere" / "deep" / f"{number}.png")
    with pytest.raises(DataError, match="--images names the folder that has it"):
        load_coco(path)
    assert len(load_detection(path, images=[tmp_path / "elsewhere"])) == 2


def test_one_photo_that_is_all_that_is_found_for_two_images_is_neithers(write, tmp_path):
    path = write([image(1), image(2)])
    text = path.read_text().replace("1.png", "cam1/0.png").replace("2.png", "cam2/0.png")
    path.write_text(text.replace('"images": [', '"images": [{"id": 3, "file_name": "2.png"}, '))
    (tmp_path / "images" / "1.png").rename(tmp_path / "images" / "0.png")
    found = load_coco(path)
    assert [sample.name for sample in found.samples] == ["2.png"]
    assert found.report.kinds["duplicate image"] == 1 and len(found.report.faults) == 1


def test_what_macs_add_to_archives_is_no_image_of_the_set(write):
    found = load_coco(write([image(1), image(2, file_name="._1.png")], [annotation(1, [1, 1, 9, 9])]))
    assert [sample.name for sample in found.samples] == ["1.png"] and found.report.problems == []


def test_a_path_of_another_machine_becomes_the_name_that_is_left_of_it(write, tmp_path):
    path = write([image(1)])
    path.write_text(path.read_text().replace("1.png", "/home/else/images/1.png"))
    found = load_coco(path)
    assert [sample.name for sample in found.samples] == ["images/1.png"]
    assert found.report.problems == [
        f"photo found elsewhere: 1, such as {tmp_path / 'images' / '1.png'} for /home/else/images/1.png"
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00", "not a JSON file"),
        (b"{'images': []}", "not a JSON file"),
        (b"", "not a JSON file"),
        (b'{"images":' * 50_000, "not a JSON file (nested too deeply)"),
        (b"[1, 2]", "not a COCO file, it has no list 'images'"),
        (b'{"images": {}, "annotations": [], "categories": []}', "no list 'images'"),
        (b'{"images": [], "annotations": []}', "no list 'categories'"),
        (b'{"images": [], "annotations": [], "categories": []}', "none of its 0 images can be used (it lists none)"),
        (b'{"images": [], "annotations": [], "categories": [{"id": 1}]}', "categories[0] has no 'name'"),
    ],
)
def test_files_that_are_no_detection_set(tmp_path, content, words):
    path = tmp_path / "boxes.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load_coco(path)
    assert str(error.value).startswith(f"{path}: ") and words in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path, words in ((tmp_path / "none.json", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(DataError, match=words) as error:
            load_coco(path)
        assert str(path) in str(error.value)


def test_a_category_that_the_model_lacks_is_refused_by_name(write):
    with pytest.raises(DataError, match=r"boxes\.json: category 'dog' is none of the 2 classes"):
        load_detection(write([image(1)]), ["cat", "sofa"])


def test_without_one_photo_the_first_reason_is_given(write):
    with pytest.raises(DataError, match=r"none of its 2 images can be used \(missing image: 1.png"):
        load_coco(write([image(1), image(2)], photos=False))


def test_the_80_names_are_in_coco_s_order_and_voc_s_names_lead_to_them():
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    assert [COCO_CLASSES[i] for i in (0, 5, 16, 39, 57, 62, 79)] == [
        "person", "bus", "dog", "bottle", "couch", "tv", "toothbrush",
    ]  # fmt: skip
    voc = "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant"
    assert {canonical(name) for name in [*voc.split(), "sheep", "sofa", "train", "tvmonitor"]} <= set(COCO_CLASSES)
    assert not set(ALIASES) & set(COCO_CLASSES)
