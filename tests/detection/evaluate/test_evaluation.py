"""What an evaluation leaves in its folder."""

import contextlib
import csv
import io
import json

import numpy as np
import pytest
from detection_tables import NAMES, as_coco, by_hand, made_up, table_of
from PIL import Image
from pycocotools.cocoeval import COCOeval

from vision_app.core.errors import DataError
from vision_app.detection.evaluate.curves import Sweep
from vision_app.detection.evaluate.evaluation import evaluate, measure_precision, summary, tables, to_dict, write_report
from vision_app.detection.evaluate.plots import PLOTS, write_plots

pytestmark = pytest.mark.slow

BOX, FAR, NOTHING = (0, 0, 10, 10), (100, 100, 110, 110), (50, 50, 60, 60)
TRUE = [("cat", BOX), ("cat", FAR), ("dog", BOX, "ignored")]
FOUND = [("cat", BOX, 0.9), ("cat", NOTHING, 0.3)]


@pytest.fixture(scope="module")
def small():
    return evaluate(by_hand(TRUE, FOUND, ("cat", "dog")))


def test_json_holds_the_figures_of_a_small_table(small):
    figures = to_dict(small)
    assert json.loads(json.dumps(figures)) == figures
    expected = {"images": 1, "boxes": 2, "ignored_boxes": 1, "detections": 2, "AP": 0.505, "AP50": 0.505, "AP75": 0.505}
    assert {key: figures[key] for key in expected} == expected
    assert figures["APlarge"] is None  # all boxes are small
    assert figures["best_f1"] == {"f1": 0.6667, "confidence": 0.9, "precision": 1.0, "recall": 0.5}
    cat, dog = figures["classes"]
    assert cat == {"class": "cat", "boxes": 2, "AP": 0.505, "AP50": 0.505, "f1": 0.6667, "confidence": 0.9}
    assert dog == {"class": "dog", "boxes": 0, "AP": None, "AP50": None, "f1": None, "confidence": None}
    assert figures["confusion"] == {"classes": ["cat", "dog", "background"], "counts": [[1, 0, 1], [0] * 3, [0] * 3]}
    assert figures["errors"][-1] == {"kind": "missed", "dAP50": 0.495, "count": 1}
    assert figures["expected_calibration_error"] == 0.2  # (0.1 + 0.3) / 2
    assert figures["reliability"][3] == {
        "from": 0.3, "to": 0.4, "detections": 1, "confidence": 0.3, "precision": 0.0,
    }  # fmt: skip
    assert figures["reliability"][0]["precision"] is None
    assert figures["precision_recall"]["0.50"] == [1.0] * 51 + [0.0] * 50
    assert figures["f1"]["f1"][30] == pytest.approx(0.5) and figures["f1"]["f1"][31] == pytest.approx(0.6667)


