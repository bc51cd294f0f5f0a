"""The fast method with a tiny network: both runtimes, tiles, strength and several styles."""

from itertools import pairwise
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from tiny_styles import write_tiny_encoder, write_tiny_fast

from vision_app import Stylizer
from vision_app.core.errors import ModelError
from vision_app.released.execution import Execution
from vision_app.released.find import find
from vision_app.style.checks import at_most
from vision_app.style.fast import FAINT, FastStylizer, in_tiles, open_onnx, open_torch, spans

PHOTO = data.astronaut()
STYLE, OTHER = (np.ascontiguousarray(image()[:160, :200]) for image in (data.coffee, data.rocket))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_fast(tmp_path_factory.mktemp("models") / "fast")


@pytest.fixture(scope="module")
def stylizer(folder):
    return Stylizer.load("fast", model=folder, threads=1)


@pytest.fixture(scope="module")
def coffee(stylizer):
    return stylizer.prepare(STYLE)


@pytest.fixture(scope="module")
def two(stylizer):
    return stylizer.prepare([STYLE, OTHER])


@pytest.mark.parametrize("shape", [(32, 32), (61, 98)])
def test_both_runtimes_give_the_same(folder, shape):
    model = find(folder)
    onnx, torch = open_onnx(model, 1), open_torch(model, Execution("cpu", "torch", 1))
    content = np.ascontiguousarray(PHOTO[: shape[0], : shape[1]])
    codes = [network.encode(STYLE) for network in (onnx, torch)]
    np.testing.assert_allclose(*codes, rtol=1e-3, atol=1e-4)
    empty = np.full(64, np.nan, np.float32)
    (one, its), (other, others) = (network.stylize(content, codes[0], empty) for network in (onnx, torch))
    assert one.shape == other.shape == content.shape and np.isfinite(one).all()
    np.testing.assert_allclose(one, other, atol=1e-3)
    np.testing.assert_allclose(its, others, rtol=1e-3, atol=1e-4)


@settings(max_examples=8)
@given(height=st.integers(40, 330), width=st.integers(40, 330), tile=st.integers(130, 260))
def test_tiles_match_one_piece_with_the_same_statistics(stylizer, coffee, height, width, tile):
    content = np.ascontiguousarray(PHOTO[:height, :width])
    own = np.full(64, np.nan, np.float32)
    _, statistics = stylizer.network.stylize(content, coffee.codes[0], own)
    given = SimpleNamespace(
        runtime="onnx", device="cpu",
        stylize=lambda pixels, code, _: stylizer.network.stylize(pixels, code, statistics),
    )  # fmt: skip
    whole = FastStylizer(stylizer.models[0], given, tile=1000).stylize(content, coffee.codes[0])
    tiled = FastStylizer(stylizer.models[0], given, tile=tile).stylize(content, coffee.codes[0])
    assert tiled.shape == whole.shape == content.shape and whole.std() > 5
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_all_tiles_use_the_statistics_of_the_whole_image(stylizer, coffee):
    seen = []

    def stylize(pixels, code, statistics):
        seen.append((pixels.shape, statistics))
        return pixels / np.float32(255), np.full(64, 7, np.float32)

    network = SimpleNamespace(runtime="onnx", device="cpu", stylize=stylize)
    content = np.ascontiguousarray(PHOTO[:300])
    painted = FastStylizer(stylizer.models[0], network, tile=200).stylize(content, coffee.codes[0])
    assert np.array_equal(painted, content)
    (shape, first), *tiles = seen
    assert shape == (117, 200, 3) and np.isnan(first).all()  # 300 x 512 with a long side of 200
    assert all((statistics == 7).all() for _, statistics in tiles) and len(tiles) > 4


def test_no_tile_is_larger_than_the_limit(stylizer, coffee):
    sides = []

    def stylize(pixels, code, statistics):
        sides.append(max(pixels.shape))
        return np.zeros(pixels.shape, np.float32), np.zeros(64, np.float32)

    network = SimpleNamespace(runtime="onnx", device="cpu", stylize=stylize)
    result = FastStylizer(stylizer.models[0], network).stylize(np.zeros((2160, 3840, 3), np.uint8), coffee.codes[0])
    assert result.shape == (2160, 3840, 3) and max(sides) <= 1024


