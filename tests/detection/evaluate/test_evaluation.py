"""What an evaluation leaves in its folder."""

import csv
import json

import numpy as np
import pytest
from detection_tables import by_hand
from PIL import Image

from vision_app.core.errors import DataError
from vision_app.detection.evaluate.evaluation import evaluate, summary, tables, to_dict, write_report
from vision_app.detection.evaluate.plots import PLOTS, write_plots

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
    assert "1 images, 2 objects of 1 classes (1 more do not count), 2 detections" in text
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
