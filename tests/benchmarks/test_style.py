"""The comparison of ways to repaint: what is measured of an image, whose turn it is, and what the table says."""

import re
import shutil
import sys
from functools import partial

import numpy as np
import pytest
import style
import style_contestants
import style_measures
import style_speed
import torch
from PIL import Image
from skimage import data
from style_contestants import MicroAST, Ours
from style_measures import Quality
from tiny_styles import write_distilled, write_micro_ast, write_photos, write_tiny_encoder, write_tiny_fast

pytestmark = pytest.mark.slow


def looped_gram(features):
    """A Gram matrix by its definition: means over positions of products of two channels."""
    channels, height, width = features.shape
    gram = np.zeros((channels, channels))
    for k in range(channels):
        for other in range(channels):
            for i in range(height):
                for j in range(width):
                    gram[k, other] += features[k, i, j] * features[other, i, j] / (height * width)
    return gram


def test_gram_error_matches_a_plain_loop():
    random = np.random.default_rng(0)
    ours, target = ([random.normal(size=(c, *size)) for c in (2, 3)] for size in ((4, 5), (3, 2)))
    expected = 0
    for own, wanted in zip(ours, target, strict=True):
        difference, whole = looped_gram(own) - looped_gram(wanted), looped_gram(wanted)
        expected += sum(value**2 for value in difference.flat) / sum(value**2 for value in whole.flat) / 2
    assert style_measures.gram_error(ours, target) == pytest.approx(expected)
    assert style_measures.gram_error(ours, ours) == 0
    assert style_measures.gram_error([2 * one for one in ours], ours) == pytest.approx(9), "(4 - 1)^2"


def test_quality_compares_style_features_and_content_pixels(tmp_path):
    write_distilled(tmp_path)
    features = style_measures.teacher_features(tmp_path)
    content, painting = (style_measures.fill(image, (300, 300)) for image in (data.chelsea(), data.coffee()))
    seen = features(painting)
    assert [len(layer) for layer in seen] == [3, 4, 5, 6, 6]
    assert [layer.shape[1] for layer in seen] == [256, 128, 64, 32, 16]
    assert Quality.of(content, content, features(content), features) == Quality(gram=0, ssim=1)
    painted = Quality.of(painting, content, seen, features)
    assert painted.gram == 0 and painted.ssim < 0.5
    assert Quality.of(content, content, seen, features).gram > 0.01
    assert Quality.mean([painted, Quality(1, painted.ssim)]) == Quality(0.5, pytest.approx(painted.ssim))


@pytest.mark.parametrize(("size", "size_of"), [((60, 40), "wide"), ((40, 60), "high"), ((30, 30), "square")])
def test_the_center_of_an_image_fills_the_size(size, size_of):
    ramp = np.zeros((80, 200, 3), np.uint8)
    ramp[..., 0] = np.arange(200)  # red tells the column
    filled = style_measures.fill(ramp, size)
    assert filled.shape == (size[1], size[0], 3)
    scale = max(size[0] / 200, size[1] / 80)
    columns = 99.5 + (np.arange(size[0]) - (size[0] - 1) / 2) / scale
    np.testing.assert_allclose(filled[0, :, 0], columns, atol=1.5, err_msg=size_of)


def test_images_are_read_by_name_and_spread_out(tmp_path):
    for name in ("c.png", "a.jpg", "b.png"):
        Image.fromarray(data.coffee()[::8, ::8]).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    images = style_measures.read_images(tmp_path, (24, 16))
    assert list(images) == ["a", "b", "c"] and images["b"].shape == (16, 24, 3)
    assert style_measures.spread_out("abcdefghi", 4) == list("aceg")
    assert style_measures.spread_out("abc", 4) == list("abc")


def test_every_work_takes_a_turn_in_every_round():
    ticks, log = iter(range(1000)), []
    clock = partial(next, ticks)
    slow = style_speed.timed(lambda: (log.append("slow"), [clock() for _ in range(4)]), clock)
    quick = style_speed.timed(lambda: log.append("quick"), clock)
    seconds = style_speed.take_turns([slow, quick], rounds=2)
    assert log == ["slow", "quick"] * 3, "the first round is for warming up"
    np.testing.assert_array_equal(seconds, [[5, 1], [5, 1]])


def test_peak_memory_is_that_of_a_new_process():
    kept = np.ones(40_000_000)  # 320 MB that are ours
    little, much = (style_speed.peak_megabytes(np.ones, count) for count in (1, 50_000_000))
    if little is None:
        pytest.skip("this system does not tell")
    assert much - little == pytest.approx(400, abs=8)
    assert little < kept.nbytes / 1e6


