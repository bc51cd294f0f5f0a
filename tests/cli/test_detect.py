"""`vision-app detect` as users run it, with the released model."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from image_files import encode, png, png_from_samples, quadrants
from PIL import Image
from skimage import data

from vision_app import DetectOptions, Detector, draw, read_image
from vision_app.core import decode
from vision_app.core.images import write_image

pytestmark = pytest.mark.slow

KEYS = ["file", "status", "error", "width", "height", "model", "detections"]


def rows_of(output):
    return [json.loads(line) for line in (output / "detections.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def photos_out(photos, run_here, tmp_path_factory):
    """What `--csv --images` makes of the photos, with many objects: their confidence is low."""
    out = tmp_path_factory.mktemp("detected") / "out"
    result = run_here("detect", "photos", "--output", out, "--confidence", 0.05, "--csv", "--images", cwd=photos.parent)
    assert result.returncode == 0, result.stderr
    return out, result


def test_rows_equal_the_answers_of_the_python_door(photos, photos_out):
    out, result = photos_out
    detector = Detector.load("yolo")
    files = sorted(os.fspath(path.relative_to(photos.parent)) for path in photos.rglob("*.*"))
    rows = rows_of(out)
    assert [row["file"] for row in rows] == files
    for row in rows:
        assert list(row) == KEYS
        answer = detector(photos.parent / row["file"], DetectOptions(confidence=0.05)).to_dict()
        assert row == {"file": row["file"], "status": "ok", "error": None, **answer}
        image = Image.open(photos.parent / row["file"])
        assert (row["width"], row["height"]) == image.size
        for found in row["detections"]:
            assert 0.05 <= found["score"] <= 1 and len(found["box"]) == 4
    assert sum(len(row["detections"]) for row in rows) > 24
    assert re.fullmatch(r"24 images: 24 ok, 0 failed, [\d.,]+ images/s\n", result.stdout)


def test_csv_has_a_line_an_object(photos_out):
    out, _ = photos_out
    with (out / "detections.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    rows = rows_of(out)
    expected = [
        (row["file"], found["label"], found["score"], *found["box"]) for row in rows for found in row["detections"]
    ]
    numbers = ("score", "x1", "y1", "x2", "y2")
    assert [(line["file"], line["label"], *(float(line[key]) for key in numbers)) for line in lines] == expected


def test_copies_mirror_the_folders_and_show_the_boxes(photos, photos_out, tmp_path):
    out, _ = photos_out
    copies = sorted(path.relative_to(out / "images").as_posix() for path in (out / "images").rglob("*.*"))
    assert copies == sorted(f"{path.relative_to(photos).as_posix()}.jpg" for path in photos.rglob("*.*"))
    detector = Detector.load("yolo")
    for name in copies[::5]:
        photo = photos / name.removesuffix(".jpg")
        write_image(tmp_path / "expected.jpg", draw(read_image(photo), detector(photo, confidence=0.05)))
        assert (out / "images" / name).read_bytes() == (tmp_path / "expected.jpg").read_bytes()


@pytest.mark.parametrize("flags", ["--batch-size 1 --workers 1", "--batch-size 5 --workers 4", "--csv"])
def test_batches_and_workers_do_not_change_a_byte(photos, photos_out, run_here, tmp_path, flags):
    result = run_here("detect", "photos", "--output", tmp_path, "--confidence", 0.05, *flags.split(), cwd=photos.parent)
    assert result.returncode == 0
    assert (tmp_path / "detections.jsonl").read_bytes() == (photos_out[0] / "detections.jsonl").read_bytes()


def test_options_reach_the_detector(photos, photos_out, run_here, tmp_path):
    flags = ["--confidence", 0.05, "--classes", "person, cat", "--max-detections", 2, "--iou", 0.3, "--agnostic-nms"]
    assert run_here("detect", photos, "--output", tmp_path, *flags).returncode == 0
    options = DetectOptions(confidence=0.05, classes=("person", "cat"), max_detections=2, iou=0.3, agnostic=True)
    detector = Detector.load("yolo")
    rows = rows_of(tmp_path)
    assert [row["detections"] for row in rows] == [
        detector(row["file"], options).to_dict()["detections"] for row in rows
    ]
    assert {found["label"] for row in rows for found in row["detections"]} <= {"person", "cat"}


def test_classes_may_be_given_by_id(photos, run_here, tmp_path):
    for words in ("person,cat", "0, 15"):
        assert run_here("detect", photos / "day 0", "--output", tmp_path / words, "--classes", words).returncode == 0
    rows = [(tmp_path / words / "detections.jsonl").read_bytes() for words in ("person,cat", "0, 15")]
    assert rows[0] == rows[1]
    result = run_here("detect", photos, "--output", tmp_path / "out", "--classes", "80")
    assert result.returncode == 2 and "--classes 80: must lie between 0 and 79, or be a name" in result.stderr


def test_both_runtimes_agree(photos, photos_out, run_here, tmp_path):
    flags = ["--confidence", 0.05, "--runtime", "torch", "--device", "cpu"]
    assert run_here("detect", "photos/day 0", "--output", tmp_path, *flags, cwd=photos.parent).returncode == 0
    onnx = {row["file"]: row for row in rows_of(photos_out[0])}
    for row in rows_of(tmp_path):
        pairs = zip(row["detections"], onnx[row["file"]]["detections"], strict=False)
        close = [
            one["label"] == other["label"] and np.allclose(one["box"], other["box"], atol=0.5) for one, other in pairs
        ]
        assert sum(close) >= 0.9 * max(len(row["detections"]), len(onnx[row["file"]]["detections"]))


def test_odd_and_broken_files_each_get_a_row(vision_app, tmp_path):
    folder = tmp_path / "фото"
    folder.mkdir()
    photo = Image.fromarray(data.astronaut()).resize((96, 64))
    rotated = Image.Exif()
    rotated[0x0112] = 6  # a quarter turn
    good = {
        "16 bit.png": (png_from_samples(np.zeros((64, 96, 3), np.uint16), 2), (96, 64)),
        "alpha.webp": (encode(photo.convert("RGBA"), "WEBP"), (96, 64)),
        "animated.gif": (encode(photo.quantize(), "GIF", save_all=True, append_images=[photo.quantize()]), (96, 64)),
        "cmyk.jpeg": (encode(photo.convert("CMYK"), "JPEG"), (96, 64)),
        "gray.BMP": (encode(photo.convert("L"), "BMP"), (96, 64)),
        "line\nbreak.tif": (encode(photo, "TIFF"), (96, 64)),
        "one pixel.png": (encode(Image.new("RGB", (1, 1)), "PNG"), (1, 1)),
        "palette.png": (encode(photo.quantize(8), "PNG"), (96, 64)),
        "progressive.jpg": (encode(photo, "JPEG", progressive=True), (96, 64)),
        "sideways.jpg": (encode(photo, "JPEG", exif=rotated), (64, 96)),
        "wide.png": (encode(Image.new("RGB", (3000, 2)), "PNG"), (3000, 2)),
        "белка.jpg": (encode(photo, "JPEG"), (96, 64)),
    }
    whole = encode(photo, "JPEG")
    bad = {
        "bomb.png": (png(20_000, 20_000, 1, 0, []), "too large: 20000 x 20000"),
        "cut.jpg": (whole[: len(whole) // 2], "cut short"),
        "empty.jpg": (b"", "the file is empty"),
        "text.jpg": (b"Dear diary", "not an image"),
    }
    latin = os.fsdecode(b"caf\xe9.png")  # no UTF-8
    good[latin] = (encode(photo, "PNG"), (96, 64))
    for name, (content, _) in (good | bad).items():
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "link.jpg").symlink_to("nowhere.jpg")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "notes.txt").write_text("Dear diary")
    reasons = {name: reason for name, (_, reason) in bad.items()}
    reasons |= {"pipe.jpg": "is not a regular file", "link.jpg": "no such file", "self.jpg": "symbolic links"}
    in_folder = sorted(good | reasons, key=os.fsencode)
    reasons |= {"notes.txt": "not an image", "missing.png": "no such file"}  # named explicitly

    named = ["фото", "фото/notes.txt", "фото/missing.png"]
    result = vision_app("detect", *named, "--output", "out", "--images", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    rows = {row["file"].removeprefix("фото/"): row for row in rows_of(tmp_path / "out")}
    assert list(rows) == [*in_folder, "notes.txt", "missing.png"]
    for name, row in rows.items():
        copy = tmp_path / "out" / "images" / f"{name}.jpg"
        assert list(row) == KEYS and row["model"] == "yolo"
        if name in good:
            assert (row["status"], row["error"], row["width"], row["height"]) == ("ok", None, *good[name][1])
            assert Image.open(copy).size == good[name][1]
        else:
            assert (row["status"], row["width"], row["height"], row["detections"]) == ("failed", None, None, [])
            assert reasons[name] in row["error"] and "фото" not in row["error"]
            assert not copy.exists()
    summary = f"{len(rows)} images: {len(good)} ok, {len(reasons)} failed (see detections.jsonl), "
    assert result.stdout.startswith(summary)
    assert "1 other file skipped" in result.stderr
    assert f"failed: фото/cut.jpg: {rows['cut.jpg']['error']}\n" in result.stderr


@pytest.mark.parametrize("installed", [False, True])
def test_photos_of_phones_get_rows_and_what_cannot_be_read_names_the_decoder(
    run_here, tmp_path, monkeypatch, installed
):
    monkeypatch.setattr(decode, "_HAS_HEIC", installed)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.avif").write_bytes(encode(Image.fromarray(quadrants()), "AVIF"))
    (tmp_path / "photos" / "b.HEIC").write_bytes((Path(__file__).parents[1] / "data" / "sideways.heic").read_bytes())
    result = run_here("detect", tmp_path / "photos", "--output", tmp_path / "out")
    assert result.returncode == (0 if installed else 1) and "skipped" not in result.stdout + result.stderr
    avif, heic = rows_of(tmp_path / "out")
    assert (avif["status"], avif["width"], avif["height"]) == ("ok", 64, 48)
    assert heic["error"] == (None if installed else "HEIC needs an extra: pip install pi-heif")


def test_large_images_are_read_when_the_limit_is_raised(run_here, tmp_path):
    (tmp_path / "large.png").write_bytes(encode(Image.new("1", (1100, 1000)), "PNG"))
    for limit, code in [("1", 1), ("1.2", 0)]:
        out = tmp_path / limit
        assert run_here("detect", tmp_path / "large.png", "--output", out, "--max-megapixels", limit).returncode == code
        (row,) = rows_of(out)
        assert row["error"] == (None if code == 0 else "too large: 1100 x 1000 is over the limit of 1,000,000 pixels")


def test_sources_with_equal_names_keep_their_own_copies(run_here, tmp_path):
    colors = {"one": (200, 0, 0), "two": (0, 0, 200)}
    for folder, color in colors.items():
        (tmp_path / folder).mkdir()
        Image.new("RGB", (32, 32), color).save(tmp_path / folder / "a.png")
    flags = ["--output", "out", "--images", "--confidence", 1]
    assert run_here("detect", "one", "two/a.png", "one/a.png", *flags, cwd=tmp_path).returncode == 0
    assert [row["file"] for row in rows_of(tmp_path / "out")] == ["one/a.png", "two/a.png", "one/a.png"]
    for name, color in {"a.png.jpg": "one", "a.png-2.jpg": "two", "a.png-3.jpg": "one"}.items():
        pixel = read_image(tmp_path / "out/images" / name).pixels[16, 16]
        assert np.abs(pixel.astype(int) - colors[color]).max() < 10


def test_an_output_inside_the_source_is_not_read_again(run_here, tmp_path):
    Image.fromarray(quadrants()).save(tmp_path / "a.png")
    flags = ["--output", "results", "--images"]
    assert run_here("detect", ".", *flags, cwd=tmp_path).returncode == 0
    before = (tmp_path / "results/detections.jsonl").read_bytes()
    again = run_here("detect", ".", *flags, "--resume", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, "1 image: 1 ok, 0 failed\n")
    assert (tmp_path / "results/detections.jsonl").read_bytes() == before
    refused = run_here("detect", ".", *flags, cwd=tmp_path)
    assert refused.returncode == 2 and "continue it with --resume" in refused.stderr
    nothing = run_here("detect", "results", *flags, cwd=tmp_path)
    assert nothing.returncode == 2 and "--output results: contains the source results" in nothing.stderr


def test_a_copy_that_cannot_be_written_stops_with_a_clear_error(photos, run_here, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/images").touch()  # a file where the folder should be
    result = run_here("detect", photos, "--output", tmp_path / "out", "--images", "--batch-size", 4)
    assert result.returncode == 1
    assert "stopped: 0 of 24 rows" in result.stderr and "cannot write" in result.stderr
    assert "Traceback" not in result.stderr
    (tmp_path / "out/images").unlink()
    assert run_here("detect", photos, "--output", tmp_path / "out", "--images", "--resume").returncode == 0
    assert len(rows_of(tmp_path / "out")) == 24


def test_detections_are_kept_where_only_their_copy_cannot_be_written(run_here, tmp_path):
    for place in ("in/a.jpg", "in/a.jpg.jpg/b.jpg", f"in/{'x' * 248}.png", "in/z.jpg"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(quadrants()).save(tmp_path / place)
    flags = ["--output", "out", "--images", "--batch-size", 1, "--workers", 1]
    result = run_here("detect", "in", *flags, cwd=tmp_path)
    long, note = f"in/{'x' * 248}.png", "the copy cannot be written: File name too long"
    assert result.returncode == 0 and f"note: {long}: {note}" in result.stderr
    rows = rows_of(tmp_path / "out")
    assert [(row["file"], row["status"], row.get("notes")) for row in rows] == [
        ("in/a.jpg", "ok", None),
        ("in/a.jpg.jpg/b.jpg", "ok", None),
        (long, "ok", [note]),
        ("in/z.jpg", "ok", None),
    ]
    assert rows[2]["detections"] == rows[0]["detections"] and rows[2]["width"] == rows[0]["width"]
    copies = sorted(path for path in (tmp_path / "out/images").rglob("*") if path.is_file())
    assert [str(path.relative_to(tmp_path / "out/images")) for path in copies] == [
        "a.jpg.jpg", "a.jpg.jpg-2/b.jpg.jpg", "z.jpg.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("closed", [[1], [2], [0, 1, 2]])
def test_rows_are_written_whole_where_standard_streams_are_closed(photos, run_here, tmp_path, closed):
    words = ["detect", photos / "day 0/00.JPG", photos / "missing.png", "--images", "--output"]
    run_here(*words, tmp_path / "open")
    shell = f'exec "$@" {" ".join(f"{number}>&-" for number in closed)}'
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "vision_app", *map(str, words), str(tmp_path / "closed")]
    result = subprocess.run(command, check=False, capture_output=True)
    assert result.returncode == 1, "one photo is missing"
    for name in ("detections.jsonl", "detections.settings.json", "images/00.JPG.jpg"):
        assert (tmp_path / "closed" / name).read_bytes() == (tmp_path / "open" / name).read_bytes()
    assert (2 in closed) == (result.stderr == b"") and (1 in closed) == (result.stdout == b"")


def test_sources_without_images_are_named(photos, run_here, tmp_path):
    (tmp_path / "empty").mkdir()
    sources = ["empty", photos, "*.gif"]
    result = run_here("detect", *sources, "--output", "out", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stderr.splitlines()[0] == "no images in empty, *.gif"
    assert len(rows_of(tmp_path / "out")) == 24


def test_nothing_is_written_outside_the_output(photos, run_here, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "work").mkdir()
    before = set(tmp_path.rglob("*"))
    result = run_here("detect", "../photos", "--output", "../out", "--csv", cwd=tmp_path / "work")
    assert result.returncode == 0
    new = set(tmp_path.rglob("*")) - before
    names = ["detections.csv", "detections.jsonl", "detections.settings.json"]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in new) == ["out", *(f"out/{name}" for name in names)]


def test_scores_fall_within_a_row(photos_out):
    for row in rows_of(photos_out[0]):
        scores = [found["score"] for found in row["detections"]]
        assert all(one >= other for one, other in pairwise(scores))


def test_only_images_that_are_ok_make_a_rate(run_here, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    result = run_here("detect", tmp_path / "broken.jpg", "--output", tmp_path / "out")
    assert (result.returncode, result.stdout) == (1, "1 image: 0 ok, 1 failed (see detections.jsonl)\n")
