"""Selective search against the paper's procedure written out, and what must hold for any image."""

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from threading import Barrier

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data

from vision_app.core.boxes import iou_matrix
from vision_app.detection import proposals
from vision_app.detection.proposals import ProposalCache, Segments, merge, selective_search

pytestmark = pytest.mark.slow


def by_definition(labels, colors, texture, measure):
    """Section 3 of the paper: regions as sets of pixels, of which everything is counted anew; sums in float64."""
    height, width = labels.shape
    regions = {i: set(zip(*np.nonzero(labels == i), strict=True)) for i in range(labels.max() + 1)}

    def box(region):
        ys, xs = zip(*region, strict=True)
        return min(xs), min(ys), max(xs) + 1, max(ys) + 1

    def shares(region, values):
        counts = {}
        for y, x in region:
            for channel in range(3):
                key = channel, values[y, x, channel]
                counts[key] = counts.get(key, 0) + 1
        return {key: count / (3 * len(region)) for key, count in counts.items()}

    def alike(a, b, values):
        one, other = shares(a, values), shares(b, values)
        return sum(min(one[key], other[key]) for key in one.keys() & other.keys())

    def similarity(a, b):
        x1, y1, x2, y2 = box(a | b)
        terms = {
            "C": alike(a, b, colors),
            "T": alike(a, b, texture),
            "S": 1 - (len(a) + len(b)) / (height * width),
            "F": 1 - ((x2 - x1) * (y2 - y1) - len(a) - len(b)) / (height * width),
        }
        return sum(terms[letter] for letter in measure)

    def touch(a, b):
        return any((y + dy, x + dx) in b for y, x in a for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)))

    boxes = [box(region) for region in regions.values()]
    while len(regions) > 1:
        near = [(i, j) for i, j in combinations(sorted(regions), 2) if touch(regions[i], regions[j])]
        values = [similarity(regions[i], regions[j]) for i, j in near]
        i, j = near[int(np.argmax(np.round(values, 5)))]
        regions[i] |= regions.pop(j)
        boxes.append(box(regions[i]))
    return np.array(boxes)


