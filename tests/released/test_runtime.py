"""Where a network runs, and that it says the same everywhere."""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from vision_app.core.errors import ModelError
from vision_app.detection.model.yolo import YOLO, ByteInput, YOLOConfig
from vision_app.detection.train.export import write_model
from vision_app.released import runtime
from vision_app.released.execution import Execution
from vision_app.released.find import find
from vision_app.released.runtime import built_from, check_finite, open_network

pytestmark = pytest.mark.slow

ANCHORS = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
CONFIG = YOLOConfig(classes=3, anchors=ANCHORS, width=4, depths=(1, 1, 1, 1))
DEFAULTS = {"confidence": 0.3, "iou": 0.5, "max_detections": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with a tiny network whose batch norms have seen something."""
    torch.manual_seed(0)
    network = YOLO(CONFIG)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    path = tmp_path_factory.mktemp("models") / "tiny"
    write_model(network.eval(), path, name="tiny", classes=("a", "b", "c"), defaults=DEFAULTS)
    return path


@pytest.fixture
def changed(folder, tmp_path):
    """A copy of the model folder whose model.json lists only some of its files, with these contents."""

    def make(**contents):
        info = json.loads((folder / "model.json").read_text(encoding="utf-8")) | {"files": {}}
        for name, content in contents.items():
            name = {"weights": "weights.safetensors", "onnx": "model.onnx"}[name]
            content = (folder / name).read_bytes() if content is None else content
            (tmp_path / name).write_bytes(content)
            info["files"][name] = {"sha256": hashlib.sha256(content).hexdigest()}
        (tmp_path / "model.json").write_text(json.dumps(info), encoding="utf-8")
        return find(tmp_path)

    return make


def build():
    return ByteInput(YOLO(CONFIG))


def opened(model, **options):
    network = open_network(model, build, Execution(**options))
    return network.runtime, network.device


def test_a_model_runs_on_the_files_it_has(gpus, changed):
    gpus(0)
    both, torch_only = changed(onnx=None, weights=None), changed(weights=None)
    assert opened(both) == ("onnx", "cpu") and opened(both, runtime="torch") == ("torch", "cpu")
    assert opened(torch_only) == ("torch", "cpu")
    with pytest.raises(ModelError, match=r"has no model\.onnx"):
        opened(torch_only, runtime="onnx")
    onnx_only = changed(onnx=None)
    assert opened(onnx_only) == ("onnx", "cpu")
    with pytest.raises(ModelError, match=r"has no weights\.safetensors"):
        opened(onnx_only, runtime="torch")
    gpus(1)  # where torch would be chosen for other models
    assert opened(onnx_only) == ("onnx", "cpu")
    for options in ({"device": "cuda"}, {"runtime": "torch"}):
        with pytest.raises(
            ModelError, match=r"has no weights\.safetensors, which torch needs; it runs with runtime on"
        ):
            opened(onnx_only, **options)


@pytest.mark.parametrize(
    ("variable", "given", "threads"), [("3", None, 3), ("3,2", None, 3), ("3", 2, 2), ("", None, 0), ("all", None, 0)]
)
def test_onnx_runtime_takes_the_threads_that_are_given_or_that_the_environment_says(
    folder, monkeypatch, variable, given, threads
):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    session = runtime.open_session(folder / "model.onnx", given)
    assert session.get_session_options().intra_op_num_threads == threads


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 96, 64), (2, 32, 160)])
@pytest.mark.parametrize("threads", [None, 1])
def test_both_runtimes_give_the_same_output(folder, shape, threads):
    before = torch.get_num_threads()
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    model = find(folder)
    try:
        one, other = (open_network(model, build, Execution("cpu", name, threads))(pixels) for name in ("onnx", "torch"))
    finally:
        torch.set_num_threads(before)
    rows = sum(shape[1] // stride * (shape[2] // stride) * 2 for stride in (8, 16, 32))
    assert one.shape == other.shape == (shape[0], rows, 8) and one.dtype == other.dtype == np.float32
    np.testing.assert_allclose(one, other, atol=1e-4)
    assert one.std() > 0.1  # not two constants


@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_files_without_a_network_are_named(changed, name):
    with pytest.raises(ModelError, match=r"model\.onnx: not an ONNX file|weights\.safetensors: not the wei"):
        opened(changed(onnx=b"no network", weights=b"no weights"), runtime=name)


def test_weights_of_another_network_are_refused(folder):
    other = YOLOConfig(classes=4, anchors=ANCHORS, width=4, depths=(1, 1, 1, 1))
    with pytest.raises(ModelError, match=r"weights\.safetensors: not the weights of this network"):
        open_network(find(folder), lambda: ByteInput(YOLO(other)), Execution(runtime="torch"))


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, AssertionError, ZeroDivisionError, RuntimeError])
def test_an_architecture_that_cannot_be_built_is_an_error_of_the_model(folder, error):
    def refuse():
        raise error("no such network")

    reason = rf"tiny/model\.json: has no usable 'architecture' \({error.__name__}: '?no such network'?\)$"
    with pytest.raises(ModelError, match=reason):
        open_network(find(folder), refuse, Execution(runtime="torch"))


def test_a_network_has_at_most_as_many_parameters_as_its_weights_have_bytes(folder):
    """An architecture of a few bytes may ask for all memory; the first parameters beyond the weights end it."""
    model, made = find(folder), []
    most = model.info["files"]["weights.safetensors"]["bytes"]

    def build(*counts):
        made.clear()
        made.extend(torch.nn.ParameterList([torch.empty(count)]) for count in counts)

    with built_from(model):
        build(most - 1, 1)
    for counts in ((most + 1,), (most, 1, 1), (most // 2, most // 2, 2, 2)):
        with pytest.raises(ModelError, match="has no usable 'architecture'"), built_from(model):
            build(*counts)
        assert len(made) < len(counts)  # it ended before the rest was made
    build(most + 1)  # others are free again
    wide = YOLOConfig(classes=3, anchors=ANCHORS, width=256, depths=(1, 1, 1, 1))
    with pytest.raises(ModelError, match="has no usable 'architecture'"):
        open_network(model, lambda: ByteInput(YOLO(wide)), Execution(runtime="torch"))


def test_a_network_is_not_charged_with_those_of_other_threads(folder):
    model = find(folder)
    most = model.info["files"]["weights.safetensors"]["bytes"]

    def build_another() -> int:
        return torch.nn.Linear(most, 2, device="meta").weight.numel()

    with ThreadPoolExecutor(1) as others, built_from(model):
        assert others.submit(build_another).result() == 2 * most
        torch.nn.ParameterList([torch.empty(most)])
    with (
        ThreadPoolExecutor(1) as others,
        pytest.raises(ModelError, match=r"more parameters than weights\.safetensors has bytes"),
    ):
        others.submit(lambda: open_network(model, build_another, Execution(runtime="torch"))).result()


def test_a_changed_file_is_not_opened(changed):
    model = changed(onnx=None, weights=None)
    for name in ("model.onnx", "weights.safetensors"):
        with (model.folder / name).open("ab") as stream:
            stream.write(b"x")
    for name in ("onnx", "torch"):
        with pytest.raises(ModelError, match="damaged or changed"):
            opened(model, runtime=name)


def test_finding_objects_on_a_cpu_imports_no_torch_and_reports_nothing_to_the_maker_of_onnx_runtime(folder, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    np.save(tmp_path / "photo.npy", data.astronaut())
    program = (
        "import os, sys, numpy\nfrom vision_app import Detector\n"
        "found = Detector.load(sys.argv[1], device='cpu')(numpy.load('photo.npy'), confidence=0.0)\n"
        "print(len(found), 'torch' in sys.modules, 'onnxruntime' in sys.modules, os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    environment |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "HOME": str(home)}
    command = [sys.executable, "-c", program, str(folder)]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["100", "False", "True", "1"]
    assert [path for path in home.rglob("*") if "microsoft" in str(path).lower() or "onnx" in str(path).lower()] == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_output_with_a_number_that_is_not_finite_is_refused(value):
    largest = np.full((2, 3), np.finfo(np.float32).max, np.float32)
    check_finite(largest, "any")  # though the sum of two would not be finite
    check_finite(largest[:0], "any")
    largest[1, 2] = value
    with pytest.raises(ModelError, match="model 'any' produced NaN or infinity for this image"):
        check_finite(largest, "any")
