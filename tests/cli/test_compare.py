"""`vision-app compare` as users run it: the released detector and a tiny one on photos, one of them no photo."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from skimage import data
from tiny_detectors import write_tiny

from vision_app import Detector, __version__, draw, read_image
from vision_app.batch.run import cores
from vision_app.cli import main
from vision_app.detection.compare.files import SMALL
from vision_app.detection.compare.table import agree

pytestmark = pytest.mark.slow

NAMES = ("chelsea.png", "coffee <b>&amp; 'tea' \"x\"#1?.png", "notes.png")
TRUE = {NAMES[0]: [("cat", [5, 5, 430, 290])], NAMES[1]: [("cup", [160, 10, 265, 290]), ("cup", [2, 2, 90, 30])]}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return f"yolo,{write_tiny(tmp_path_factory.mktemp('models') / 'tiny')}"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with a COCO file beside its images, one of which is no image and has no ground truth."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "images").mkdir()
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "cup"}]}
    for name, photo in zip(NAMES, (data.chelsea(), data.coffee()), strict=False):
        Image.fromarray(photo).save(folder / "images" / name)
        height, width, _ = photo.shape
        content["images"].append({"id": name, "file_name": name, "width": width, "height": height})
        content["annotations"] += [
            {"id": 0, "image_id": name, "category_id": 1 if label == "cat" else 2, "bbox": box}
            for label, box in TRUE[name]
        ]
    (folder / "images" / NAMES[2]).write_text("no photo")
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def words(models, photos):
    flags = ["--models", models, "--ground-truth", photos / "boxes.json", "--runtime", "onnx", "--threads", 1]
    return list(map(str, ["compare", photos / "images", *flags]))


@pytest.fixture(scope="module")
def compared(words, tmp_path_factory):
    """The folder that the command leaves."""
    out = tmp_path_factory.mktemp("compared") / "out"
    assert main([*words, "--output", str(out)]) == 1  # one file failed
    return out


def read(out):
    return [json.loads(line) for line in (out / "comparison.jsonl").read_text().splitlines()]


def test_rows_are_what_each_detector_finds(compared, models, photos):
    rows = read(compared)
    expected = [(name, str(photos / "images" / file)) for name in models.split(",") for file in sorted(NAMES)]
    assert [(row["model"], row["file"]) for row in rows] == expected
    for row in rows:
        if row["file"].endswith("notes.png"):
            assert row["status"] == "failed" and "not an image" in row["error"]
        else:
            found = Detector.load(row["model"])(row["file"]).to_dict()
            assert row["detections"] == found["detections"]
            assert len(row["doubtful"]) >= len(found["detections"])


def test_the_table_sums_up_the_rows(compared, models, photos):
    content = json.loads((compared / "comparison.json").read_text())
    (yolo, tiny), names = content["models"], models.split(",")
    assert [line["model"] for line in content["models"]] == names
    assert (yolo["pictures"], yolo["failed"], yolo["judged"]) == (2, 1, 2)
    assert yolo["AP50"] > 0.5 > tiny["AP50"] and yolo["multiply_adds"] > tiny["multiply_adds"] > 0
    assert yolo["agreement"] is None
    assert content["run"] == {"version": __version__, "cores": cores(), "truth": "boxes.json"}
    for line in (yolo, tiny):
        confidence = Detector.load(line["model"]).defaults["confidence"]
        ran = (line["confidence"], line["device"], line["runtime"], line["threads"])
        assert ran == (confidence, "cpu", "onnx", 1)
    assert "onnx on cpu, threads: 1; cores:" in (compared / "report.html").read_text()
    first, second = (Detector.load(name) for name in names)
    for image in content["pictures"]:
        if image["file"].endswith("notes.png"):
            assert image["agreement"] == {}
            continue
        counts = agree(first(image["file"]), second(image["file"]))
        told = image["agreement"][names[1]]
        assert (told["both"], told["only_first"], told["only_second"]) == (
            counts.both, counts.only_first, counts.only_second,
        )  # fmt: skip
    total = sum(image["agreement"][names[1]]["only_first"] for image in content["pictures"] if image["agreement"])
    assert tiny["agreement"]["only_first"] == total
    with (compared / "comparison.csv").open(newline="") as stream:
        assert [line["AP50"] for line in csv.DictReader(stream)] == [str(yolo["AP50"]), str(tiny["AP50"])]


def test_average_precision_is_that_of_evaluate(compared, photos, tmp_path):
    flags = ["--data", photos / "boxes.json", "--output", tmp_path / "out", "--runtime", "onnx"]
    assert main(list(map(str, ["evaluate", "detector", *flags]))) == 0
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    line = json.loads((compared / "comparison.json").read_text())["models"][0]
    assert (line["AP"], line["AP50"]) == (figures["AP"], figures["AP50"])


class Page(HTMLParser):
    """The links and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.words, self.titles = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, text):
        self.words.append(text.strip())