def segmentation(rng, height, width):
    """A random image's regions, each in one piece, and its bins, in which regions differ."""
    coarse = rng.integers(0, 3, (height // 3, width // 3)).repeat(3, axis=0).repeat(3, axis=1).astype(np.uint8)
    labels = np.zeros(coarse.shape, np.intp)
    for value in range(3):
        _, pieces = cv2.connectedComponents((coarse == value).astype(np.uint8), connectivity=4)
        labels += np.where(pieces > 0, pieces + labels.max(), 0)
    labels = np.unique(labels, return_inverse=True)[1].reshape(coarse.shape)
    spread = rng.integers(0, 20, (labels.max() + 1, 3))[labels]
    colors, texture = (np.minimum(spread + rng.integers(0, 5, (*labels.shape, 3)), 24) for _ in range(2))
    return labels, colors, texture


@pytest.mark.parametrize("measure", ["CTSF", "TSF", "C", "T", "S", "F"])
@pytest.mark.parametrize("seed", range(3))
def test_merging_equals_the_procedure_written_out(measure, seed):
    labels, colors, texture = segmentation(np.random.default_rng(seed), 15, 21)
    assert labels.max() > 8
    expected = by_definition(labels, colors, texture, measure)
    np.testing.assert_array_equal(merge(Segments(labels, colors, texture), measure), expected)


def test_histograms_sum_to_one_and_neighbors_share_an_edge():
    labels = np.array([[0, 0, 1], [2, 2, 1], [2, 3, 3]])
    bins = np.arange(27).reshape(3, 3, 3) % 5
    regions = Segments(labels, bins, bins)
    assert list(zip(*map(np.ndarray.tolist, regions.neighbors), strict=True)) == [
        (0, 1),
        (0, 2),
        (1, 2),
        (1, 3),
        (2, 3),
    ]
    assert regions.sizes.tolist() == [2, 2, 3, 2]
    assert np.abs(regions.extents).tolist() == [[0, 0, 2, 1], [2, 0, 3, 2], [0, 1, 2, 3], [1, 2, 3, 3]]
    for shares in (regions.color, regions.texture):
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    # pixel (0, 0) has bins 0, 1, 2 and pixel (0, 1) bins 3, 4, 0
    assert np.flatnonzero(regions.color[0]).tolist() == [0, 3, 25 + 1, 25 + 4, 50 + 0, 50 + 2]


def test_colors_fill_the_range_of_their_bins():
    blue, gray = np.uint8([[[0, 0, 255]]]), np.uint8([[[51, 51, 51]]])
    np.testing.assert_allclose(proposals._color_spaces(blue)["hsv"], [[[240 / 360, 1, 1]]], atol=1e-6)
    np.testing.assert_allclose(proposals._color_spaces(gray)["hsv"], [[[0, 0, 0.2]]], atol=1e-6)
    lightness, a, b = 32.30, 79.19, -107.86  # of sRGB's blue, as CIE defines them for the white D65
    expected = [[[lightness / 100, (a + 128) / 255, (b + 128) / 255]]]
    np.testing.assert_allclose(proposals._color_spaces(blue)["lab"], expected, atol=2e-3)


SLOPES = ((2, 1), (1, 2), (-1, 2), (-2, 1), (-2, -1), (-1, -2), (1, -2), (2, -1))  # one for each eighth of a turn


@pytest.mark.parametrize(("eighth", "slope"), list(enumerate(SLOPES)))
def test_texture_is_the_direction_of_the_slope_and_its_steepness(eighth, slope):
    y, x = np.mgrid[:20, :20] - 9.5
    pixels = np.full((20, 20, 3), 128, np.uint8)
    pixels[..., 0] = 128 + 4 * (slope[0] * x + slope[1] * y)
    bins = proposals._texture_bins(pixels)[5:-5, 5:-5]  # where the blur meets no border
    # from the left to the right neighbor 2 * 4 * slope / 255; 1.4 times the root of the length, 0.0702, is 0.371
    assert (bins[..., 0] == eighth * proposals.STRENGTHS + 3).all()
    assert (bins[..., 1:] == 0).all()


@settings(max_examples=40)
@given(arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30), st.just(3))), st.integers(1, 20))
def test_boxes_are_large_enough_distinct_and_inside_and_the_first_is_the_whole_image(pixels, most):
    height, width = pixels.shape[:2]
    boxes = selective_search(pixels)
    assert boxes.dtype == np.float32 and boxes.shape[1] == 4
    assert boxes[0].tolist() == [0, 0, width, height]
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [width, height]).all()
    assert (boxes[1:, 2:] - boxes[1:, :2] >= proposals.SHORTEST).all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    np.testing.assert_array_equal(selective_search(pixels, most=most), boxes[:most])


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (700, 1), (3, 3), (48, 64)])
def test_an_image_of_one_color_is_one_box(size):
    boxes = selective_search(np.full((*size, 3), 90, np.uint8))
    assert boxes.tolist() == [[0, 0, size[1], size[0]]]


SHAPES = np.float32([[8, 6, 40, 30], [60, 10, 84, 50], [12, 42, 52, 86], [66, 62, 92, 88], [20, 52, 42, 74]])


@pytest.mark.parametrize("size", [1, 5])
def test_flat_shapes_are_found(size):
    """Also one shape within another, and in an image that is reduced first."""
    image = np.full((96, 100, 3), (200, 210, 190), np.uint8)
    colors = ((180, 30, 40), (20, 90, 200), (30, 140, 60), (230, 180, 20), (90, 20, 120))
    for (x1, y1, x2, y2), color in zip(SHAPES.astype(int).tolist(), colors, strict=True):
        image[y1:y2, x1:x2] = color
    boxes = selective_search(image.repeat(size, axis=0).repeat(size, axis=1), most=50)
    assert (iou_matrix(SHAPES * size, boxes).max(axis=1) > 0.8).all()


