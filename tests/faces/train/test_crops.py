"""Faces found once, aligned with a margin, and kept."""

import numpy as np
import pytest
from image_files import encode
from PIL import Image
from tiny_faces import green_detector, paint_face

from vision_app.core.errors import DataError
from vision_app.data.identities import Portrait
from vision_app.faces.align import MARGIN, SIDE, SIZE, TEMPLATE, align
from vision_app.faces.train.crops import FaceCrops, find_crops, joined


def crops(names, seed=0, template=TEMPLATE):
    pixels = np.random.default_rng(seed).integers(0, 256, (len(names), SIDE, SIDE, 3), np.uint8)
    return FaceCrops(pixels, np.array(names, np.str_), np.array([f"{i}.jpg" for i in range(len(names))]), template)


def test_a_file_returns_what_was_saved_without_pickle(tmp_path):
    one = crops(["Zoë", "", "Ada"])
    one.save(tmp_path / "crops.npz")
    found = FaceCrops.load(tmp_path / "crops.npz")
    for name in ("pixels", "identities", "files", "template"):
        np.testing.assert_array_equal(getattr(found, name), getattr(one, name))
    assert found.digest() == one.digest() and [path.name for path in tmp_path.iterdir()] == ["crops.npz"]


def test_the_digest_changes_with_any_pixel_or_name():
    one = crops(["Ada", "Bob"])
    pixels = one.pixels.copy()
    pixels[1, 100, 3, 2] ^= 1
    others = [
        FaceCrops(pixels, one.identities, one.files, one.template),
        FaceCrops(one.pixels, np.array(["Ada", "Bo"]), one.files, one.template),
        one.subset(np.array([0])),
    ]
    assert len({each.digest() for each in (one, *others)}) == 4


def test_labels_are_people_and_chips_the_middle():
    one = crops(["b", "", "a", "b", ""])
    assert one.labels.tolist() == [1, -1, 0, 1, -1] and crops(["b", "a"]).labels.tolist() == [1, 0]
    assert one.chips.shape == (5, SIZE, SIZE, 3) and one.chips.base is one.pixels
    np.testing.assert_array_equal(one.chips[2], one.pixels[2, MARGIN : MARGIN + SIZE, MARGIN : MARGIN + SIZE])
    both = joined([one, crops(["b", "c"], seed=1)])
    assert len(both) == 7 and both.labels.tolist() == [1, -1, 0, 1, -1, 1, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"pixels": np.zeros((2, 112, 112, 3), np.uint8)},
            r"its faces are \(112, 112, 3\) of uint8",
        ),
        ({"pixels": np.zeros((2, SIDE, SIDE, 3))}, "its faces are .* of float64, not 160 x 160 x 3 of uint8"),
        ({"files": np.array(["a"])}, "has 2 faces, but not as many identities and files"),
        ({"template": np.zeros((4, 2))}, r"its template is \(4, 2\), not 5 x 2"),
        ({"identities": np.array([{}, {}])}, "not a file of aligned faces"),
        ({"template": None}, "not a file of aligned faces .*template"),
    ],
)
def test_a_file_with_other_content_is_refused(tmp_path, change, words):
    content = {name: array for name, array in (vars(crops(["a", "b"])) | change).items() if array is not None}
    np.savez(tmp_path / "crops.npz", **content)
    with pytest.raises(DataError, match=f"crops.npz: {words}"):
        FaceCrops.load(tmp_path / "crops.npz")
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"broken.npz: not a file of aligned faces"):
        FaceCrops.load(tmp_path / "broken.npz")


def portraits(folder):
    """Four files: one face, two, none, and no image."""
    found = []
    for name, boxes in {"one": [(60, 50, 120, 120)], "two": [(20, 20, 50, 55), (90, 60, 170, 150)], "none": []}.items():
        pixels = np.random.default_rng(len(boxes)).integers(60, 120, (200, 240, 3)).astype(np.uint8)
        for box in boxes:
            paint_face(pixels, box)
        (folder / f"{name}.png").write_bytes(encode(Image.fromarray(pixels), "PNG"))
        found.append(Portrait(f"{name}.png", folder / f"{name}.png", name))
    (folder / "broken.jpg").write_bytes(b"no image")
    return [*found[::-1], Portrait("broken.jpg", folder / "broken.jpg", "broken")]


def test_the_largest_face_of_each_photo_is_aligned_and_issues_are_reported(tmp_path):
    detector, listed = green_detector(), portraits(tmp_path)
    found, report = find_crops(listed, detector, TEMPLATE)
    assert found.files.tolist() == ["two.png", "one.png"] and found.identities.tolist() == ["two", "one"]
    assert report.kinds == {"no face": 1, "several faces": 1, "corrupt image": 1}
    assert any("two.png shows 2 faces (the largest is kept)" in line for line in report.problems)
    for file, chip, crop in zip(found.files, found.chips, found.pixels, strict=True):
        detections = detector(tmp_path / file)
        largest = np.argmax((detections.boxes[:, 2:] - detections.boxes[:, :2]).prod(axis=1))
        pixels = np.asarray(Image.open(tmp_path / file))
        aligned = align(pixels, detections.landmarks[largest]).astype(int)
        difference = np.abs(aligned - chip)  # OpenCV rounds places to a 32nd of a pixel: 8 gray levels at an edge
        assert difference.mean() < 1 and difference.max() <= 8
        assert len(np.unique(crop[:MARGIN].reshape(-1, 3), axis=0)) > 10  # the photo goes on in the margin


def test_photos_without_any_face_are_an_error_that_names_the_first(tmp_path):
    listed = portraits(tmp_path)
    with pytest.raises(DataError, match=r"none of the 2 photos shows a face \(no face: .*none.png"):
        find_crops([listed[0], listed[-1]], green_detector(), TEMPLATE)
