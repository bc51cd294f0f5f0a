"""What a comparison leaves in its folder, where the command's own tests do not get."""

import json

import numpy as np
import pytest
from PIL import Image

from vision_app.batch.sinks import OutputError
from vision_app.batch.sources import Input
from vision_app.core.images import read_image
from vision_app.detection.compare import files
from vision_app.detection.compare.files import RESULTS, write_comparison, write_plots
from vision_app.detection.compare.measure import CRASHED, Cost, Run
from vision_app.detection.compare.table import DetectorSummary, make_line


def row(file, model):
    found = [{"label": "cat", "score": 0.9, "box": [1.0, 1.0, 30.0, 20.0]}]
    answer = {"width": 60, "height": 40, "model": model, "detections": found}
    return {"file": file, "status": "ok", "error": None, **answer, "milliseconds": {"network": 5.0}, "memory": None}


@pytest.fixture
def compared(tmp_path):
    """The arguments for two images, of which one is gone when it is drawn, and two models of similar names."""
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "a.png")
    files = [str(tmp_path / name) for name in ("a.png", "gone.png")]
    rows = {model: [row(file, model) for file in files] for model in ("runs/x", "runs:x")}
    lines = [make_line(each, Cost(), first=rows["runs/x"]) for each in rows.values()]
    return lines, rows, [Input(file, file.rpartition("/")[2]) for file in files], {}, Run("9.9", 3)


def test_a_image_that_is_gone_when_it_is_drawn_does_not_spoil_the_report(compared, tmp_path):
    seen = []
    write_comparison(tmp_path, *compared, shown=2, report=lambda: seen.append(1))
    assert seen == [1, 1]
    assert {path.name for path in tmp_path.iterdir()} - {"a.png"} <= set(RESULTS)  # what no other run is to find here
    assert sorted(path.parent.name for path in tmp_path.glob("images/*/*")) == ["1-runs-x", "2-runs-x"]
    text = (tmp_path / "report.html").read_text()
    assert "after a warm-up" in text and "ran one after the other" in text
    assert (
        "no such file" in text
        and text.count("<figure>") == 2
        and "1 by both, 0 by runs/x alone, 0 by runs:x alone" in text
    )
    assert json.loads((tmp_path / "comparison.json").read_text())["pictures"][1]["agreement"]["runs:x"]["both"] == 1


def test_an_image_that_ended_every_process_is_not_read_for_the_report(compared, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(files, "read_image", lambda file, **_: read.append(file) or read_image(file))
    lines, rows, *others = compared
    for each in rows.values():
        each[1] |= {"status": "failed", "error": CRASHED}
    write_comparison(tmp_path, lines, rows, *others, shown=2)
    assert read == [str(tmp_path / "a.png")]
    assert CRASHED in (tmp_path / "report.html").read_text()


def test_a_folder_that_cannot_be_written_is_named(compared, tmp_path):
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*images"):
        write_comparison(tmp_path, *compared, shown=2)


def test_plots_are_whole_and_only_where_there_is_something_to_show(tmp_path):
    stages = {"preprocess": 1.0, "fusion": 2.0, "nms": 0.5}
    lines = [DetectorSummary(f"model {i}", 3, 0, stages, 10.0**i, None, Cost(), 3, 0.3, 0.5 + i / 10) for i in range(4)]
    assert [name for name, _ in write_plots(tmp_path, lines)] == ["accuracy.png", "stages.png"]
    assert {path.name for path in tmp_path.iterdir()} <= set(RESULTS)
    for path in tmp_path.glob("*.png"):
        inked = np.asarray(Image.open(path).convert("L")) < 250
        assert 0.003 < inked.mean() < 0.9, path
        assert not any(edge.any() for edge in (inked[:2], inked[-2:], inked[:, :2], inked[:, -2:])), path
    assert write_plots(tmp_path, [DetectorSummary("nothing", 0, 1, {}, None, None, Cost())]) == []
