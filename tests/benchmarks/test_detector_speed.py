"""The comparison with other detectors: that they are run rightly, and that the table says what was measured."""

import re
import sys
from argparse import Namespace
from pathlib import Path

import contestants
import detector_speed
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from skimage import data

from vision_app import read_image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def yolox(tmp_path_factory):
    """A file with YOLOX-Nano's input and output that says the same of every photo: one dog, seen by two cells."""
    rows = np.zeros((1, 3549, 85), np.float32)
    for row, score in ((52 * 3 + 5, 0.9), (52 * 3 + 6, 0.8), (0, 0.3)):  # cells (5, 3), (6, 3) and (0, 0) of stride 8
        rows[0, row, :5] = 0.5 if row % 52 == 5 else -0.5, 0.25, np.log(4), np.log(2), score
        rows[0, row, 5 + 16] = 0.95
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 416, 416])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3549, 85])
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["most"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], ["output"]),
    ]
    graph = helper.make_graph(nodes, "fake", [images], [output], [numpy_helper.from_array(rows, "rows"), zero])
    path = tmp_path_factory.mktemp("yolox") / "nano.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_yolox_is_fed_and_read_as_it_was_trained(yolox):
    nano, image = contestants.YOLOXNano(yolox, 1), read_image(np.full((400, 832, 3), (10, 20, 30), np.uint8))
    inputs = nano.preprocess(image)
    assert inputs.shape == (1, 3, 416, 416) and inputs.dtype == np.float32
    assert inputs[0, :, 0, 0].tolist() == [30, 20, 10] and (inputs[0, :, 200:] == 114).all()
    boxes, scores, labels = nano.postprocess(nano.network(inputs), image)
    # center (5.5, 3.25) cells of 8 pixels, 32 x 16 pixels large, in a photo of twice the input's size
    np.testing.assert_allclose(boxes, [[2 * (44 - 16), 2 * (26 - 8), 2 * (44 + 16), 2 * (26 + 8)]], atol=1e-3)
    assert scores == pytest.approx([0.9 * 0.95]) and labels.tolist() == [16]


def test_distances_are_the_means_of_their_distributions():
    sure = np.full((1, 4, 8), -50, np.float32)
    sure[0, range(4), [1, 2, 3, 7]] = 50
    torn = np.zeros((1, 4, 8), np.float32)
    centers, strides = np.float32([[100, 80], [60, 60]]), np.float32([[8], [4]])
    boxes = contestants.decode_distances(np.concatenate([sure, torn]).reshape(2, 32), centers, strides)
    np.testing.assert_allclose(boxes, [[92, 64, 124, 136], [46, 46, 74, 74]], rtol=1e-5)


def test_what_cannot_run_is_told(monkeypatch, yolox):
    monkeypatch.setitem(sys.modules, "ncnn", None)  # as where it is not installed
    options = {"model": "yolo", "threads": 1, "no_ssdlite": True, "yolox": yolox}
    running, skipped = detector_speed.contestants(Namespace(**options, picodet=Path("a.param"), nanodet=None))
    assert [one.name for one in running] == ["yolo", "YOLOX-Nano"]
    assert skipped == [
        "SSDlite320: --no-ssdlite",
        "PicoDet-S: ncnn is not installed (pip install ncnn)",
        "NanoDet-Plus-m: --nanodet is not given",
    ]


def test_the_table_shows_medians_quartiles_and_ratios_within_rounds(capsys):
    running = [Namespace(name=name, runtime="R") for name in ("ours", "theirs", "half")]
    times = np.empty((5, 3, 3))
    for i, slow in enumerate([1, 2, 3, 4, 5]):  # the machine's speed changes from round to round
        times[i] = slow * np.array([[1, 8, 1], [1, 16, 3], [1, 4, np.nan]])
    detector_speed.print_table(running, times)
    ours, theirs, half, share = (re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()[1:])
    slower = ["3.00 (2.00-4.00)", "24.00 (16.00-32.00)", "3.00 (2.00-4.00)", "30.00 (20.00-40.00)"]
    assert ours == ["ours", "R", *slower]
    assert theirs[-2:] == ["0.50 (0.50-0.50)", "0.50 (0.50-0.50)"]
    assert half[4:] == ["-", "-", "2.00 (2.00-2.00)", "-"]
    assert share == ["ours: pre- and postprocessing are 20.0 (20.0-20.0) % of all three"]


def test_the_benchmark_times_both_models_and_wants_as_many_photos_as_rounds(benchmark, tmp_path, yolox):
    for i, image in enumerate((data.chelsea(), data.coffee(), data.rocket())):
        Image.fromarray(image).save(tmp_path / f"{i}.jpg")
    flags = ["--yolox", yolox, "--no-ssdlite", "--threads", 1, "--rounds", 3]
    done = benchmark("detector_speed.py", tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 photos, 1 threads, 3 rounds\n")
    names = re.findall(r"^(yolo, square|yolo|YOLOX-Nano) +ONNX Runtime +\d", done.stdout, re.MULTILINE)
    assert names == ["yolo", "YOLOX-Nano"]
    few = benchmark("detector_speed.py", tmp_path, "--rounds", 4)
    assert few.returncode == 2 and "holds 3 photos" in few.stderr
