"""`vision-app evaluate detector` as users run it, with the released model on photos with made-up ground truth."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from skimage import data

from vision_app.cli import main
from vision_app.detection.evaluate.plots import plot_errors

pytestmark = pytest.mark.slow

PLOTS = ("classes", "confusion", "errors", "f1", "precision_recall", "reliability")
TRUE = {  # VOC's name of the table; the dog is not there, and the thing on the table is nothing that the model finds
    "chelsea.png": [("cat", [5, 5, 430, 290]), ("dog", [400, 250, 50, 50])],
    "coffee.png": [("cup", [160, 10, 265, 290]), ("diningtable", [0, 0, 600, 400]), ("cup", [2, 2, 90, 30])],
}


def write_set(folder, **changes):
    """A COCO file with its photos; `changes` replace lists of it."""
    (folder / "images").mkdir(parents=True)
    names = sorted({name for boxes in TRUE.values() for name, _ in boxes})
    content = {"images": [], "annotations": [], "categories": [{"id": i, "name": n} for i, n in enumerate(names)]}
    for name, boxes in TRUE.items():
        photo = getattr(data, name.removesuffix(".png"))()
        Image.fromarray(photo).save(folder / "images" / name)
        content["images"].append({"id": name, "file_name": name, "width": photo.shape[1], "height": photo.shape[0]})
        content["annotations"] += [
            {
                "id": 0,
                "image_id": name,
                "category_id": names.index(label),
                "bbox": box,
                "difficult": int(label == "dog"),
            }
            for label, box in boxes
        ]
    path = folder / "boxes.json"
    path.write_text(json.dumps(content | changes))
    return path


@pytest.fixture(scope="module")
def ground_truth(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def evaluated(run_here, ground_truth, tmp_path_factory):
    """The folder that the command leaves, and what it said."""
    out = tmp_path_factory.mktemp("evaluated") / "new" / "out"
    done = run_here("evaluate", "detector", "--data", ground_truth, "--output", out)
    assert done.returncode == 0, done.stderr
    return out, done


def test_metrics_of_two_photos_are_those_counted_by_hand(evaluated, ground_truth):
    out, _ = evaluated
    figures = json.loads((out / "evaluation.json").read_text())
    expected = {"data": str(ground_truth), "split": None, "model": "yolo", "images": 2, "boxes": 4, "ignored_boxes": 1}
    assert {key: figures[key] for key in expected} == expected
    by_class = {row["class"]: row for row in figures["classes"]}
    assert by_class["cat"]["AP50"] == by_class["diningtable"]["AP50"] == 1.0  # the model calls it "dining table"
    assert by_class["cup"]["AP50"] == pytest.approx(51 / 101, abs=1e-4)  # one of two
    assert by_class["dog"]["AP50"] is None
    assert figures["AP50"] == pytest.approx((1 + 1 + 51 / 101) / 3, abs=1e-4)
    best = figures["best_f1"]
    assert (best["precision"], best["recall"]) == (1.0, 0.75) and 0.4 < best["confidence"] < 0.9
    assert best["f1"] == pytest.approx(2 * 3 / (3 + 4), abs=1e-4)
    names, counts = figures["confusion"]["classes"], np.array(figures["confusion"]["counts"])
    assert names == ["cat", "cup", "diningtable", "dog", "background"]
    assert counts.tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0] * 5, [0] * 5]
    assert figures["errors"][-1]["count"] == 1


def test_rows_are_those_of_the_detect_command(evaluated, ground_truth, run_here, tmp_path):
    out, _ = evaluated
    flags = ["--confidence", 0.01, "--iou", 0.6, "--max-detections", 100]
    photos = [ground_truth.parent / "images" / name for name in TRUE]
    assert run_here("detect", *photos, *flags, "--output", tmp_path).returncode == 0
    assert (out / "detections.jsonl").read_bytes() == (tmp_path / "detections.jsonl").read_bytes()


def test_plots_are_drawn_and_tables_written(evaluated):
    out, _ = evaluated
    for name in PLOTS:
        with Image.open(out / f"{name}.png") as image:
            assert image.width >= 600 and image.height >= 150
            assert 0.003 < (np.asarray(image.convert("L")) < 240).mean() < 0.9, name
    with (out / "classes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["class"], row["boxes"]) for row in rows] == [
        ("cat", "1"), ("cup", "2"), ("diningtable", "1"), ("dog", "0"),
    ]  # fmt: skip


def test_the_terminal_gets_a_summary(evaluated):
    out, done = evaluated
    lines = done.stdout.splitlines()
    assert lines[0].startswith("yolo on ") and lines[1].startswith("2 images, 4 objects of 3 classes (1 more do not")
    assert lines[2].startswith("AP 0.") and "AP50 0.835" in lines[2]
    assert any(line.startswith("diningtable ") for line in lines) and lines[-1].endswith(f" are in {out}")


def evaluate_rows(data, rows, output):
    """Evaluate the rows of a run; return the exit code."""
    return main(["evaluate", "detector", "--data", str(data), "--rows", str(rows), "--output", str(output)])


def test_rows_of_an_earlier_run_give_the_same_metrics(evaluated, ground_truth, tmp_path, capsys, monkeypatch):
    out, done = evaluated
    monkeypatch.setattr("vision_app.detection.evaluate.plots.PLOTS", {"errors": plot_errors})
    assert evaluate_rows(ground_truth, out / "detections.jsonl", tmp_path / "new") == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[:-1] == done.stdout.splitlines()[:-1] and said.err == ""
    for name in ("evaluation.json", "f1.csv", "errors.png"):
        assert (tmp_path / "new" / name).read_bytes() == (out / name).read_bytes(), name
    assert not (tmp_path / "new" / "detections.jsonl").exists()


def write_voc(folder):
    for part in ("Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    (folder / "ImageSets" / "Main" / "val.txt").write_text("chelsea\ncoffee\n")
    for name, boxes in TRUE.items():
        objects = "".join(
            f"<object><name>{label}</name><difficult>{int(label == 'dog')}</difficult><bndbox><xmin>{x + 1}</xmin>"
            f"<ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
            for label, (x, y, w, h) in boxes
        )
        stem = name.removesuffix(".png")
        (folder / "Annotations" / f"{stem}.xml").write_text(
            f"<annotation><filename>{name}</filename>{objects}</annotation>"
        )
    return folder


def write_yolo(folder):
    names = sorted({name for boxes in TRUE.values() for name, _ in boxes})
    for name, boxes in TRUE.items():
        height, width = getattr(data, name.removesuffix(".png"))().shape[:2]
        lines = [
            (names.index(label), (x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            for label, (x, y, w, h) in boxes
            if label != "dog"  # which this format cannot mark as difficult
        ]
        path = folder / "labels" / "val" / f"{name.removesuffix('.png')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(" ".join(map(str, line)) + "\n" for line in lines))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images/train\nval: images/val\nnames: {json.dumps(names)}\n")
    return folder / "data.yaml"


@pytest.mark.parametrize(("write", "photos"), [(write_voc, "JPEGImages"), (write_yolo, "images/val")])
def test_other_formats_give_the_same_metrics(write, photos, evaluated, ground_truth, tmp_path, monkeypatch):
    monkeypatch.setattr("vision_app.detection.evaluate.plots.PLOTS", {})
    path = write(tmp_path / "set")
    shutil.copytree(ground_truth.parent / "images", tmp_path / "set" / photos)
    words = ["evaluate", "detector", "--data", path, "--split", "val", "--output", tmp_path / "out"]
    assert main(list(map(str, words))) == 0
    figures, expected = (json.loads((out / "evaluation.json").read_text()) for out in (tmp_path / "out", evaluated[0]))
    assert (figures["data"], figures["split"], figures["boxes"]) == (str(path), "val", expected["boxes"])
    for name in ("AP", "AP50", "AP75", "APlarge", "best_f1"):
        assert figures[name] == expected[name], name


@pytest.mark.parametrize(
    ("parts", "flags", "split"),
    [
        (("train", "val", "test"), [], "val"),
        (("train", "test"), [], "test"),
        (("train", "val"), ["--split", "train"], "train"),
        (("train",), [], None),
    ],
)
def test_a_set_with_parts_is_measured_on_the_part_kept_for_it(
    parts, flags, split, evaluated, ground_truth, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("vision_app.detection.evaluate.plots.PLOTS", {})
    path = write_yolo(tmp_path / "set")
    folders = {part: "images/val" if part == (split or "train") else "images/other" for part in parts}
    for folder in set(folders.values()):
        shutil.copytree(ground_truth.parent / "images", tmp_path / "set" / folder)
    path.write_text(
        "".join(f"{part}: {folder}\n" for part, folder in folders.items()) + path.read_text().splitlines()[-1]
    )
    rows = (evaluated[0] / "detections.jsonl").read_text().replace(str(ground_truth.parent / "images"), "images/val")
    (tmp_path / "rows.jsonl").write_text(rows)
    words = ["evaluate", "detector", "--data", path, "--rows", tmp_path / "rows.jsonl", *flags]
    assert main([*map(str, words), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == f"yolo on {path}" + (f", {split}" if split else "")
    assert (f"{path}: using the split '{split}'; --split selects another one" in said.err) == (
        not flags and bool(split)
    )
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (figures["split"], figures["images"]) == (split, 2)


def test_rows_without_low_scores_give_a_warning(evaluated, ground_truth, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vision_app.detection.evaluate.plots.PLOTS", {})
    rows = [json.loads(line) for line in (evaluated[0] / "detections.jsonl").read_text().splitlines()]
    for row in rows:
        row["detections"] = [one for one in row["detections"] if one["score"] > 0.4]
    (tmp_path / "sure.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert evaluate_rows(ground_truth, tmp_path / "sure.jsonl", tmp_path / "out") == 0
    assert "sure.jsonl: no score is below 0." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--data", "none.json"], 2, "Invalid value for '--data': path 'none.json' does not exist."),
        (["--data", "set/boxes.json", "--model", "yolq"], 2, "unknown model 'yolq'; did you mean 'yolo'?"),
        (["--data", "set/boxes.json", "--device", "gpu"], 2, "--device gpu: must be auto, cpu, cuda or cuda:N"),
        (["--data", "set/boxes.json", "--rows", "none"], 2, "Invalid value for '--rows': file 'none' does not exist."),
        (["--data", "set/boxes.json", "--rows", "rows", "--model", "yolo"], 2,
         "--model yolo: not together with --rows, which holds the detections already"),
        (["--data", "set/boxes.json", "--rows", "rows"], 1, "the rows contain no 'chelsea.png'"),
        (["--data", "set/boxes.json", "--rows", "failed"], 1,
         "chelsea.png: truncated; fix the image or leave it out of the ground truth"),
        (["--data", "set/boxes.json", "--rows", "small"], 1, "chelsea.png: is 100 x 80, listed as 451 x 300"),
        (["--data", "set/boxes.json", "--rows", "set/boxes.json"], 2,
         "set/boxes.json: line 1 is not a valid row; give the detections.jsonl of a run as it was written"),
        (["--data", "set/boxes.json", "--rows", "styled"], 1, "chelsea.png: its row has no detections"),
        (["--data", "set/boxes.json", "--split", "val"], 2, "set/boxes.json: a COCO file has no splits"),
        (["--data", "set/broken.json"], 1, "set/broken.json: not a JSON file"),
        (["--data", "set/lost.json"], 1, "set/lost.json: missing image: gone.png is neither in set/images nor in "),
        (["--data", "set/odd.json"], 1, "set/odd.json: none of its classes is known to model 'yolo' (unicorn)"),
        (["--data", "set/empty.json"], 1, "set/empty.json: has no boxes"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(tmp_path, monkeypatch, capsys, words, code, message):
    monkeypatch.chdir(tmp_path)
    content = json.loads(write_set(tmp_path / "set").read_text())
    image = content["images"][0]
    variants = {
        "lost": {"images": [image | {"id": "gone", "file_name": "gone.png"}, *content["images"]]},
        "odd": {"categories": [{"id": 0, "name": "unicorn"}], "annotations": [content["annotations"][0]]},
        "empty": {"annotations": []},
    }
    for name, changes in variants.items():
        (tmp_path / "set" / f"{name}.json").write_text(json.dumps(content | changes))
    (tmp_path / "set" / "broken.json").write_text("{")
    row = {"file": "chelsea.png", "status": "ok", "error": None, "width": 451, "height": 300, "detections": []}
    for name, changes in {
        "rows": {"file": "other.png"},
        "failed": {"status": "failed", "error": "truncated", "width": None, "height": None},
        "small": {"width": 100, "height": 80},
        "styled": {"detections": None},
    }.items():
        (tmp_path / name).write_text(json.dumps(row | changes) + "\n")
    assert main(["evaluate", "detector", *words, "--output", "out"]) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"vision-app: {message}")
    assert not (tmp_path / "out").exists()  # nothing was detected first


def test_a_folder_with_something_in_it_is_left_alone(ground_truth, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["evaluate", "detector", "--data", str(ground_truth), "--output", str(tmp_path)]) == 2
    message = f"{tmp_path / 'mine.txt'}: exists already; write elsewhere or replace it with --overwrite"
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("output", ["set", "other/../set"])
def test_the_folder_of_the_data_gets_no_results_also_to_overwrite(tmp_path, capsys, output):
    path = write_set(tmp_path / "set")
    (tmp_path / "other").mkdir()
    before = sorted((tmp_path / "set").rglob("*"))
    words = ["evaluate", "detector", "--data", str(path), "--output", str(tmp_path / output), "--overwrite"]
    assert main(words) == 2
    assert f"holds the data {path}" in capsys.readouterr().err
    assert sorted((tmp_path / "set").rglob("*")) == before


def test_photos_that_cannot_be_read_are_all_named(tmp_path, capsys):
    path = write_set(tmp_path / "set")
    for name in TRUE:
        (tmp_path / "set" / "images" / name).write_bytes(b"no image")
    assert main(["evaluate", "detector", "--data", str(path), "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert all(f"{tmp_path / 'set' / 'images' / name}: " in error for name in TRUE)
    assert error.endswith("; fix or remove these")
    assert list((tmp_path / "out").iterdir()) == []  # so that the same command can be given again


def test_the_first_faults_of_a_set_are_listed_and_the_others_counted(tmp_path, capsys):
    path = write_set(tmp_path / "set")
    content = json.loads(path.read_text())
    content["images"] += [{"id": i, "file_name": f"gone{i}.png", "width": 9, "height": 9} for i in range(7)]
    path.write_text(json.dumps(content))
    assert main(["evaluate", "detector", "--data", str(path), "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert [f"gone{i}.png" in error for i in range(7)] == [True] * 5 + [False] * 2 and "; and 2 more; fix" in error


def write_rows(path, label, photos=TRUE):
    """Rows of a run that found something of one class."""
    rows = []
    for name in photos:
        height, width = getattr(data, name.removesuffix(".png"))().shape[:2]
        found = [{"label": label, "score": score, "box": [5, 5, 435, 295]} for score in (0.9, 0.01)] if label else []
        rows.append({"file": name, "status": "ok", "error": None, "width": width, "height": height, "model": "other"})
        rows[-1]["detections"] = found
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("label", "code", "words"),
    [
        ("Cat", 0, "boxes.json: takes 'cat' as 'Cat', which rows.jsonl knows"),
        ("elk", 1, "boxes.json: none of its classes is known to rows.jsonl (cat, cup, diningtable, dog)"),
        ("Dining Table", 0, "boxes.json: takes 'diningtable' as 'Dining Table', which rows.jsonl knows"),
        ("dining table", 0, ""),
        (None, 0, ""),  # a model may find nothing
    ],
)
def test_rows_of_other_classes_are_refused_and_those_in_another_case_understood(
    tmp_path, monkeypatch, capsys, label, code, words
):
    monkeypatch.setattr("vision_app.detection.evaluate.plots.PLOTS", {})
    monkeypatch.chdir(write_set(tmp_path / "set").parent)
    write_rows(tmp_path / "set" / "rows.jsonl", label)
    assert main(["evaluate", "detector", "--data", "boxes.json", "--rows", "rows.jsonl", "--output", "out"]) == code
    assert words in capsys.readouterr().err
    if code == 0:
        figures = json.loads((tmp_path / "set" / "out" / "evaluation.json").read_text())
        assert (figures["AP50"] > 0) == bool(label)
    else:
        assert not (tmp_path / "set" / "out").exists()


def test_photos_elsewhere_are_named_and_what_is_odd_is_told_in_a_line_each(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vision_app.detection.evaluate.plots.PLOTS", {})
    path = write_set(tmp_path / "set")
    content = json.loads(path.read_text())
    for row in content["annotations"]:
        row["bbox"] = list(map(str, row["bbox"]))
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    (tmp_path / "set" / "images").rename(tmp_path / "photos")
    (tmp_path / "photos" / "._coffee.png").write_bytes(b"\0\5\x16\7")
    write_rows(tmp_path / "rows.jsonl", "cat")
    words = ["evaluate", "detector", "--data", str(path), "--rows", str(tmp_path / "rows.jsonl")]
    assert main([*words, "--output", str(tmp_path / "none")]) == 1
    assert "--images names the folder that has it" in capsys.readouterr().err
    assert main([*words, "--images", str(tmp_path / "photos"), "--output", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"{path}: number written as text: 5, such as annotation 0 of chelsea.png: ['5', '5', '430', '290']"
    ]
