"""Which photos a detector is trained on, which it is measured on, and under which names."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from drawn_sets import coco, draw, yolo

from vision_app.core.errors import DataError
from vision_app.data.names import COCO_CLASSES
from vision_app.detection.train.datasets import load_datasets


def load(data, validation=(), **options):
    lines = []
    return *load_datasets(data, validation, log=lines.append, **options), lines


def names(data):
    return {sample.name for sample in data.samples}


def test_splits_that_come_with_the_data_are_used(tmp_path):
    path = yolo(tmp_path / "set")
    data, (validation,), scanned, lines = load([path])
    assert (data.classes, len(data), len(validation.data)) == (("screw", "nut"), 6, 2)
    assert validation.name == "set val" and list(scanned) == ["set train", "set val"]
    assert lines[0] == "set train: 6 images, 12 boxes, 0 issues" and "boxes by class: screw 6, nut 6" in lines
    assert names(validation.data) == {"images/val/0.png", "images/val/1.png"}


@pytest.mark.parametrize("kind", [str, Path])
def test_one_set_is_taken_as_a_list_of_one_is(tmp_path, kind):
    path = yolo(tmp_path / "set")
    data, (validation,), scanned, _ = load(kind(path), kind(path))
    assert len(data) == 6 and validation.name == "set val" and list(scanned) == ["set train", "set val"]


def test_a_data_yaml_is_parsed_once(tmp_path, monkeypatch):
    parsed, parse = [], yaml.safe_load
    monkeypatch.setattr("yaml.safe_load", lambda text: parsed.append(text) or parse(text))
    path = yolo(tmp_path / "set")
    load([path])
    load([path], [path])
    assert len(parsed) == 2


def test_the_lists_of_a_voc_folder_are_used(tmp_path):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>40</xmax><ymax>40</ymax></bndbox>"
    (tmp_path / "voc" / "Annotations").mkdir(parents=True)
    (tmp_path / "voc" / "ImageSets" / "Main").mkdir(parents=True)
    for i, name in enumerate(("cat", "dog", "cow")):
        draw(tmp_path / "voc" / "JPEGImages" / f"{i}.png", [], seed=i)
        text = f"<annotation><object><name>{name}</name>{box}</object></annotation>"
        (tmp_path / "voc" / "Annotations" / f"{i}.xml").write_text(text)
    for split, stems in (("train", "1"), ("trainval", "0\n1"), ("test", "2")):
        (tmp_path / "voc" / "ImageSets" / "Main" / f"{split}.txt").write_text(stems)
    explicit = load([tmp_path / "voc"], [coco(tmp_path / "set", names=("dog",))])
    assert explicit[0].classes == ("dog",) and names(explicit[0]) == {"1.png"}
    (tmp_path / "voc" / "ImageSets" / "Main" / "val.txt").write_text("0")
    data, (validation,), _, _ = load([tmp_path / "voc"])
    assert (names(data), names(validation.data), validation.name) == ({"1.png"}, {"0.png"}, "voc val")
    assert data.classes == ("dog", "cat") == validation.data.classes


@pytest.mark.parametrize("line", ["trains: images/train", "train:"])
def test_what_is_kept_to_measure_on_is_not_trained_on_where_train_is_misspelled(tmp_path, line):
    path = yolo(tmp_path / "set")
    path.write_text(path.read_text().replace("train: images/train", line))
    for validation in ([], [coco(tmp_path / "other")]):
        with pytest.raises(DataError, match=rf"^{path}: has no 'train', only 'val'; "):
            load([path], validation)


def test_without_a_validation_set_a_tenth_is_held_out_by_the_seed(tmp_path):
    path = yolo(tmp_path / "set", splits=[("train", 20)])
    data, (validation,), scanned, lines = load([path], seed=3)
    assert (len(data), len(validation.data), validation.name) == (18, 2, "held out")
    assert not names(data) & names(validation.data) and len(scanned["set train"]) == 20
    assert lines[-1].startswith("no validation set: 2 images, drawn by the seed, held out")
    again, other = load([path], seed=3), load([path], seed=4)
    assert names(again[1][0].data) == names(validation.data) != names(other[1][0].data)
    alone = yolo(tmp_path / "alone", splits=[("train", 1)])
    with pytest.raises(DataError, match="one image cannot be both"):
        load([alone])


def test_a_validation_set_that_is_named_goes_before_the_datas_own(tmp_path):
    path, other = yolo(tmp_path / "set"), yolo(tmp_path / "other", splits=[("val", 1)])
    _, (validation,), _, _ = load([path], [other])
    assert (validation.name, len(validation.data)) == ("other val", 1)


def test_several_sets_are_joined_under_all_of_their_classes(tmp_path):
    one = coco(tmp_path / "one", names=("screw", "bolt"))
    data, validations, _, lines = load([one, yolo(tmp_path / "set")])
    assert data.classes == ("screw", "bolt", "nut") and len(data) == 9
    assert [one.name for one in validations] == ["set val"] and validations[0].data.classes == data.classes
    assert "one boxes and set train: 9 images, 21 boxes, 0 issues" in lines


def test_classes_that_come_to_cocos_are_cocos(tmp_path):
    voc_names = tuple({"couch": "sofa", "tv": "tvmonitor"}.get(name, name) for name in reversed(COCO_CLASSES))
    assert load([coco(tmp_path / "set", names=voc_names)])[0].classes == COCO_CLASSES
    assert load([coco(tmp_path / "few", names=("sofa",))])[0].classes == ("sofa",)
    assert load([coco(tmp_path / "told", names=("sofa",))], classes=COCO_CLASSES)[0].classes == COCO_CLASSES


def test_a_photo_that_is_trained_and_measured_on_is_reported(tmp_path):
    path = yolo(tmp_path / "set")
    shutil.copy(tmp_path / "set/images/train/3.png", tmp_path / "set/images/val/0.png")
    _, _, scanned, lines = load([path])
    assert scanned["set val"].report.kinds == {"duplicate photo": 1}
    assert any(line.startswith("duplicate photo: ") and "train/3.png (kept)" in line for line in lines)


def test_many_issues_of_a_kind_are_counted(tmp_path):
    path = yolo(tmp_path / "set", splits=[("train", 6), ("val", 1)])
    for i in range(5):
        (tmp_path / "set" / "labels" / "train" / f"{i}.txt").write_text("")
    _, _, scanned, lines = load([path])
    assert scanned["set train"].report.kinds == {"unlabeled image": 5}
    assert sum(line.startswith("unlabeled image: ") for line in lines) == 4 and "unlabeled image: 2 more" in lines


@pytest.mark.parametrize("broken", ["missing photo", "corrupt photo", "malformed image", "no json", "no such file"])
def test_a_validation_set_that_cannot_be_measured_on_is_refused(tmp_path, broken):
    data, validation = coco(tmp_path / "set"), coco(tmp_path / "val")
    named = "1.png"
    if broken == "missing photo":
        (tmp_path / "val" / "images" / "1.png").unlink()
    elif broken == "corrupt photo":
        (tmp_path / "val" / "images" / "1.png").write_bytes(b"no image")
    elif broken == "malformed image":
        content, named = json.loads(validation.read_text()), r"images\[3\]"
        validation.write_text(json.dumps({**content, "images": [*content["images"], {"id": 79}]}))
    elif broken == "no json":
        validation.write_text("{")
        named = validation.name
    else:
        validation = tmp_path / "val" / "other.json"
        named = validation.name
    with pytest.raises(DataError, match=named):
        load([data], [validation])


def test_the_ground_truth_goes_by_paths_and_boxes_may_stick_out(tmp_path):
    data, path = coco(tmp_path / "set"), coco(tmp_path / "val")
    content = json.loads(path.read_text())
    (tmp_path / "val" / "images" / "sub").mkdir()
    (tmp_path / "val" / "images" / "0.png").rename(tmp_path / "val" / "images" / "sub" / "0.png")
    content["images"][0]["file_name"] = "sub/0.png"
    content["annotations"][0]["bbox"] = [100, 20, 50, 40]
    path.write_text(json.dumps(content))
    _, (validation,), _, _ = load([data], [path])
    assert validation.name == "val boxes"
    folder = tmp_path / "val" / "images"
    assert validation.data.paths == [str(folder / name) for name in ("sub/0.png", "1.png", "2.png")]
    assert validation.data.samples[0].boxes.xyxy[0].tolist() == [100, 20, 120, 60]


def warnings(lines):
    return [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]


def test_photos_that_are_trained_and_measured_on_are_warned_of(tmp_path):
    path = yolo(tmp_path / "set", splits=[("train", 4)])
    path.write_text(path.read_text() + "val: images/train\n")
    *_, lines = load([path])
    (line,) = warnings(lines)
    first = tmp_path / "set" / "images" / "train" / "0.png"
    assert line.startswith(f"4 of the 4 images of set val are trained on too, such as {first}; ")
    data, other = coco(tmp_path / "one"), yolo(tmp_path / "other", names=("motorbike", "nut"))
    assert warnings(load([data], [data])[-1])[0].startswith("3 of the 3 images of one boxes are trained on too")
    assert warnings(load([other], [other])[-1]) == []


@pytest.mark.parametrize("lists", ["[images/train, images/val]\nval: images/val", "images/val\nval: images/linked"])
def test_each_photo_that_is_trained_and_measured_on_is_in_the_report(tmp_path, lists):
    path = yolo(tmp_path / "set")
    for part in ("images", "labels"):
        (tmp_path / "set" / part / "linked").symlink_to("val")
    path.write_text(f"train: {lists}\nnames: [screw, nut]\n")
    _, (validation,), scanned, lines = load([path])
    entries = [sentence for kind, sentence in scanned["set val"].report.entries if kind == "trained photo"]
    assert entries == [f"{sample.path} is trained on too (kept)" for sample in validation.data.samples]
    assert len(entries) == 2 and f"trained photo: {entries[1]}" in lines
    assert warnings(lines)[0].startswith("2 of the 2 images of set val are trained on too, ")


def test_classes_that_a_set_is_not_labeled_for_are_warned_of(tmp_path):
    one, other = coco(tmp_path / "one", names=("screw", "bolt")), yolo(tmp_path / "set")
    words = "; such objects in its images count as background, and the model learns not to find them"
    assert warnings(load([one, other])[-1]) == [
        f"one boxes is not labeled for nut{words}",
        f"set train is not labeled for bolt{words}",
    ]
    assert warnings(load([one, other], taught=True)[-1]) == warnings(load([one])[-1]) == []
    sofa = coco(tmp_path / "sofa", names=("sofa",))
    (line,) = warnings(load([sofa], classes=COCO_CLASSES)[-1])
    assert line == f"sofa boxes is not labeled for person, bicycle, car, motorcycle, airplane and 74 more{words}"


def test_a_validation_set_of_background_gives_a_warning(tmp_path):
    path = yolo(tmp_path / "set")
    for labels in (tmp_path / "set" / "labels" / "val").iterdir():
        labels.write_text("")
    _, (validation,), _, lines = load([path])
    assert validation.name == "set val" and not validation.data.has_boxes
    assert lines[-1] == ("warning: set val has no boxes: it neither chooses the best model nor stops the run early")


def test_photos_held_out_without_a_box_give_the_warning_too(tmp_path):
    path = coco(tmp_path / "set", photos=9, annotations=[])
    *_, lines = load([path])
    assert lines[-1].startswith("warning: held out has no boxes: ")
