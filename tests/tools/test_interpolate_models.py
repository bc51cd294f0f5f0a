"""Which detectors may be interpolated, and the arithmetic."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from interpolate_models import interpolate, interpolate_models, main
from safetensors.numpy import load_file
from tiny_detection_task import task_of_motorbikes

from vision_app import Detector
from vision_app.core.errors import UsageError

pytestmark = pytest.mark.usefixtures("without_onnx")


@pytest.fixture
def task(tmp_path):
    return task_of_motorbikes(tmp_path)


def test_models_of_other_classes_are_not_interpolated(task, tmp_path):
    task.release(task.network.eval(), tmp_path / "run" / "last")
    other = shutil.copytree(tmp_path / "run" / "last", tmp_path / "other")
    (other / "model.json").write_text((other / "model.json").read_text().replace("motorbike", "bike"))
    with pytest.raises(UsageError, match="the two models know different classes"):
        interpolate_models(tmp_path / "run" / "last", other, 0.5, tmp_path / "out")


def test_only_a_network_and_what_it_started_from_are_interpolated(task, tmp_path):
    def release(name, **about):
        task.about = about
        task.release(task.network.eval(), tmp_path / name)
        return tmp_path / name

    start = release("start/model")
    digest = hashlib.sha256((start / "weights.safetensors").read_bytes()).hexdigest()[:12]
    one = {"trained": {"photos": 5, "initial": f"model {digest}"}}
    run = release("run/initial", **one)
    with torch.no_grad():
        task.network.backbone.stem.conv.weight += 1
    best, strange = release("run/best", **one), tmp_path / "other"
    with torch.no_grad():
        task.network.backbone.stem.conv.weight += 1
    release("other", trained={"photos": 6, "initial": "none"})
    for number, first in enumerate((start, run)):
        interpolate_models(first, best, 0.5, tmp_path / f"out {number}")
    for first, second in ((best, start), (strange, best), (start, strange), (start, start)):
        with pytest.raises(UsageError, match="the second did not start from the first; take initial/ of its run"):
            interpolate_models(first, second, 0.5, tmp_path / "out")


def test_the_tool_writes_a_model_between_two(task, tmp_path, capsys):
    task.about = {"trained": {"photos": 5, "initial": "none"}}
    ends = tmp_path / "run" / "initial", tmp_path / "run" / "best"
    task.release(task.network.eval(), ends[0])
    with torch.no_grad():
        task.network.backbone.stem.conv.weight += 1
    task.release(task.network.eval(), ends[1])
    words = [*map(str, ends), "--fraction", "0.25", "--output", str(tmp_path / "between")]
    main(words)
    start, end, between = (load_file(path / "weights.safetensors") for path in (*ends, tmp_path / "between"))
    name = next(name for name in start if start[name].ndim == 4 and not np.array_equal(start[name], end[name]))
    np.testing.assert_allclose(between[name], 0.75 * start[name] + 0.25 * end[name], rtol=1e-5, atol=1e-7)
    assert Detector.load(tmp_path / "between")(np.zeros((50, 60, 3), np.uint8), confidence=0).model
    assert json.loads((tmp_path / "between" / "model.json").read_text())["trained"]["blended"] == 0.25
    with pytest.raises(SystemExit):
        main(words)
    assert "contains a model already" in capsys.readouterr().err


START = {"weight": torch.tensor([[1.0, 2.0]]), "count": torch.tensor(3)}
TRAINED = {"weight": torch.tensor([[5.0, 0.0]]), "count": torch.tensor(9)}


@pytest.mark.parametrize(("fraction", "expected"), [(0, [1.0, 2.0]), (0.25, [2.0, 1.5]), (1, [5.0, 0.0])])
def test_weights_lie_on_the_line_between_and_counters_are_the_trained_ones(fraction, expected):
    mixed = interpolate(START, TRAINED, fraction)
    assert mixed["weight"].tolist() == [expected]
    assert mixed["count"] == 9


@pytest.mark.parametrize(
    "other", [{"weight": torch.ones(2, 2), "count": torch.tensor(0)}, {"weight": torch.ones(1, 2)}]
)
def test_other_architectures_are_refused(other):
    with pytest.raises(ValueError, match="same architecture"):
        interpolate(START, other, 0.5)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_fractions_outside_are_refused(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        interpolate(START, TRAINED, fraction)