def test_the_report_opens_without_a_network_and_shows_every_image(compared, photos):
    page = Page((compared / "report.html").read_text())
    assert "script" not in page.tags and "b" not in page.tags  # a file's name is no tag
    assert not any("//" in link for link in page.links)
    places = [compared / unquote(link) for link in page.links]
    assert all(place.is_file() for place in places)
    assert len(places) == 2 + 2 * 2 * 2  # plots; the copy and its thumbnail of two photos by two models
    drawn = {*compared.rglob("*.jpg")} | {*compared.glob("*.png")}
    assert drawn == set(places)
    for name in NAMES:
        assert str(photos / "images" / name) in page.words
    assert any("not an image" in word for word in page.words)
    assert "http" not in (compared / "report.html").read_text()


def test_copies_are_drawn_at_full_size_and_thumbnails_are_small(compared, photos):
    (copy,) = compared.glob("images/1-yolo/chelsea*")
    (thumbnail,) = compared.glob("thumbnails/1-yolo/coffee*")
    photo = read_image(photos / "images" / NAMES[0])
    expected = draw(photo, Detector.load("yolo")(photo)).astype(int)
    assert abs(np.asarray(Image.open(copy)) - expected).mean() < 3
    assert max(Image.open(thumbnail).size) == SMALL


def broken_off(compared, out, lines, **settings):
    """Write the journal of a run that came so far."""
    out.mkdir()
    (out / "comparison.jsonl").write_bytes(b"".join(lines))
    before = json.loads((compared / "comparison.settings.json").read_text())
    (out / "comparison.settings.json").write_text(json.dumps(before | settings))


def test_an_interrupted_run_resumes_and_a_slow_model_may_get_fewer_images(compared, models, words, tmp_path, capsys):
    out, slow = tmp_path / "out", models.split(",")[1]
    lines = (compared / "comparison.jsonl").read_bytes().splitlines(keepends=True)
    broken_off(compared, out, [*lines[:3], lines[3][:20]], **{"--limit": {slow: 1}})  # the last row is torn
    words = [*words, "--output", str(out), "--limit", f"{slow}=1", "--shown", "2"]
    assert main(words) == 2
    assert "continue it with --resume" in capsys.readouterr().err
    assert main([*words, "--resume", "--confidence", "0.9"]) == 2
    assert "--confidence was null and is now 0.9" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 1
    said = capsys.readouterr()
    assert "2 of 2" in said.err and "1 of 2" not in said.err and said.out.startswith("model ")
    assert (out / "comparison.jsonl").read_bytes().splitlines(keepends=True)[:3] == lines[:3]
    assert [row["detections"] for row in read(out)] == [row["detections"] for row in read(compared)[:4]]
    assert [line["judged"] for line in json.loads((out / "comparison.json").read_text())["models"]] == [2, 1]
    text = (out / "report.html").read_text()
    assert "Of 3 images, the first 2 are shown." in text and "Not all detectors ran on all images" in text
    assert len([*out.rglob("*.jpg")]) == 2 * 3  # two images by the quick model, one by the slow one


def test_without_sources_the_images_of_the_ground_truth_are_used(compared, words, tmp_path):
    lines = (compared / "comparison.jsonl").read_bytes().splitlines(keepends=True)
    broken_off(compared, tmp_path / "out", [line for line in lines if b"notes.png" not in line])
    assert main([words[0], *words[2:], "--output", str(tmp_path / "out"), "--resume"]) == 0  # all of them are there
    before, now = (json.loads((out / "comparison.json").read_text()) for out in (compared, tmp_path / "out"))
    assert [line | {"failed": 1} for line in now["models"]] == before["models"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("compare --output o", "Missing argument 'SOURCE'"),
        ("compare a.jpg --output o --split val", "--split val: only together with --ground-truth"),
        ("compare a.jpg --output o --models yolo", "--models yolo: at least two are needed, not 1"),
        ("compare a.jpg --output o --models yolo,yolo", "--models yolo,yolo: names yolo twice"),
        ("compare a.jpg --output o --models yolo,yolq", "unknown model 'yolq'; did you mean 'yolo'?"),
        ("compare a.jpg --output o --models yolo,x --limit x", "--limit x: must be MODEL=N"),
        ("compare a.jpg --output o --models yolo,x --limit yolq=3", "unknown model 'yolq'; did you mean 'yolo'?"),
        ("compare nothing --output o --models yolo,{tiny}", "source 'nothing': no such file or folder"),
        ("compare a.jpg --output o --models yolo,{tiny} --confidence 2", "--confidence 2: must lie between 0 and 1"),
    ],
)
def test_wrong_usage_gets_one_line_and_writes_nothing(words, message, models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = words.format(tiny=Path(models.split(",")[1]))
    assert main([*words.split(), *(["--runtime", "onnx"])]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vision-app: ") and message in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