def test_files_hold_the_tables_and_are_the_same_in_every_run(small, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_report(small, tmp_path / folder, {"model": "made up"})
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    sheets = tables(small)
    assert files == sorted(["evaluation.json", *(f"{name}.csv" for name in sheets)])
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    content = json.loads((tmp_path / "a" / "evaluation.json").read_text())
    assert content == {"model": "made up"} | to_dict(small)
    for name, (columns, lines) in sheets.items():
        with (tmp_path / "a" / f"{name}.csv").open(newline="") as stream:
            head, *rest = csv.reader(stream)
        assert head == list(columns)
        assert rest == [["" if value is None else str(value) for value in line] for line in lines]


def test_curves_are_listed_for_all_and_for_each_class_with_objects(small):
    _, lines = tables(small)["precision_recall"]
    assert list(dict.fromkeys(line[:2] for line in lines)) == [(0.5, "(all)"), (0.75, "(all)"), (0.5, "cat")]
    _, lines = tables(small)["f1"]
    assert list(dict.fromkeys(line[0] for line in lines)) == ["(all)", "cat"] and len(lines) == 2 * 101


def test_the_summary_can_be_read(small):
    text = "\n".join(summary(small))
    assert "1 image, 2 objects of 1 class (1 more do not count), 2 detections" in text
    assert "AP 0.505  AP50 0.505  AP75 0.505  APsmall 0.505  APmedium -  APlarge -" in text
    assert "best F1 0.667 at confidence 0.90 (precision 1.000, recall 0.500)" in text
    assert "\ncat         2  0.505  0.505    0.667           0.90\n" in text and "dog" not in text
    assert text.endswith("missed                0.495        1")


def test_of_many_classes_the_summary_names_the_weakest():
    names = tuple(f"class {i:02}" for i in range(40))
    boxes = [(20.0 * i, 0.0, 20.0 * i + 10, 10.0) for i in range(40)]
    true = list(zip(names, boxes, strict=True))
    found = [(name, box, 0.9) for name, box in true if name not in ("class 07", "class 31")]
    text = list(summary(evaluate(by_hand(true, found, names))))
    assert "\nThe 10 weakest of 40 classes:" in text
    listed = [line.split("  ")[0] for line in text if line.startswith("class ") and "AP50" not in line]
    assert listed[:2] == ["class 07", "class 31"] and len(listed) == 10


def test_plots_are_whole_even_where_nothing_was_found(tmp_path):
    write_plots(evaluate(by_hand(TRUE, [])), tmp_path)
    for name in PLOTS:
        with Image.open(tmp_path / f"{name}.png") as image:
            pixels = np.asarray(image.convert("L"))
        inked = pixels < 250
        assert 0.003 < inked.mean() < 0.9, name
        assert not any(edge.any() for edge in (inked[:2], inked[-2:], inked[:, :2], inked[:, -2:])), name


def test_a_truth_without_objects_is_refused():
    with pytest.raises(DataError, match="no object to find"):
        evaluate(by_hand([("cat", BOX, "ignored")], [("cat", BOX, 0.9)]))


def test_nothing_found_is_no_error():
    figures = to_dict(evaluate(by_hand(TRUE, [])))
    assert (figures["AP"], figures["best_f1"]["f1"], figures["errors"][-1]["count"]) == (0.0, 0.0, 2)
    assert figures["errors"][-1]["dAP50"] == 1.0


def average_precision(truth, rows):
    """That of COCO-style content."""
    return measure_precision(table_of(truth, rows)).metrics


def best_confidence(truth, rows):
    """That of COCO-style content."""
    return Sweep.make(table_of(truth, rows)).best()


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_pycocotools(seed):
    truth, rows = made_up(seed)
    ids = {image["file_name"]: image["id"] for image in truth["images"]}
    predictions = [
        {"image_id": ids[row["file"].rsplit("/", 1)[-1]], "category_id": NAMES.index(one["label"]) + 1,
         "score": one["score"],
         "bbox": [*one["box"][:2], one["box"][2] - one["box"][0], one["box"][3] - one["box"][1]]}
        for row in rows for one in row["detections"]
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = as_coco(truth)
        evaluation = COCOeval(coco, coco.loadRes(predictions), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert list(average_precision(truth, rows).values()) == pytest.approx(evaluation.stats[:6].tolist(), abs=1e-6)


def single(**extra):
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 40], "area": 2000, "iscrowd": 0, **extra}
    images = [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}]
    return {"images": images, "categories": [{"id": 1, "name": "sofa"}], "annotations": [box]}


def row(box, label="couch"):
    return {"file": "x/a.jpg", "detections": [{"label": label, "score": 0.9, "box": box}]}


def test_one_right_box_is_perfect_and_one_shifted_by_half_is_not():
    assert average_precision(single(), [row([10, 10, 60, 50])])["AP"] == pytest.approx(1)
    assert average_precision(single(), [row([35, 10, 85, 50])])["AP50"] == pytest.approx(0)


def test_a_difficult_object_is_ignored():
    truth = single()
    truth["annotations"].append({**truth["annotations"][0], "id": 2, "bbox": [70, 70, 20, 20], "difficult": 1})
    found = row([10, 10, 60, 50])
    found["detections"].append({"label": "couch", "score": 0.99, "box": [70, 70, 90, 90]})
    assert average_precision(truth, [found])["AP"] == pytest.approx(1)


def test_classes_that_the_truth_does_not_list_are_left_out():
    found = row([10, 10, 60, 50])
    found["detections"].append({"label": "zebra", "score": 1.0, "box": [0, 0, 9, 9]})
    assert average_precision(single(), [found])["AP"] == pytest.approx(1)


def test_nothing_found_is_zero_where_there_is_something_to_find():
    nothing = average_precision(single(), [{"file": "a.jpg", "detections": []}])
    assert nothing == average_precision(single(), [row([80, 80, 90, 90])])
    assert nothing == {"AP": 0.0, "AP50": 0.0, "AP75": 0.0, "APsmall": -1.0, "APmedium": 0.0, "APlarge": -1.0}


def test_missing_and_doubled_rows_are_named():
    with pytest.raises(DataError, match=r"contain no 'a\.jpg'"):
        average_precision(single(), [])
    with pytest.raises(DataError, match=r"contain more than one 'a\.jpg'"):
        average_precision(single(), [row([0, 0, 1, 1]), row([0, 0, 1, 1])])


def test_images_in_sub_folders_meet_the_row_of_their_own_folder():
    truth = single()
    truth["images"][0]["file_name"] = "x/a.jpg"
    elsewhere = {"file": "photos/y/a.jpg", "detections": []}
    here = {**row([10, 10, 60, 50]), "file": "photos/x/a.jpg"}
    assert average_precision(truth, [elsewhere, here])["AP"] == pytest.approx(1)


