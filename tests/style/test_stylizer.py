"""`Stylizer` and its three methods, as programs use them."""

import numpy as np
import pytest
from PIL import Image
from skimage import data
from tiny_styles import tiny_fast, write_tiny_encoder, write_tiny_fast
from torch import nn

from vision_app import StyleOptions, Stylizer, read_image
from vision_app.core.errors import ImageError, UsageError
from vision_app.core.images import write_image
from vision_app.style import color
from vision_app.style.optimize.loop import optimize
from vision_app.style.options import METHODS, OptimizeConfig
from vision_app.style.samples.samples import sample
from vision_app.style.stylizer import Output
from vision_app.style.train.export import write_fast

pytestmark = pytest.mark.slow

PHOTO = np.ascontiguousarray(data.astronaut()[:80, 100:200])
STYLE, OTHER = (np.ascontiguousarray(image()[:96, :96]) for image in (data.coffee, data.rocket))
GREY = np.repeat(data.camera()[:80, :90, None], 3, axis=2)
FLAT = np.full((64, 64, 3), (40, 90, 200), np.uint8)


@pytest.fixture(scope="module")
def stylizers(tmp_path_factory):
    """One of each method, with tiny networks."""
    folder = tmp_path_factory.mktemp("models")
    network = tiny_fast()
    nn.init.constant_(network.decoder.last.bias, 0.5)  # neither black
    nn.init.normal_(network.decoder.last.weight, std=0.3)  # nor of one color
    write_fast(network, fast := folder / "fast", name="fast")
    encoder = write_tiny_encoder(folder / "encoder")
    return {
        "fast": Stylizer.load("fast", model=fast, threads=1),
        "optimize": Stylizer.load("optimize", encoder=encoder, model=fast, device="cpu", threads=1),
        "color": Stylizer.load("color"),
    }


def options(method, **more):
    return StyleOptions(**({"iterations": 3} if method == "optimize" else {}) | more)


@pytest.mark.parametrize("method", METHODS)
def test_a_result_has_the_size_of_the_content_and_describes_itself(stylizers, method, tmp_path):
    write_image(tmp_path / "photo.png", PHOTO)
    write_image(tmp_path / "style.png", STYLE)
    found = stylizers[method](tmp_path / "photo.png", tmp_path / "style.png", options(method))
    assert found.pixels.shape == PHOTO.shape and found.pixels.dtype == np.uint8
    assert not np.array_equal(found.pixels, PHOTO)
    assert (found.content, found.styles) == (str(tmp_path / "photo.png"), (str(tmp_path / "style.png"),))
    steps = 3 if method == "optimize" else None
    assert found.to_dict() | {"cost": None} == {
        "width": 100, "height": 80, "styles": [str(tmp_path / "style.png")], "method": method,
        "model": stylizers[method].name, "iterations": steps, "cost": None, "stopped": False, "notes": [],
    }  # fmt: skip
    assert (found.cost is None) == (method != "optimize")
    with pytest.raises(ValueError, match="read-only"):
        found.pixels[0, 0] = 0


@pytest.mark.parametrize("method", METHODS)
def test_prepared_styles_give_the_same_result(stylizers, method):
    stylizer = stylizers[method]
    prepared = stylizer.prepare([STYLE, OTHER])
    mixed = stylizer(PHOTO, prepared, options(method, weights=(2, 1)))
    again = stylizer(read_image(PHOTO), [STYLE, OTHER], options(method), weights=(2, 1))
    assert np.array_equal(mixed.pixels, again.pixels)
    assert not np.array_equal(mixed.pixels, stylizer(PHOTO, prepared, options(method, weights=(0, 1))).pixels)


@pytest.mark.parametrize("method", METHODS)
def test_zero_strength_returns_the_content_exactly(stylizers, method):
    assert np.array_equal(stylizers[method](PHOTO, STYLE, strength=0).pixels, PHOTO)


def cut_out():
    """A photo of which a circle with a soft edge is left."""
    rows, columns = np.ogrid[:80, :100]
    distance = np.hypot(rows - 40, columns - 50)
    return np.dstack([PHOTO, np.uint8((30 - distance).clip(0, 5) * 51)])


