"""`vision-app style` as users run it, with tiny networks."""

import json
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from tiny_styles import tiny_fast, write_tiny_encoder
from torch import nn

from vision_app import Stylizer, read_image
from vision_app.batch.sinks import ImageFolder
from vision_app.core.images import write_image
from vision_app.style.train.export import write_fast

pytestmark = pytest.mark.slow

KEYS = [
    "file", "status", "error", "picture", "width", "height", "styles", "method", "model", "iterations", "cost",
    "stopped", "notes",
]  # fmt: skip
STATE = "unfinished.safetensors"


def rows_of(output):
    return [json.loads(line) for line in (output / "styles.jsonl").read_text(encoding="utf-8").splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with contents, styles of one name in two folders, and tiny networks."""
    place = tmp_path_factory.mktemp("style")
    parts = {
        "photos/a.jpg": data.astronaut()[:64, 100:180],
        "photos/a.png": data.coffee()[:72, :64],
        "photos/.hidden.png": data.coffee()[:72, :64],
        "photos/day 1/b.png": np.repeat(data.camera()[:64, :64, None], 3, axis=2),
        "one/wave.png": data.rocket()[100:180, 200:280],
        "two/wave.png": data.chelsea()[:80, :80],
    }
    for name, pixels in parts.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(place / name, np.ascontiguousarray(pixels))
    network = tiny_fast()
    nn.init.constant_(network.decoder.last.bias, 0.5)
    nn.init.normal_(network.decoder.last.weight, std=0.3)  # colors all over the range
    write_fast(network, place / "fast", name="fast")
    write_tiny_encoder(place / "encoder")
    return place


@pytest.fixture
def run(run_here, place):
    """Run `vision-app style WORD...` with the fast network in the folder."""
    return lambda *words: run_here("style", *words, "--model", "./fast", cwd=place)


@pytest.fixture
def optimize(run_here, place):
    """Run `vision-app style WORD...` with the classic method in the folder."""
    method = ["--method", "optimize", "--encoder", "./encoder", "--device", "cpu", "--iterations", 6]
    return lambda *words: run_here("style", *words, *method, cwd=place)


STYLES = ["--style", "one/wave.png", "--style", "two/wave.png"]


def test_each_content_and_style_gets_an_image_and_a_row(run, place, tmp_path):
    result = run("photos", "photos/a.png", *STYLES, "--strength", 0.8, "--output", tmp_path)
    assert result.returncode == 0 and result.stdout.startswith("8 images: 8 ok, 0 failed")
    rows = rows_of(tmp_path)
    assert [row["file"] for row in rows[::2]] == [
        "photos/a.jpg", "photos/a.png", "photos/day 1/b.png", "photos/a.png",
    ]  # fmt: skip
    assert [row["picture"] for row in rows] == [
        "a.jpg__wave.png.png", "a.jpg__wave.png-2.png", "a.png__wave.png.png", "a.png__wave.png-2.png",
        "day 1/b.png__wave.png.png", "day 1/b.png__wave.png-2.png",
        "a.png-2__wave.png.png", "a.png-2__wave.png-2.png",
    ]  # fmt: skip
    assert [row["styles"] for row in rows] == [["one/wave.png"], ["two/wave.png"]] * 4
    stylizer = Stylizer.load("fast", model=place / "fast")
    for row in rows:
        assert list(row) == KEYS
        assert row["notes"] == (["the content is gray"] if "b.png" in row["file"] else [])
        answer = stylizer(place / row["file"], place / row["styles"][0], strength=0.8)
        assert np.array_equal(read_image(tmp_path / row["picture"]).pixels, answer.pixels)
        assert (row["width"], row["height"]) == Image.open(place / row["file"]).size
    assert result.stderr == "note: photos/day 1/b.png: the content is gray\n" * 2
    assert len(list(tmp_path.rglob("*.png"))) == 8


def test_a_cut_out_stays_one(run, place, tmp_path):
    image = Image.fromarray(data.coffee()[:72, :64])
    alpha = Image.radial_gradient("L").resize(image.size)
    image.putalpha(alpha)
    image.save(tmp_path / "cut.png")
    result = run(tmp_path / "cut.png", "--style", "one/wave.png", "--output", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    (row,) = rows_of(tmp_path / "out")
    written = Image.open(tmp_path / "out" / row["picture"])
    assert written.mode == "RGBA" and written.getchannel("A").tobytes() == alpha.tobytes()
    assert (row["width"], row["height"]) == written.size == (64, 72)


def test_styles_are_mixed_in_one_image_when_asked_for(run, place, tmp_path):
    flags = ["--mix", "--weights", "0.7,0.3", "--size", 48, "--keep-colors", "luminance"]
    assert run("photos/a.jpg", *STYLES, *flags, "--output", tmp_path).returncode == 0
    (row,) = rows_of(tmp_path)
    assert row["picture"] == "a.jpg__wave.png+wave.png.png" and row["styles"] == ["one/wave.png", "two/wave.png"]
    assert (row["width"], row["height"]) == (48, 38) and row["notes"] == []
    answer = Stylizer.load("fast", model=place / "fast")(
        place / "photos/a.jpg", [place / style for style in row["styles"]],
        weights=(0.7, 0.3), size=48, keep_colors="luminance",
    )  # fmt: skip
    assert np.array_equal(read_image(tmp_path / row["picture"]).pixels, answer.pixels)


def test_names_that_join_to_the_same_stay_apart(run_here, place, tmp_path):
    for name in ("x/a__b", "x/a", "b__c", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(place / "one/wave.png", tmp_path / name)
    words = ["x/a__b", "x/a", "--style", "c", "--style", "b__c", "--output", "out", "--method", "color"]
    assert run_here("style", *words, cwd=tmp_path).returncode == 0
    assert "None" not in " ".join(path.read_text() for path in (tmp_path / "out").glob("*.json*"))
    images = [row["picture"] for row in rows_of(tmp_path / "out")]
    assert images == ["a__b__c.png", "a__b__b__c.png", "a__c.png", "a__b__c-2.png"]
    assert all((tmp_path / "out" / image).is_file() for image in images)


def test_what_cannot_be_painted_gets_a_row_that_says_why(run, place, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (20, 64)).save(folder / "small.png")
    Image.new("RGB", (900, 40)).save(folder / "wide.png")
    Image.new("RGB", (64, 64), (200, 0, 0)).save(folder / "flat.png")
    (folder / "torn.jpg").write_bytes(b"Dear diary")
    result = run(folder, "--style", "one/wave.png", "--output", tmp_path / "out")
    assert result.returncode == 1 and result.stdout.startswith("4 images: 1 ok, 3 failed (see styles.jsonl)")
    rows = {Path(row["file"]).name: row for row in rows_of(tmp_path / "out")}
    assert rows["flat.png"]["notes"] == ["the content has one color", "the result has one color"]
    for name, error in (("small.png", "too small: 20 x 64"), ("wide.png", "too long"), ("torn.jpg", "not an image")):
        assert list(rows[name]) == KEYS and rows[name]["error"].startswith(error)
        assert (rows[name]["picture"], rows[name]["styles"]) == (None, ["one/wave.png"])
        assert f"failed: {folder / name}: {error}" in result.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["flat.png__wave.png.png"]


def test_a_cut_run_resumes_with_the_same_bytes(run, tmp_path):
    words = ["photos", *STYLES, "--output", tmp_path]
    assert run(*words).returncode == 0
    whole = content(tmp_path)
    journal = tmp_path / "styles.jsonl"
    journal.write_bytes(whole["styles.jsonl"][:500])
    (tmp_path / "a.png__wave.png.png").unlink()
    (tmp_path / ".0123456789abcdef.part").touch()
    assert "continue it with --resume" in run(*words).stderr
    assert run(*words, "--resume").returncode == 0
    assert content(tmp_path) == whole


def test_a_style_that_was_replaced_is_noticed(run, place, tmp_path):
    style = place / "replaced.png"
    shutil.copy(place / "one/wave.png", style)
    words = ["photos", "--style", "replaced.png", "--output", tmp_path, "--resume"]
    assert run(*words).returncode == 0
    shutil.copy(place / "two/wave.png", style)
    refused = run(*words)
    assert (
        refused.returncode == 2
        and "cannot resume" in refused.stderr
        and '--style was ["replaced.png ' in refused.stderr
    )
    shutil.copy(place / "one/wave.png", style)
    assert "--strength was 1.0 and is now 0.5" in run(*words, "--strength", 0.5).stderr
    assert run(*words).returncode == 0


def test_the_classic_method_writes_previews_and_shows_its_progress(optimize, tmp_path, monkeypatch):
    monkeypatch.setattr("vision_app.cli.progress.SECONDS_BETWEEN_LINES", 0)
    result = optimize("photos/a.jpg", "--style", "one/wave.png", "--output", tmp_path, "--preview-every", 2)
    assert result.returncode == 0
    (row,) = rows_of(tmp_path)
    assert (row["method"], row["model"], row["iterations"]) == ("optimize", "./encoder", 6) and row["cost"] > 0
    names = [f"previews/a.jpg__wave.png/0000{number}.png" for number in (2, 4, 6)]
    assert sorted(name for name in content(tmp_path) if "previews" in name) == names
    last, result_pixels = (read_image(tmp_path / name).pixels for name in (names[-1], row["picture"]))
    assert np.array_equal(last, result_pixels)
    assert "a.jpg__wave.png: iteration 3 of 6 at 80 x 64, cost " in result.stderr
    assert not (tmp_path / STATE).exists()


def test_control_c_within_an_image_is_resumed_from_there(optimize, tmp_path, monkeypatch):
    words = ["photos", "--style", "one/wave.png", "--preview-every", 1]
    assert optimize(*words, "--output", tmp_path / "whole").returncode == 0
    written = []

    def write_and_interrupt(self, name, pixels, write=ImageFolder.write):
        write(self, name, pixels)
        written.append(name)
        if len(written) == 10:  # 6 previews and the image, and the next one's third
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.5)  # until the main thread has taken it

    out = tmp_path / "out"
    with monkeypatch.context() as context:
        context.setattr(ImageFolder, "write", write_and_interrupt)
        broken = optimize(*words, "--output", out)
    assert broken.returncode == 130 and broken.stdout == "" and "Traceback" not in broken.stderr
    assert f"stopped: 1 of 3 rows are in {out / 'styles.jsonl'}; run the same command with --resume" in broken.stderr
    assert (out / STATE).exists() and written[-1] == "a.png__wave.png/00003"
    again = []
    with monkeypatch.context() as context:
        context.setattr(ImageFolder, "write", lambda self, name, pixels, write=ImageFolder.write: (
            again.append(name), write(self, name, pixels),
        ))  # fmt: skip
        assert optimize(*words, "--output", out, "--resume").returncode == 0
    assert again[:4] == [*(f"a.png__wave.png/0000{number}" for number in (4, 5, 6)), "a.png__wave.png"]
    assert content(out) == content(tmp_path / "whole")


def test_a_state_of_another_image_is_ignored(optimize, place, tmp_path):
    """The content was replaced between the break and --resume; or a kill tore the file."""
    words = ["photos/a.jpg", "--style", "one/wave.png"]
    assert optimize(*words, "--output", tmp_path / "whole").returncode == 0
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / STATE).write_bytes(b"no checkpoint")
    assert optimize(*words, "--output", tmp_path / "out").returncode == 0
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--style nowhere.png", "--style nowhere.png: no such file"),
        ("--style sample:wavs", "unknown sample 'wavs'; did you mean 'waves'?"),
        ("--style one/wave.png --weights 1,2", "--weights: needs --mix"),
        ("--style one/wave.png --mix --weights 1,2", "--weights: 2 numbers for 1 style; give one for each style"),
        (
            "--style one/wave.png --weights 1;2",
            "--weights 1;2: must be numbers with commas between them, as in 0.7,0.3",
        ),
        ("--style one/wave.png --iterations 5", "--iterations: belongs to --method optimize, not to fast"),
        ("--style one/wave.png --preview-every 5", "--preview-every: belongs to --method optimize, not to fast"),
        ("--style one/wave.png --method oil", "--method oil: must be one of optimize, fast, color"),
        ("--style one/wave.png --size 0", "--size 0: must lie between 32 and 16384; the nearest valid value is 32"),
        (
            "--style one/wave.png --method optimize --encoder ./encoder --total-variation -1",
            "--total-variation -1.0: must lie between 0.0 and 1000000.0; the nearest valid value is 0.0",
        ),
        ("--style one/wave.png --strength 2", "--strength 2.0: must lie between 0.0 and 1.0"),
        ("--style one/wave.png --encoder vgg19", "--encoder vgg19: belongs to --method optimize"),
        ("", "Missing option '--style'"),
    ],
)
def test_wrong_usage_gets_one_line_and_writes_nothing(run_here, place, tmp_path, words, message):
    result = run_here("style", "photos", *words.split(), "--output", tmp_path / "out", cwd=place)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