def test_strength_goes_from_the_content_to_the_style(stylizer, coffee):
    content = np.ascontiguousarray(PHOTO[:96, :128])
    painted = {strength: stylizer(content, coffee, strength=strength).pixels for strength in (0, 0.001, 0.5, 1)}
    assert np.array_equal(painted[0], content)
    assert np.abs(painted[0.001].astype(int) - content).max() <= 1  # no jump at 0
    own = stylizer.network.encode(content)
    half = stylizer.stylize(content, (own + coffee.codes[0]) / 2)
    assert np.abs(painted[0.5].astype(int) - half).max() <= 1
    assert np.array_equal(painted[1], stylizer.stylize(content, coffee.codes[0]))
    faint = stylizer(content, coffee, strength=FAINT / 2).pixels.astype(float)
    mixed = stylizer.stylize(content, (1 - FAINT / 2) * own + FAINT / 2 * coffee.codes[0]).astype(float)
    assert np.abs(faint - (mixed + content) / 2).max() <= 1


def test_the_code_of_a_content_is_computed_at_the_size_of_styles(stylizer, coffee):
    seen = []

    def encode(pixels):
        seen.append(pixels)
        return coffee.codes[0]

    network = SimpleNamespace(
        runtime="onnx", device="cpu", encode=encode, stylize=lambda pixels, code, _: (pixels / np.float32(255), code)
    )
    large = np.ascontiguousarray(np.tile(data.rocket(), (1, 2, 1)))  # 427 x 1280
    FastStylizer(stylizer.models[0], network, tile=2000)(large, coffee, strength=0.5)
    assert len(seen) == 1 and np.array_equal(seen[0], at_most(large, 512)) and seen[0].shape == (171, 512, 3)


def test_several_styles_are_mixed_by_their_weights(stylizer, coffee, two):
    content = np.ascontiguousarray(PHOTO[:64, :80])
    assert np.array_equal(stylizer(content, two, weights=(1, 0)).pixels, stylizer(content, coffee).pixels)
    equal = stylizer(content, two)
    assert np.array_equal(equal.pixels, stylizer(content, two, weights=(5, 5)).pixels)
    assert np.array_equal(equal.pixels, stylizer.stylize(content, two.codes.mean(0)))
    mostly = stylizer(content, two, weights=(0.7, 0.3)).pixels
    assert not np.array_equal(mostly, equal.pixels)


def test_a_network_with_nan_output_raises(stylizer, coffee):
    empty = SimpleNamespace(
        runtime="onnx", device="cpu", encode=lambda pixels: coffee.codes[0],
        stylize=lambda pixels, code, statistics: (np.full(pixels.shape, np.nan, np.float32), statistics),
    )  # fmt: skip
    with pytest.raises(ModelError, match="produced NaN or infinity; its weights are damaged"):
        FastStylizer(stylizer.models[0], empty)(PHOTO, coffee)


def test_a_model_of_another_task_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is for style-features, not for style-transfer"):
        Stylizer.load("fast", model=write_tiny_encoder(tmp_path / "encoder"))


@given(length=st.integers(1, 5000), overlap=st.integers(0, 80), multiple=st.integers(1, 8), more=st.integers(0, 600))
def test_spans_cover_a_length_with_enough_context(length, overlap, multiple, more):
    tile = 2 * overlap + multiple + more
    parts = spans(length, tile, overlap, multiple)
    assert parts[0].first == 0 and parts[-1].last == length
    for part in parts:
        assert 0 <= part.start <= part.first < part.last <= part.stop <= length
        assert part.stop - part.start <= tile and part.start % multiple == 0
        assert part.start == 0 or part.first - part.start >= overlap
        assert part.stop == length or part.stop - part.last >= overlap
    for one, other in pairwise(parts):
        assert one.last == other.first
    lengths = [part.stop - part.start for part in parts]
    assert len(set(lengths[:-1])) <= 1 and lengths[0] - lengths[-1] < multiple  # so that a network can reuse memory


def test_spans_are_as_few_and_as_short_as_possible():
    assert len(spans(512, 512, 60, 4)) == 1
    assert len(spans(513, 512, 60, 4)) == 2
    assert len(spans(512 + 392, 512, 60, 4)) == 2  # 392 = 512 - 2 * 60 more with every tile
    assert len(spans(512 + 393, 512, 60, 4)) == 3
    assert [part.stop - part.start for part in spans(600, 512, 60, 4)] == [360, 360]  # 600 + 2 * 60, halved


@pytest.mark.parametrize("shape", [(40, 60), (131, 64), (97, 150), (203, 255)])
def test_a_filter_no_wider_than_the_overlap_gives_the_same_in_tiles(shape):
    pixels = np.ascontiguousarray(data.astronaut()[: shape[0], : shape[1]])
    seen = []

    def blur(part):
        seen.append(part.shape)
        return cv2.blur(part, (17, 17), borderType=cv2.BORDER_REFLECT_101)

    whole = blur(pixels)
    tiled = in_tiles(pixels, blur, tile=64, overlap=8, multiple=4)
    assert np.array_equal(tiled, whole)
    assert max(max(rows, columns) for rows, columns, _ in seen[1:]) <= 64