@pytest.mark.parametrize("size", [100, 50, 160])
@pytest.mark.parametrize("method", METHODS)
def test_what_is_transparent_stays_so(stylizers, method, size):
    content, keep_colors = cut_out(), "no" if method == "color" else "luminance"
    found = stylizers[method](content, STYLE, options(method, size=size, keep_colors=keep_colors))
    assert found.pixels.shape == (size * 4 // 5, size, 4)
    alpha = Image.fromarray(content[..., 3]).resize((size, size * 4 // 5), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(found.pixels[..., 3], alpha)
    assert (found.width, found.height) == alpha.size


@pytest.mark.parametrize("method", METHODS)
def test_zero_strength_returns_a_cut_out_without_a_white_rim(stylizers, method):
    content = cut_out()
    found = stylizers[method](content, STYLE, options(method, strength=0.0)).pixels
    assert np.abs(found[..., :3].astype(int) - content[..., :3])[content[..., 3] > 50].max() <= 3


@pytest.mark.parametrize("method", METHODS)
def test_an_opaque_content_with_an_alpha_channel_gives_what_it_gives_without(stylizers, method):
    opaque = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])
    results = [stylizers[method](content, STYLE, options(method)).pixels for content in (opaque, PHOTO)]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("method", METHODS)
def test_a_size_is_the_long_side_of_the_result(stylizers, method):
    smaller = stylizers[method](PHOTO, STYLE, options(method), size=60)
    assert smaller.pixels.shape == (48, 60, 3) and smaller.notes == ()  # as it was asked for
    larger = stylizers[method](PHOTO, STYLE, options(method), size=130)
    assert larger.pixels.shape == (104, 130, 3) and larger.notes == ()


def test_optimize_limits_the_default_size(stylizers, monkeypatch):
    monkeypatch.setattr(type(stylizers["optimize"]), "longest_side", 64)
    assert stylizers["optimize"](PHOTO, STYLE, iterations=1).notes == ("scaled down from 100 x 80 pixels",)
    assert stylizers["optimize"](PHOTO, STYLE, iterations=1, size=100).pixels.shape == PHOTO.shape


@pytest.mark.parametrize("keep", ["luminance", "histogram"])
@pytest.mark.parametrize("method", ["fast", "optimize"])
def test_the_contents_colors_are_kept(stylizers, method, keep):
    painted = stylizers[method](PHOTO, STYLE, options(method)).pixels
    kept = stylizers[method](PHOTO, STYLE, options(method), keep_colors=keep).pixels
    keeping = color.keep_luminance if keep == "luminance" else color.match_histogram
    assert np.array_equal(kept, keeping(PHOTO, painted))


def test_colors_of_several_styles_are_mixed(stylizers):
    one, other = (color.transfer(PHOTO, style, 0.5).astype(float) for style in (STYLE, OTHER))
    mixed = stylizers["color"](PHOTO, [STYLE, OTHER], weights=(3, 1), strength=0.5).pixels
    assert np.abs(mixed - (0.75 * one + 0.25 * other)).max() <= 0.5 + 1e-3


def test_optimize_receives_all_options(stylizers):
    stylizer = stylizers["optimize"]
    chosen = {
        "alpha": 2.0, "beta": 30.0, "total_variation": 9.0, "iterations": 4, "optimizer": "adam", "start": "noise",
        "seed": 5,
    }  # fmt: skip
    found = stylizer(PHOTO, [STYLE, OTHER], StyleOptions(strength=0.5, weights=(1, 3), **chosen))
    config = OptimizeConfig(strength=0.5, **chosen)
    wanted = optimize(PHOTO, [STYLE, OTHER], stylizer.encoder, config, weights=(0.25, 0.75))
    assert np.array_equal(found.pixels, wanted.pixels)
    assert (found.iterations, found.cost) == (4, wanted.costs[-1][0])


def test_optimize_can_start_from_the_fast_result(stylizers):
    found = stylizers["optimize"](PHOTO, STYLE, start="fast", iterations=2)
    start = stylizers["fast"](PHOTO, STYLE).pixels
    config = OptimizeConfig(start="fast", iterations=2)
    wanted = optimize(PHOTO, [STYLE], stylizers["optimize"].encoder, config, start=start)
    assert np.array_equal(found.pixels, wanted.pixels)
    digests = {stylizers["optimize"].digest(StyleOptions(start=begin)) for begin in ("content", "fast")}
    assert len(digests) == 2  # the fast network counts where it is used


def test_optimize_is_stopped_by_a_report(stylizers):
    seen = []

    def report(progress):
        seen.append(progress.iteration)
        return progress.iteration == 2

    found = stylizers["optimize"](PHOTO, STYLE, iterations=9, report=report)
    assert seen == [1, 2] and found.stopped and found.iterations == 2


@pytest.mark.parametrize("method", METHODS)
def test_unusual_images_are_stylized_and_noted(stylizers, method):
    stylizer = stylizers[method]
    for content, style, note in (
        (GREY, STYLE, "the content is gray"),
        (FLAT, STYLE, "the content has one color"),
        (PHOTO, GREY, "the style <picture> is gray, and makes pictures gray"),
        (PHOTO, FLAT, "the style <picture> has one color, and no strokes to learn from"),
    ):
        found = stylizer(content, style, options(method))
        assert note in found.notes and found.pixels.shape == content.shape
        if found.pixels.std(axis=(0, 1)).max() < 1 and content is not FLAT:
            assert "the result has one color: this style leaves nothing to be seen" in found.notes


def test_an_almost_black_result_is_noted(stylizers, monkeypatch):
    monkeypatch.setattr(stylizers["fast"], "_stylize", lambda _: Output(PHOTO // 24))
    for keep in ("no", "luminance"):
        assert stylizers["fast"](PHOTO, STYLE, keep_colors=keep).notes == ("the result is almost black",)


@pytest.mark.parametrize(
    ("content", "style", "message"),
    [
        (np.full((64, 64, 3), np.nan), STYLE, "expected a uint8 array"),
        (PHOTO, STYLE.astype(np.float32), "expected a uint8 array"),
        (PHOTO[None], STYLE, "expected a uint8 array"),
        (PHOTO[:20], STYLE, "too small: 100 x 20 pixels"),
        (PHOTO, np.ascontiguousarray(np.tile(STYLE[:32], (1, 20, 1))), "too long: 1920 x 32 pixels"),
        ("nowhere.jpg", STYLE, "nowhere.jpg: no such file"),
        (PHOTO, "nowhere.jpg", "nowhere.jpg: no such file"),
    ],
)
def test_invalid_images_are_refused(stylizers, content, style, message):
    with pytest.raises(ImageError, match=message):
        stylizers["color"](content, style)


def test_styles_are_scaled_down_and_never_enlarged(stylizers):
    (small,) = stylizers["fast"].prepare(STYLE, StyleOptions(style_size=64)).pixels
    assert small.shape == (64, 64, 3)
    for method, shape in (("fast", (512, 512, 3)), ("optimize", (512, 512, 3))):
        (ours,) = stylizers[method].prepare("sample:gravel").pixels
        assert ours.shape == shape and np.array_equal(ours, sample("gravel"))
    large = np.ascontiguousarray(np.tile(data.rocket(), (2, 1, 1)))
    assert max(stylizers["fast"].prepare(large).pixels[0].shape) == 512
    assert stylizers["optimize"].prepare(large).pixels[0].shape == large.shape


def test_styles_prepared_for_something_else_are_refused(stylizers, tmp_path):
    fast = stylizers["fast"]
    prepared = fast.prepare(STYLE, StyleOptions(style_size=64))
    at_its_size = fast(PHOTO, prepared, style_size=64).pixels
    assert np.array_equal(at_its_size, fast(PHOTO, prepared).pixels)
    with pytest.raises(UsageError, match="style_size 80: these styles were prepared at 64; give it to prepare"):
        fast(PHOTO, prepared, style_size=80)
    for method in ("optimize", "color"):
        with pytest.raises(UsageError, match="prepared for method fast; let this stylizer prepare them"):
            stylizers[method](PHOTO, prepared)
    other = Stylizer.load("fast", model=write_tiny_fast(tmp_path / "fast", seed=1), threads=1)
    with pytest.raises(UsageError, match="prepared for another model; let this stylizer prepare them"):
        other(PHOTO, prepared)


@pytest.mark.parametrize("method", METHODS)
def test_no_style_at_all_is_refused(stylizers, method):
    for none in ([], ()):
        with pytest.raises(UsageError, match="style: at least one is needed"):
            stylizers[method](PHOTO, none)


def test_labels_distinguish_styles_of_one_name(stylizers):
    labels = [stylizers["color"].prepare(style).labels[0] for style in (STYLE, OTHER, STYLE)]
    assert labels[0] == labels[2] != labels[1] and all(label.startswith("<picture> ") for label in labels)


def test_a_wrong_option_is_refused_before_an_image_is_read(stylizers):
    with pytest.raises(UsageError, match="optimizer sgd: must be one of lbfgs, adam"):
        stylizers["optimize"]("nowhere.jpg", STYLE, optimizer="sgd")
    with pytest.raises(UsageError, match=r"unknown sample 'wavs'; did you mean 'waves'\?"):
        stylizers["optimize"](PHOTO, "sample:wavs")