def test_micro_ast_gives_the_same_on_both_runtimes(tmp_path):
    decoder = write_micro_ast(tmp_path / "teachers")["decoder"]
    last = decoder["dec3.10.conv_layer.weight"]  # sees edges alone, or all of it would be black
    last.sub_(last.mean((2, 3), keepdim=True)).mul_(300)
    decoder["dec3.10.conv_layer.bias"].fill_(0.5)
    torch.save(decoder, tmp_path / "teachers" / "microast_decoder.pth")
    style_contestants.write_micro_ast(tmp_path / "teachers", tmp_path / "model")
    painters = MicroAST(tmp_path / "teachers", 1), Ours("fast", 1, model=str(tmp_path / "model"))
    content, painting = data.chelsea()[:60, :84], data.coffee()[:64, :64]
    published, ours = (style_contestants.stylize(painter, content, painting) for painter in painters)
    assert published.shape == (60, 84, 3) and published.std() > 5
    assert np.abs(published.astype(int) - ours).max() <= 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, teachers and models of a tiny run."""
    folder = tmp_path_factory.mktemp("style")
    write_photos(folder / "photos", 2)
    write_photos(folder / "paintings", 3)
    write_distilled(folder / "teachers")
    write_micro_ast(folder / "teachers")
    style_contestants.write_micro_ast(folder / "teachers", folder / "micro-ast")
    write_tiny_fast(folder / "fast")
    write_tiny_encoder(folder / "encoder")
    return folder


@pytest.fixture
def benchmark(folder, monkeypatch, capsys):
    """Run the benchmark on small images and return what it prints."""
    monkeypatch.setattr(style, "SIDE", 64)
    monkeypatch.setattr(style, "LARGE", (96, 64))
    monkeypatch.setattr(
        style,
        "write_micro_ast",
        lambda teachers, output: shutil.copytree(folder / "micro-ast", output, dirs_exist_ok=True),
    )
    monkeypatch.setattr(style, "peak_megabytes", lambda work, *arguments: (work(*arguments), 1234.5)[1])

    def run(*words):
        models = "--model", folder / "fast", "--encoder", folder / "encoder", "--threads", 1, "--rounds", 1
        command = ["style.py", "--data", folder, "--teachers", folder / "teachers", *models, *words]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        style.main()
        return capsys.readouterr().out.splitlines()

    return run


def test_the_benchmark_measures_quality_time_and_memory_of_all_methods(benchmark, tmp_path):
    everything = "--sizes", "64x48", "--subset", 2, 1, "--iterations", 2, "--output", tmp_path
    head, *rows = (re.split(r"  +", line) for line in benchmark(*everything))
    assert head == [
        "",
        "runtime",
        "pairs",
        "Gram error",
        "SSIM",
        "of 2: Gram error",
        "SSIM",
        "64x48 s",
        "prepared",
        "MB",
    ]
    table, verdicts = rows[:6], rows[6:]
    names = ["fast", "MicroAST", "MicroAST", "color", "optimize", "optimize, VGG-19"]
    assert [row[0] for row in table] == names
    assert [row[2] for row in table] == ["6", "6", "6", "6", "2", "-"]
    assert table[1][3:7] == table[2][3:7], "the runtimes do not matter for quality"
    assert table[4][3:7] == [*table[4][3:5], *table[4][3:5]], "all of its pairs are those of the subset"
    assert all(re.fullmatch(r"\d+\.\d+ \(\d+\.\d+\)", row[7]) for row in table)
    assert [row[8] == "-" for row in table] == [False] * 4 + [True] * 2
    assert all(row[9] == "1,234" for row in table)
    assert len(verdicts) == 6 and all(row[0] in ("PASS", "FAIL") for row in verdicts)
    assert sorted(path.name for path in (tmp_path / "optimize").iterdir()) == ["0__0.png", "1__0.png"]
    sheet = np.asarray(Image.open(tmp_path / "contact_sheet.jpg"))
    assert sheet.shape[1] == 7 * (style.TILE + 6) + 6, "content, style and five methods"


def test_results_of_a_run_are_measured_again(benchmark, tmp_path, folder):
    first = benchmark("--methods", "color", "--sizes", "--output", tmp_path)
    image = tmp_path / "color" / "0__1.png"
    content = style_measures.read_images(folder / "photos", (64, 64))["0"]
    Image.fromarray(content).save(image)
    again = benchmark("--methods", "color", "--sizes", "--output", tmp_path, "--reuse")
    fresh = benchmark("--methods", "color", "--sizes", "--output", tmp_path)
    assert first == fresh != again
    assert not np.array_equal(np.asarray(Image.open(image)), content), "repainted without --reuse"


def test_verdicts_use_ratios_within_a_round(capsys):
    lines = {name: style.Line(name, "") for name in ("fast", "micro-ast", "micro-ast-onnx", "optimize", "vgg19")}
    size, slow = (512, 512), np.array([1.0, 2, 30])
    factors = {"fast": 0.9, "micro-ast": 1, "micro-ast-onnx": 0.8, "optimize": 0.2, "vgg19": 1}
    for name, factor in factors.items():
        lines[name].seconds[size] = factor * slow
    lines["fast"].megabytes[style.LARGE] = 1999.0
    lines["fast"].quality[("a", "b")], lines["micro-ast"].quality[("a", "b")] = Quality(0.07, 0.5), Quality(0.05, 0.5)
    style.print_verdicts(lines, size)
    verdicts = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert verdicts == ["PASS", "FAIL", "FAIL", "PASS", "FAIL", "PASS"]
    style.print_verdicts({"fast": lines["fast"]}, size)
    assert capsys.readouterr().out.count("not measured") == 5
