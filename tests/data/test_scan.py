"""Every photo is decoded before training, and what is wrong with it is said."""

import shutil

import numpy as np
import pytest
from image_files import encode, quadrants
from PIL import Image

from vision_app.core.errors import DataError
from vision_app.data.samples import DetectionSet, ImageAnnotations
from vision_app.data.scan import scan, summarize
from vision_app.data.scan_report import ScanReport


def photos_set(folder, count, width=64, height=48, boxes=1):
    """A set of different photos that lists all of them at one size."""
    folder.mkdir(exist_ok=True)
    samples = []
    for number in range(1, count + 1):
        pixels = quadrants()
        pixels[0, 0] = number % 250
        Image.fromarray(pixels).save(folder / f"{number}.png")
        objects = ImageAnnotations(f"{number}.png", width, height, ScanReport())
        for _ in range(boxes):
            objects.add((1, 1, 10, 10), 0, "a row")
        samples.append(objects.sample(folder / f"{number}.png", {0}))
    return DetectionSet(("dog",), tuple(samples))


def test_every_photo_is_decoded_and_bad_ones_are_left_out(tmp_path):
    data = photos_set(tmp_path, 6)
    (tmp_path / "1.png").write_bytes(b"no image")
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:100])
    (tmp_path / "3.png").write_bytes(encode(Image.new("RGB", (48, 64)), "PNG"))
    (tmp_path / "6.png").unlink()
    kept = scan(data)
    assert [sample.path.name for sample in kept.samples] == ["4.png", "5.png"]
    assert [kept.pixels(i)[0, 0, 0] for i in range(2)] == [4, 5] and (kept.pixels(0)[1:] == quadrants()[1:]).all()
    assert kept.samples[1].boxes.xyxy.tolist() == [[1, 1, 10, 10]]
    assert kept.report.kinds == {"corrupt image": 3, "wrong size": 1}
    assert [f"{n}.png" in problem for n, problem in zip((1, 2, 3, 6), kept.report.problems, strict=True)] == [True] * 4
    assert kept.report.problems[2] == "wrong size: 3.png is 48 x 64, listed as 64 x 48"
    assert data.report.problems == []  # the report of what was given stays as it was


def test_photos_with_the_same_content_and_photos_without_boxes_are_reported_and_kept(tmp_path):
    data, empty = photos_set(tmp_path / "a", 3), photos_set(tmp_path / "b", 1, boxes=0)
    shutil.copy(tmp_path / "a" / "1.png", tmp_path / "a" / "3.png")
    shutil.copy(tmp_path / "a" / "2.png", tmp_path / "b" / "1.png")
    seen = {}
    found, other = scan(data, seen=seen), scan(empty, seen=seen)  # a photo of one set in another one, too
    a, b = tmp_path / "a", tmp_path / "b"
    assert found.report.problems == [f"duplicate photo: {a / '3.png'} is the same file as {a / '1.png'} (kept)"]
    assert other.report.problems == [
        f"duplicate photo: {b / '1.png'} is the same file as {a / '2.png'} (kept)",
        "unlabeled image: 1.png has no boxes (kept as background)",
    ]
    assert (len(found), len(other)) == (3, 1)
    assert scan(data, seen=seen).report.problems == found.report.problems  # no photo is a duplicate of itself


def test_the_size_of_a_turned_photo_is_that_of_the_upright_image(tmp_path):
    sideways = Image.Exif()
    sideways[0x0112] = 6  # to be shown turned a quarter clockwise
    upright, wrong = photos_set(tmp_path / "a", 1, width=48, height=64), photos_set(tmp_path / "b", 1)
    for folder in "ab":
        Image.fromarray(quadrants()).save(tmp_path / folder / "1.png", exif=sideways)
    found = scan(upright)
    np.testing.assert_array_equal(found.pixels(0), np.rot90(quadrants(), -1))
    with pytest.raises(DataError, match=r"wrong size: 1\.png is 48 x 64, listed as 64 x 48"):
        scan(wrong)


def test_what_does_not_fit_into_memory_is_decoded_again(tmp_path):
    found = scan(photos_set(tmp_path, 3), limit=2 * 64 * 48 * 3)
    for path in tmp_path.glob("*.png"):
        Image.new("RGB", (64, 48)).save(path)
    assert [int(found.pixels(i).max()) for i in range(3)] == [255, 255, 0]


def test_large_jpegs_are_scanned_at_the_size_that_is_needed(tmp_path):
    Image.fromarray(quadrants(640, 480)).save(tmp_path / "a.jpg")
    objects = ImageAnnotations("a.jpg", 640, 480, ScanReport())
    found = scan(DetectionSet(("dog",), (objects.sample(tmp_path / "a.jpg", {0}),)), target=100)
    assert found.pixels(0).shape == (120, 160, 3) and found.report.kinds == {"unlabeled image": 1}


def test_no_readable_photo_at_all_is_an_error(tmp_path):
    data = photos_set(tmp_path, 1)
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 1 images can be used \(corrupt image: .*1\.png"):
        scan(data)


def test_progress_is_told_every_thousand_photos(tmp_path):
    data = photos_set(tmp_path, 1)
    lines = []
    scan(DetectionSet(data.classes, data.samples * 2001), log=lines.append)
    assert lines == ["checked 1000 of 2001 images", "checked 2000 of 2001 images"]


def test_a_name_that_holds_a_comma_is_quoted_in_the_summary(tmp_path):
    data = photos_set(tmp_path, 2)
    named = DetectionSet(("nut, small", "bolt 8"), data.samples)
    assert list(summarize("a set", named))[1] == "boxes by class: 'nut, small' 2, bolt 8 0"


def test_names_of_thousands_of_characters_are_shortened_in_the_summary(tmp_path):
    named = DetectionSet(("x" * 5000, "bolt"), photos_set(tmp_path, 1).samples)
    assert len(list(summarize("a set", named))[1]) < 150
