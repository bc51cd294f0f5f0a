"""Which detectors may be interpolated, and the arithmetic; whole runs are in tests/cli."""

import hashlib
import shutil

import pytest
import torch
from drawn_sets import coco

from vision_app.core.errors import UsageError
from vision_app.data.coco import load_coco
from vision_app.data.scan import scan
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.datasets import ValidationSet
from vision_app.detection.train.interpolate import blend, blend_models
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.trainer import DetectionTask

ANCHORS = (((10.0, 14.0),), ((60.0, 40.0),), ((120.0, 200.0),))

pytestmark = pytest.mark.usefixtures("without_onnx")


@pytest.fixture
def task(tmp_path):
    torch.manual_seed(0)
    data = scan(load_coco(coco(tmp_path / "set", photos=5)))
    network = YOLO(YOLOConfig(1, ANCHORS, width=4, depths=(1, 1, 1, 1)))
    return DetectionTask(network, data, [ValidationSet("set", data)], DetectionOptions(size=96), workers=0)


def test_models_of_other_classes_are_not_blended(task, tmp_path):
    task.release(task.network.eval(), tmp_path / "run" / "last")
    other = shutil.copytree(tmp_path / "run" / "last", tmp_path / "other")
    (other / "model.json").write_text((other / "model.json").read_text().replace("motorbike", "bike"))
    with pytest.raises(UsageError, match="the two models know different classes"):
        blend_models(tmp_path / "run" / "last", other, 0.5, tmp_path / "out")


def test_only_a_network_and_what_it_started_from_are_blended(task, tmp_path):
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
        blend_models(first, best, 0.5, tmp_path / f"out {number}")
    for first, second in ((best, start), (strange, best), (start, strange), (start, start)):
        with pytest.raises(UsageError, match="the second did not start from the first; take initial/ of its run"):
            blend_models(first, second, 0.5, tmp_path / "out")


START = {"weight": torch.tensor([[1.0, 2.0]]), "count": torch.tensor(3)}
TRAINED = {"weight": torch.tensor([[5.0, 0.0]]), "count": torch.tensor(9)}


@pytest.mark.parametrize(("fraction", "expected"), [(0, [1.0, 2.0]), (0.25, [2.0, 1.5]), (1, [5.0, 0.0])])
def test_weights_lie_on_the_line_between_and_counters_are_the_trained_ones(fraction, expected):
    mixed = blend(START, TRAINED, fraction)
    assert mixed["weight"].tolist() == [expected]
    assert mixed["count"] == 9


@pytest.mark.parametrize(
    "other", [{"weight": torch.ones(2, 2), "count": torch.tensor(0)}, {"weight": torch.ones(1, 2)}]
)
def test_other_architectures_are_refused(other):
    with pytest.raises(ValueError, match="same architecture"):
        blend(START, other, 0.5)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_fractions_outside_are_refused(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        blend(START, TRAINED, fraction)
