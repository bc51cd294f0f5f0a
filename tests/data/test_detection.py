"""One set of boxes written in every format is read as the same set."""

import json

import numpy as np
import pytest
from image_files import quadrants
from PIL import Image

from vision_app.core.errors import DataError, UsageError
from vision_app.data.detection import load_detection, open_dataset

BOXES = {"a": [("cat", (8, 6, 24, 18))], "b": [("dog", (0, 0, 64, 48)), ("cat", (32, 24, 48, 36))]}


@pytest.fixture
def folder(tmp_path):
    """The same two photos with their boxes as COCO, VOC and YOLO know them."""
    for place in ("images", "voc/Annotations", "voc/JPEGImages", "voc/ImageSets/Main", "labels", "empty"):
        (tmp_path / place).mkdir(parents=True)
    images, annotations = [], []
    for number, (stem, rows) in enumerate(BOXES.items()):
        for place in (tmp_path / "images", tmp_path / "voc" / "JPEGImages"):
            Image.fromarray(quadrants()).save(place / f"{stem}.png")
        images.append({"id": number, "file_name": f"{stem}.png", "width": 64, "height": 48})
        lines, objects = [], ""
        for name, (x1, y1, x2, y2) in rows:
            label, w, h = ["cat", "dog"].index(name), x2 - x1, y2 - y1
            annotations.append({"id": 1, "image_id": number, "category_id": label, "bbox": [x1, y1, w, h]})
            lines.append(f"{label} {(x1 + w / 2) / 64} {(y1 + h / 2) / 48} {w / 64} {h / 48}")
            sides = f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            objects += f"<object><name>{name}</name><bndbox>{sides}</bndbox></object>"
        (tmp_path / "labels" / f"{stem}.txt").write_text("\n".join(lines))
        (tmp_path / "voc" / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{objects}</annotation>")
    (tmp_path / "voc" / "ImageSets" / "Main" / "val.txt").write_text("b\n")
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [cat, dog]\n")
    return tmp_path


@pytest.mark.parametrize(("name", "split"), [("boxes.json", None), ("voc", None), ("data.yaml", "train")])
def test_every_format_gives_the_same_set(folder, name, split):
    found = load_detection(folder / name, split=split)
    assert found.classes == ("cat", "dog") and not found.report.entries
    for sample, (stem, rows) in zip(found.samples, BOXES.items(), strict=True):
        assert (sample.path.name, sample.width, sample.height) == (f"{stem}.png", 64, 48)
        np.testing.assert_allclose(sample.boxes.xyxy, [box for _, box in rows], atol=1e-4)
        assert [found.classes[label] for label in sample.boxes.labels] == [name for name, _ in rows]
    swapped = load_detection(folder / name, classes=["dog", "cat"], split=split)
    assert [sample.boxes.labels.tolist() for sample in swapped.samples] == [[1], [0, 1]]


@pytest.mark.parametrize("name", ["boxes.json", "voc", "data.yaml"])
def test_two_classes_that_differ_in_case_alone_stay_two_and_are_told_in_every_format(folder, name):
    for file in (folder / "boxes.json", folder / "data.yaml", folder / "voc" / "Annotations" / "b.xml"):
        file.write_text(file.read_text().replace("dog", "Cat"))
    found = load_detection(folder / name, split="train" if name == "data.yaml" else None)
    assert sorted(found.classes) == ["Cat", "cat"] and found.boxes_per_class() == {"cat": 2, "Cat": 1}
    (line,) = found.report.problems
    assert line.startswith("classes that differ in case alone: 1, such as ") and "(two classes)" in line
    assert not found.report.faults


def test_yaml_and_voc_have_splits_and_a_coco_file_has_none(folder):
    found = [list(open_dataset(folder / name).splits) for name in ("boxes.json", "voc", "data.yaml")]
    assert found == [[], ["val"], ["train", "val"]]
    assert [sample.path.stem for sample in load_detection(folder / "voc", split="val").samples] == ["b"]
    with pytest.raises(UsageError, match=r"boxes\.json: a COCO file has no splits; name the file of 'val' instead"):
        load_detection(folder / "boxes.json", split="val")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".", r"neither Annotations/ nor \.xml files; did you mean .*data\.yaml\?"),
        ("empty", r"neither Annotations/ nor \.xml files$"),
        ("images/a.png", r"not a data set; give a COCO \.json, a data\.yaml or a folder"),
        ("none.yaml", "No such file"),
        ("none", "not a data set"),
    ],
)
def test_what_is_no_set_is_named_with_what_one_is(folder, name, words):
    with pytest.raises(DataError, match=words) as error:
        load_detection(folder / name)
    assert str(error.value).startswith(str(folder / name))


def test_a_folder_of_sets_hints_at_the_first(tmp_path):
    for name in ("VOC2012", "VOC2007"):
        (tmp_path / name / "Annotations").mkdir(parents=True)
    with pytest.raises(DataError, match=r"; did you mean .*VOC2007\?$"):
        load_detection(tmp_path)
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    (tmp_path / "coco" / "annotations" / "train.json").write_text("{}")
    (tmp_path / "coco" / "annotations" / "._a.json").write_text("{}")
    with pytest.raises(DataError, match=r"; did you mean .*coco/annotations/train\.json\?$"):
        load_detection(tmp_path / "coco")


def test_a_folder_of_yolos_photos_and_labels_needs_a_data_yaml(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=r"; for YOLO's images/ and labels/, write a data\.yaml with train, val and n"):
        load_detection(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("tmp/data.yaml", "path: ../sets/screws", "screws"),
        ("tmp/data.yaml", "path: .", "tmp"),
        ("tmp/dataset.yml", "train: images", "tmp"),
        ("tmp/screws.yaml", "path:", "screws"),
        ("tmp/boxes.json", "{}", "tmp boxes"),
        ("tmp/Annotations/a.xml", "", "tmp"),
    ],
)
def test_what_a_set_is_called(tmp_path, name, content, expected):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(content)
    path = tmp_path / "tmp" if name.endswith(".xml") else tmp_path / name
    assert open_dataset(path).title == expected