def test_a_name_that_ends_another_gets_its_own_row():
    truth = single()
    truth["images"].append({"id": 2, "file_name": "x/a.jpg", "width": 100, "height": 100})
    rows = [{**row([10, 10, 60, 50]), "file": "photos/a.jpg"}, {"file": "photos/x/a.jpg", "detections": []}]
    assert average_precision(truth, rows)["AP"] == average_precision(truth, rows[::-1])["AP"] == pytest.approx(1)


def test_names_are_compared_as_they_are_before_their_other_names():
    truth = single()  # of a sofa
    assert average_precision(truth, [row([10, 10, 60, 50], "sofa")])["AP"] == pytest.approx(1)
    truth["categories"].append({"id": 2, "name": "couch"})  # a set that tells the two apart
    assert average_precision(truth, [row([10, 10, 60, 50], "couch")])["AP"] == pytest.approx(0)
    assert average_precision(truth, [row([10, 10, 60, 50], "sofa")])["AP"] == pytest.approx(1)


def test_area_may_be_missing():
    truth = single()
    del truth["annotations"][0]["area"]
    assert average_precision(truth, [row([10, 10, 60, 50])])["AP"] == pytest.approx(1)


@pytest.mark.parametrize(("score", "confidence"), [(0.29, 0.29), (0.57, 0.57), (0.58, 0.58), (0.5799, 0.57)])
def test_the_best_confidence_is_rounded_down_to_two_digits(score, confidence):
    found = row([10, 10, 60, 50])
    found["detections"][0]["score"] = score
    assert best_confidence(single(), [found])[0] == confidence


def test_best_confidence_keeps_the_right_boxes_and_drops_the_wrong_ones():
    truth = single()
    truth["annotations"].append({**truth["annotations"][0], "id": 2, "bbox": [70, 70, 20, 20], "difficult": 1})
    found = row([10, 10, 60, 50])
    found["detections"] += [
        {"label": "couch", "score": 0.97, "box": [70, 70, 90, 90]},  # difficult: does not count
        {"label": "zebra", "score": 0.96, "box": [0, 0, 9, 9]},  # not listed: does not count
        {"label": "couch", "score": 0.5, "box": [11, 11, 60, 50]},  # a second box on the same object
        {"label": "couch", "score": 0.4, "box": [0, 60, 20, 90]},
    ]
    assert best_confidence(truth, [found]) == (0.9, 1.0)
    found["detections"].append({"label": "couch", "score": 0.95, "box": [0, 0, 9, 9]})
    assert best_confidence(truth, [found]) == (0.9, pytest.approx(2 / 3))


@pytest.mark.parametrize("seed", range(3))
def test_best_confidence_equals_trying_every_score(seed):
    truth, rows = made_up(seed)
    confidence, f1 = best_confidence(truth, rows)
    tries = []
    for threshold in sorted({one["score"] for r in rows for one in r["detections"]}):
        kept = [{**r, "detections": [one for one in r["detections"] if one["score"] >= threshold]} for r in rows]
        tries.append((_f1(truth, kept), threshold))
    best_f1, best_threshold = max(tries)
    assert f1 == pytest.approx(best_f1)
    assert confidence == pytest.approx(best_threshold, abs=0.01)


def _f1(truth, rows) -> float:
    """F1 from counts, object by object."""
    right = wrong = 0
    wanted = sum(not (a["iscrowd"] or a["difficult"]) for a in truth["annotations"])
    for image, found in zip(truth["images"], rows, strict=True):
        used = set()
        for one in sorted(found["detections"], key=lambda one: -one["score"]):
            mine = [a for a in truth["annotations"]
                    if a["image_id"] == image["id"] and NAMES[a["category_id"] - 1] == one["label"]]  # fmt: skip
            ignored = [a for a in mine if a["iscrowd"] or a["difficult"]]
            overlaps = [(iou(one["box"], a["bbox"]), a["id"]) for a in mine if a not in ignored and a["id"] not in used]
            if overlaps and max(overlaps)[0] >= 0.5:
                used.add(max(overlaps)[1])
                right += 1
            elif not any(common(one["box"], a["bbox"]) >= 0.5 * area(one["box"]) for a in ignored):
                wrong += 1
    return 2 * right / (right + wrong + wanted)


def common(box, xywh) -> float:
    x, y, w, h = xywh
    return max(0.0, min(box[2], x + w) - max(box[0], x)) * max(0.0, min(box[3], y + h) - max(box[1], y))


def area(box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(box, xywh) -> float:
    return common(box, xywh) / (area(box) + xywh[2] * xywh[3] - common(box, xywh))
