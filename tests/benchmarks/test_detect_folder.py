"""The rate of `vision-app detect` over a folder against the network alone and a plain loop."""

import re
import sys

import detect_folder
import pytest
from PIL import Image
from skimage import data

pytestmark = pytest.mark.slow


def rates(printed, baseline):
    """The two rates and the ratio that the folder benchmark printed."""
    numbers = [
        re.search(pattern, printed, re.MULTILINE)
        for pattern in (r"^whole command: +([\d.]+)", rf"^{baseline}: +([\d.]+)", rf"{baseline}: (\d+\.\d\d)$")
    ]
    return [float(number[1]) for number in numbers]


def rounding(one: float, other: float, ratio: float) -> float:
    """The most that rates of one decimal and a ratio of two can be off by, relative to the ratio."""
    return 0.05 / one + 0.05 / other + 0.005 / ratio + 1e-3


def test_folder_prints_both_rates_and_their_ratio(benchmark, tmp_path):
    for i in range(30):
        Image.fromarray(data.coffee()[::6, ::6]).save(tmp_path / f"{i:03}.jpg")
    done = benchmark("detect_folder.py", tmp_path, "--flags", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "30 photos, rates after the first 3\n" in done.stdout
    whole, alone, ratio = rates(done.stdout, "the network alone")
    assert whole > 0 and alone > 0
    assert ratio == pytest.approx(whole / alone, rel=rounding(whole, alone, ratio))


def test_folder_makes_large_photos_and_reads_them_faster_than_a_plain_loop(monkeypatch, capsys):
    monkeypatch.setattr(detect_folder, "LARGE", (2400, 1800))
    words = ["--large", "--limit", "20", "--flags", "--batch-size", "2"]  # rows come early
    monkeypatch.setattr(sys, "argv", ["detect_folder.py", *words])
    detect_folder.main()
    printed = capsys.readouterr().out
    assert "20 photos of 2400 x 1800 pixels, rates after the first 2\n" in printed
    whole, loop, ratio = rates(printed, "a plain loop")
    assert ratio == pytest.approx(whole / loop, rel=rounding(whole, loop, ratio)) and ratio > 1


def test_fewer_than_20_photos_or_no_folder_are_refused(benchmark, tmp_path):
    done = benchmark("detect_folder.py", tmp_path)
    assert (done.returncode, f"{tmp_path}: 0 photos, at least 20 are needed" in done.stderr) == (2, True)
    done = benchmark("detect_folder.py")
    assert (done.returncode, "FOLDER is missing" in done.stderr) == (2, True)
