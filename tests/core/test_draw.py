"""Drawing: where the paint goes, where it must not go, and what a crop holds."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from skimage import data

from vision_app import crop, draw
from vision_app.core.draw import label_color
from vision_app.core.errors import ImageError
from vision_app.core.images import RGBImage
from vision_app.core.results import Detections


def found(boxes, size=(400, 300), labels=None, scores=None, landmarks=None):
    labels = labels or ["dog"] * len(boxes)
    scores = np.linspace(0.9, 0.5, len(boxes)) if scores is None else scores
    return Detections(boxes, scores, labels, *size, "yolo", landmarks)


def canvas(width=400, height=300):
    return np.full((height, width, 3), 128, dtype=np.uint8)


def painted(image):
    """(y, x) mask of the pixels that are no longer grey."""
    return (image != 128).any(axis=2)


def test_the_outline_lies_on_the_box_and_nothing_else_is_touched():
    before = canvas()
    after = draw(before, found([[100, 80, 300, 220]]))
    assert (before == 128).all()
    assert after.shape == before.shape
    assert after.dtype == np.uint8
    color = label_color("dog")
    for y, x in [(80, 250), (219, 200), (150, 100), (150, 299)]:  # one pixel of each side
        assert tuple(after[y, x]) == color
    assert not painted(after)[82:218, 102:298].any()  # inside
    assert not painted(after)[220:].any()  # below
    assert not painted(after)[:, 300:].any()  # to the right
    assert not painted(after)[:, :100].any()  # to the left


def test_nothing_found_changes_nothing():
    photo = data.astronaut()
    assert (draw(photo, Detections.empty(512, 512, "yolo")) == photo).all()


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 40, 40],
        [390, 0, 400, 20],
        [380, 280, 400, 300],
        [0, 290, 400, 300],
        [-50, -50, 450, 350],
        [399, 0, 400, 1],
    ],
)
def test_the_label_is_whole_at_every_edge(box):
    """The label's filled box is as large near an edge as it is in the middle, so no part of it is cut off."""

    def painted_pixels(box):
        return painted(draw(canvas(), found([box], labels=["umbrella"]))).sum()

    middle = painted_pixels([200, 150, 201, 151])
    assert painted_pixels(box) >= middle - 10  # the tiny box in the middle stands outside its label


def test_an_image_smaller_than_a_label_is_drawn():
    assert draw(canvas(8, 6), found([[1, 1, 5, 5]], size=(8, 6))).shape == (6, 8, 3)


def test_boxes_are_scaled_to_a_reduced_image():
    reduced = RGBImage(canvas(200, 150), 400, 300)
    after = painted(draw(reduced, found([[100, 80, 300, 220]])))
    rows, columns = np.flatnonzero(after[:, 140]), np.flatnonzero(after[80])
    assert (rows.min(), rows.max()) == (40, 109)
    assert (columns.min(), columns.max()) == (50, 149)


def test_line_width_grows_with_the_image():
    def thickness(scale):
        box = [[100 * scale, 100 * scale, 300 * scale, 200 * scale]]
        image = draw(canvas(400 * scale, 300 * scale), found(box, size=(400 * scale, 300 * scale)))
        return painted(image)[150 * scale, : 200 * scale].sum()

    assert thickness(1) == 2
    assert 8 <= thickness(8) <= 16


def test_the_better_box_is_drawn_on_top():
    both = found([[100, 100, 200, 200], [100, 100, 200, 200]], labels=["cat", "dog"])
    assert tuple(draw(canvas(), both)[150, 100]) == label_color("cat")


def test_landmarks_are_dots_of_the_label_color():
    landmarks = np.array([[[150.0, 160.0], [180.0, 120.0]]])
    after = draw(canvas(), found([[100, 80, 300, 220]], landmarks=landmarks))
    assert tuple(after[160, 150]) == tuple(after[120, 180]) == label_color("dog")
    assert painted(after)[90:210, 110:290].sum() < 100


