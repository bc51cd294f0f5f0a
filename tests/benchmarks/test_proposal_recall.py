"""The recall of proposals, on images of which it is known what is found."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import proposal_recall
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def drawn(tmp_path):
    """Three images with two flat rectangles and a box where nothing is, one of these difficult; an empty image."""
    (tmp_path / "images").mkdir()
    names = [f"{i}.png" for i in range(4)]
    images = [{"id": i, "file_name": name, "width": 80, "height": 64} for i, name in enumerate(names)]
    annotations = []

    def add(image, box, **more):
        annotations.append({"id": len(annotations), "image_id": image, "category_id": 1, "bbox": box, **more})

    for i, name in enumerate(names):
        image = np.full((64, 80, 3), 200, np.uint8)
        if i < 3:
            for (x, y, w, h), color in (([6 + i, 8, 24, 40], (180, 30, 40)), ([44, 20, 30, 24], (20, 60, 200))):
                image[y : y + h, x : x + w] = color
                add(i, [x, y, w, h])
        Image.fromarray(image).save(tmp_path / "images" / name)
    add(0, [35, 1, 6, 6])
    add(1, [35, 1, 6, 6])
    add(2, [35, 1, 6, 6], difficult=1)
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    path = tmp_path / "data.json"
    path.write_text(json.dumps(content))
    return path


def test_recall_counts_the_objects_that_are_found(benchmark, drawn):
    done = benchmark("proposal_recall.py", drawn, "--most", 60, 1)
    assert done.returncode == 0, done.stderr
    one, many, _, last = done.stdout.splitlines()[2:]
    assert one == "| 1 | 1 | 0.000 | 0.000 |"  # the whole image
    assert re.fullmatch(r"\| 60 \| \d+ \| 0\.750 \| 0\.750 \|", many)
    assert re.fullmatch(r"4 photos, 8 objects, \d+ ms a photo on one core", last)
    assert "4 of 4 photos" in done.stderr


def test_the_table_tells_overlaps_and_numbers(capsys):
    best = np.array([[0.2, 0.5, 0.69, 0.9], [0.5, 0.6, 0.7, 0.9]])
    proposal_recall.print_table([100, 2000], best, np.array([[100, 1500], [50, 700]]), 321.4)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| 100 | 75 | 0.750 | 0.250 |",
        "| 2,000 | 1,100 | 1.000 | 0.500 |",
        "",
        "2 photos, 4 objects, 321 ms a photo on one core",
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["none.json"], "none.json: No such file"),
        (["data.json", "--most", "0"], "--most and --workers are at least 1"),
        (["data.json", "--limit", "0"], "some photo must have an object"),
    ],
)
def test_what_cannot_be_measured_is_refused(drawn, monkeypatch, capsys, words, complaint):
    monkeypatch.chdir(drawn.parent)
    monkeypatch.setattr(sys, "argv", ["proposal_recall.py", *words])
    with pytest.raises(SystemExit) as stop:
        proposal_recall.main()
    assert (stop.value.code, complaint in capsys.readouterr().err) == (2, True)
