"""Sets as values: joining, renaming, choosing and counting."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from image_files import quadrants
from PIL import Image

from vision_app.core.errors import DataError
from vision_app.data.samples import DetectionSet, ImageAnnotations, ImageCache
from vision_app.data.scan_report import ScanReport


def sample(tmp_path, name="a.png", boxes=(((2, 3, 12, 23), 0),), ignored=(), report=None):
    """A 64 x 48 photo with some boxes, as a sample of a set of two classes."""
    Image.fromarray(quadrants()).save(tmp_path / name)
    objects = ImageAnnotations(name, 64, 48, report or ScanReport())
    for box, label in boxes:
        objects.add(box, label, "a row")
    for box, label in ignored:
        objects.add(box, label, "a row", ignored=True, area=7)
    return objects.sample(tmp_path / name, {0, 1})


@pytest.mark.parametrize(
    ("boxes", "refused", "told"),
    [
        ([(2, 3, 12, 23)], 1, "unknown object: a row of a.png cannot be used (left out)"),
        ([(2, 3, 12, 23), (5, 5, 5, 9)], 2, "unknown object: 2 rows of a.png cannot be used (left out)"),
        ([], 2, "no usable box: none of the 2 rows of a.png is usable (left out)"),
        ([(5, 5, 5, 9)], 0, "no usable box: none of the 1 rows of a.png is usable (left out)"),
        ([(2, 3, 12, 23), (5, 5, 5, 9), (70, 5, 80, 9)], 0, None),
        ([], 0, None),
    ],
)
def test_an_object_that_is_lost_does_not_become_background(tmp_path, boxes, refused, told):
    report = ScanReport()
    objects = ImageAnnotations("a.png", 64, 48, report)
    for box in boxes:
        objects.add(box, 0, "a row")
    for _ in range(refused):
        objects.refuse("malformed row", "a row")
    found = objects.sample(tmp_path / "a.png", {0})
    assert (found is None) == (told is not None)
    assert [line for line in report.faults if "left out" in line] == ([told] if told else [])


def test_a_box_that_is_there_twice_counts_once_and_one_of_another_class_counts(tmp_path):
    report = ScanReport()
    found = sample(tmp_path, boxes=[((2, 3, 12, 23), 0), ((2, 3, 12, 23), 1), ((2, 3, 12, 23), 0)], report=report)
    assert found.boxes.labels.tolist() == [0, 1]
    assert report.problems == ["duplicate box: a row in 64 x 48 (counted once)"]


def test_images_are_kept_as_far_as_they_fit_and_read_otherwise(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(quadrants()).save(path)
    images, size = ImageCache(limit=2 * 64 * 48 * 3), 64 * 48 * 3
    for path in paths:
        images.keep(path, np.zeros((48, 64, 3), np.uint8))
    assert images.left == 0 and size * 2 == 18432
    assert [int(images.read(path).max()) for path in paths] == [0, 0, 255]
    np.testing.assert_array_equal(images.read(paths[2]), quadrants())


def test_images_that_are_kept_are_not_sent_to_other_processes(tmp_path):
    Image.fromarray(quadrants(640, 480)).save(tmp_path / "a.jpg")
    images = ImageCache(target=100)
    images.keep(tmp_path / "a.jpg", np.zeros((480, 640, 3), np.uint8))
    sent = pickle.dumps(images)
    assert len(sent) < 200 and pickle.loads(sent).read(tmp_path / "a.jpg").shape == (120, 160, 3)


def test_large_jpegs_are_read_no_larger_than_they_are_needed(tmp_path):
    Image.fromarray(quadrants(640, 480)).save(tmp_path / "a.jpg")
    assert ImageCache(target=100).read(tmp_path / "a.jpg").shape == (120, 160, 3)
    assert ImageCache().read(tmp_path / "a.jpg").shape == (480, 640, 3)


def test_sets_join_under_the_same_classes_only(tmp_path):
    report = ScanReport([("empty box", "one")])
    one = DetectionSet(("a", "b"), (sample(tmp_path),), report)
    both = one.joined(one)
    assert len(both) == 2 and both.report.kinds == {"empty box": 2}
    assert one.report.problems == ["empty box: one"]
    with pytest.raises(ValueError, match="same classes"):
        one.joined(DetectionSet(("b", "a"), one.samples))


def test_renamed_classes_keep_what_they_mean(tmp_path):
    one = sample(tmp_path, boxes=[((0, 0, 9, 9), 1), ((5, 5, 9, 9), 0)], ignored=[((1, 1, 5, 5), 1)])
    (found,) = DetectionSet(("a", "b"), (one,)).relabeled(["c", "b", "a"], "x").samples
    assert (found.boxes.labels.tolist(), found.boxes.ignored.tolist()) == ([1, 2, 1], [False, False, True])
    assert found.labeled == {1, 2}
    with pytest.raises(DataError, match=r"^x: category 'a' is none of the 2 classes"):
        DetectionSet(("a", "b"), (one,)).relabeled(["b", "c"], "x")


def test_one_class_is_taken_as_a_list_of_one_is(tmp_path):
    one = replace(sample(tmp_path), labeled=frozenset({0}))
    data = DetectionSet(("box",), (one,))
    assert data.relabeled("box", "x").classes == ("box",)


def test_some_samples_of_a_set_and_their_boxes_by_class(tmp_path):
    samples = [sample(tmp_path, f"{i}.png", [((0, 0, 9, 9 + k), 1) for k in range(i)]) for i in range(4)]
    data = DetectionSet(("a", "b"), tuple(samples), ScanReport([("kind", "sentence")]))
    assert data.boxes_per_class() == {"a": 0, "b": 6}
    chosen = data.subset([3, 1])
    assert [one.name for one in chosen.samples] == ["3.png", "1.png"] and not chosen.report.entries
    assert chosen.boxes_per_class() == {"a": 0, "b": 4} and data.subset([]).boxes_per_class() == {"a": 0, "b": 0}
    np.testing.assert_array_equal(chosen.pixels(0), quadrants())


def test_the_digest_of_a_set_follows_its_content_and_not_its_place(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
    one, same = (DetectionSet(("x", "y"), (sample(tmp_path / folder),)) for folder in "ab")
    others = [
        DetectionSet(("y", "x"), one.samples),
        DetectionSet(("x", "y"), one.samples * 2),
        DetectionSet(("x", "y"), (sample(tmp_path, boxes=[((2, 3, 12, 23), 1)]),)),
        DetectionSet(("x", "y"), (sample(tmp_path, boxes=[((2, 3, 12, 24), 0)]),)),
        DetectionSet(("x", "y"), (sample(tmp_path, name="b.png"),)),
    ]
    assert one.digest() == same.digest() and len({one.digest(), *(other.digest() for other in others)}) == 6