def test_captions_take_the_place_of_label_and_score():
    box = [[100, 80, 300, 220]]
    same = draw(canvas(), found(box, scores=[0.5]), ["dog 0.50"])
    assert (same == draw(canvas(), found(box, scores=[0.5]))).all()
    other = draw(canvas(), found(box, scores=[0.5]), ["a much longer caption"])
    assert painted(other).sum() > painted(same).sum()
    with pytest.raises(ValueError):
        draw(canvas(), found(box), ["one", "too many"])


def test_one_caption_is_taken_as_a_list_of_one_is():
    one = Detections([[10, 10, 60, 50]], [0.5], ["cat"], 100, 80, "m")
    image = np.zeros((80, 100, 3), np.uint8)
    np.testing.assert_array_equal(draw(image, one, "Ada"), draw(image, one, ["Ada"]))


def test_labels_in_other_letters_than_those_of_english_can_be_told_apart():
    images = [draw(canvas(), found([[100, 80, 300, 220]], labels=["dog"]), [text]) for text in ("é", "ж", "Ω", "ş")]
    assert len({image.tobytes() for image in images}) == len(images)


def test_colors_belong_to_labels():
    assert label_color("dog") == label_color("dog")
    names = ["person", "bicycle", "car", "dog", "cat", "chair", "boat", "Straße", "кот"]
    assert len({label_color(name) for name in names}) == len(names)
    command = "from vision_app.core.draw import label_color; print(label_color('dog'))"
    elsewhere = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == str(label_color("dog"))  # not the hash that changes with every process


def numbered(width=40, height=30):
    """An image in which each pixel tells its place: red is x, green is y."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
    return pixels


@pytest.mark.parametrize(
    ("box", "margin", "corners"),
    [
        ([10, 5, 20, 15], 0.0, (10, 5, 20, 15)),
        ([10.4, 5.6, 19.2, 14.9], 0.0, (10, 5, 20, 15)),
        ([10, 5, 20, 15], 0.2, (8, 3, 22, 17)),
        ([30, 20, 60, 60], 0.0, (30, 20, 40, 30)),
        ([-5, -5, 5, 5], 1.0, (0, 0, 15, 15)),
        ([10.2, 5.2, 10.3, 5.3], 0.0, (10, 5, 11, 6)),
    ],
)
def test_a_crop_is_the_box_and_its_margin_within_the_image(box, margin, corners):
    x1, y1, x2, y2 = corners
    image = numbered()
    piece = crop(image, box, margin)
    assert (piece == image[y1:y2, x1:x2]).all()
    assert piece.shape == (y2 - y1, x2 - x1, 3)
    piece[:] = 0
    assert (image == numbered()).all()


def test_crop_takes_boxes_of_the_full_image():
    assert (crop(RGBImage(numbered(), 80, 60), [20, 10, 40, 30]) == numbered()[5:15, 10:20]).all()


@pytest.mark.parametrize("box", [[50, 5, 60, 15], [5, -20, 15, -10], [10, 10, 10, 20]])
def test_crop_outside_the_image_is_an_error(box):
    with pytest.raises(ValueError, match=r"outside the image or is empty"):
        crop(numbered(), box)


def test_images_of_every_kind_become_rgb(tmp_path):
    pixels = canvas()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    box = [100, 80, 300, 220]
    expected, piece = draw(pixels, found([box])), crop(pixels, box)
    opaque = np.full((300, 400, 1), 255, np.uint8)
    path = tmp_path / "a.png"
    for image in (pixels[..., 0], np.concatenate([pixels, opaque], axis=2), path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(draw(image, found([box])), expected)
        np.testing.assert_array_equal(crop(image, box), piece)


@pytest.mark.parametrize("use", [draw, crop])
def test_sources_that_are_not_images_are_named(use):
    what = found([[1, 1, 2, 2]]) if use is draw else [1, 1, 2, 2]
    with pytest.raises(ImageError, match=r"<array>: expected a uint8 array .* got float64"):
        use(np.zeros((300, 400, 3)), what)
    with pytest.raises(ImageError, match=r"gone\.jpg: no such file"):
        use("gone.jpg", what)