def test_an_image_of_twice_the_size_has_the_same_boxes_enlarged():
    pixels = cv2.resize(data.coffee(), (proposals.SIDE, 140), interpolation=cv2.INTER_AREA)
    boxes, larger = selective_search(pixels), selective_search(pixels.repeat(2, axis=0).repeat(2, axis=1))
    # the larger image has small boxes besides, and those come last
    assert len(larger) >= len(boxes) > 200
    np.testing.assert_array_equal(larger[:200] / 2, boxes[:200])


def test_no_two_boxes_are_alike_and_what_is_there_is_found():
    """The eyes of the cat in scikit-image's photo, whose boxes were measured by hand."""
    boxes = selective_search(data.chelsea())
    overlaps = iou_matrix(boxes, boxes)
    assert overlaps[~np.eye(len(boxes), dtype=bool)].max() < proposals.ALIKE
    eyes = np.float32([[137, 86, 208, 147], [295, 110, 344, 164]])
    assert (iou_matrix(eyes, boxes[:500]).max(axis=1) > 0.8).all()


@pytest.fixture
def searches(monkeypatch):
    """The sizes of the images that were searched."""
    sizes = []

    def search(pixels, *, most):
        sizes.append(pixels.shape)
        return selective_search(pixels, most=most)

    monkeypatch.setattr(proposals, "selective_search", search)
    return sizes


IMAGE = data.rocket()[100:196:2, 200:328:2]


def test_a_cache_searches_once_for_any_number_of_boxes(tmp_path, searches):
    cache, expected = ProposalCache(tmp_path / "new" / "folder"), selective_search(IMAGE)
    for most in (3, 2000, None):
        boxes = cache(IMAGE, most)
        assert boxes.dtype == np.float32
        np.testing.assert_array_equal(boxes, expected[:most])
    np.testing.assert_array_equal(ProposalCache(cache.folder)(IMAGE.copy(), most=5), expected[:5])
    assert len(searches) == len(list(cache.folder.iterdir())) == 1


def test_other_pixels_sizes_and_settings_are_searched_anew(tmp_path, searches, monkeypatch):
    cache = ProposalCache(tmp_path)
    changed = IMAGE.copy()
    changed[5, 5, 0] ^= 1
    for pixels in (IMAGE, changed, IMAGE.reshape(64, 48, 3)):
        cache(pixels)
    monkeypatch.setattr(proposals, "SCALES", (40,))
    np.testing.assert_array_equal(cache(IMAGE), selective_search(IMAGE))
    assert len(searches) == len(list(tmp_path.iterdir())) == 4


def test_files_of_another_version_of_the_search_are_left_alone(tmp_path, searches, monkeypatch):
    cache = ProposalCache(tmp_path)
    cache(IMAGE)
    for name, value in (("VERSION", -1), ("version", lambda package: "0.0")):
        monkeypatch.setattr(proposals, name, value)
        cache(IMAGE)
    assert len(searches) == len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "other"])
def test_a_damaged_file_is_replaced(tmp_path, searches, damage):
    cache = ProposalCache(tmp_path)
    expected = cache(IMAGE)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    flipped = whole[:50] + bytes([whole[50] ^ 1]) + whole[51:]
    path.write_bytes({"empty": b"", "short": whole[:-16], "flipped": flipped, "other": b"no boxes at all" * 9}[damage])
    np.testing.assert_array_equal(cache(IMAGE), expected)
    assert path.read_bytes() == whole and len(searches) == 2


def test_two_writers_of_one_file_leave_it_whole(tmp_path, monkeypatch):
    together = Barrier(2)

    def search(pixels, *, most):
        together.wait(timeout=60)
        return selective_search(pixels, most=most)

    monkeypatch.setattr(proposals, "selective_search", search)
    cache = ProposalCache(tmp_path)
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(cache, [IMAGE, IMAGE])
    np.testing.assert_array_equal(one, other)
    monkeypatch.setattr(proposals, "selective_search", None)
    np.testing.assert_array_equal(cache(IMAGE), one)
    assert len(list(tmp_path.iterdir())) == 1
