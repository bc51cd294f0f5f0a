"""What "auto" means on a machine, and what is refused there."""

import os
from pathlib import Path

import pytest
import torch

from vision_app.core.errors import UsageError
from vision_app.released import execution
from vision_app.released.execution import Execution

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("count", "device", "wanted", "expected"),
    [
        (0, "auto", "auto", ("cpu", "onnx")),
        (0, "auto", "torch", ("cpu", "torch")),
        (0, "auto", "onnx", ("cpu", "onnx")),
        (0, "cpu", "auto", ("cpu", "onnx")),
        (0, "cpu", "torch", ("cpu", "torch")),
        (2, "auto", "auto", ("cuda", "torch")),
        (2, "auto", "torch", ("cuda", "torch")),
        (2, "auto", "onnx", ("cpu", "onnx")),
        (2, "cpu", "auto", ("cpu", "onnx")),
        (2, "cpu", "torch", ("cpu", "torch")),
        (2, "cuda", "auto", ("cuda", "torch")),
        (2, "cuda:1", "auto", ("cuda:1", "torch")),
        (2, "cuda:0", "torch", ("cuda:0", "torch")),
        (2, "0", "auto", ("cuda:0", "torch")),
        (2, "1", "auto", ("cuda:1", "torch")),
    ],
)
def test_auto_resolves_to_a_device_and_runtime(gpus, count, device, wanted, expected):
    gpus(count)
    found = Execution(device, wanted).resolved()
    assert (found.device, found.runtime) == expected


@pytest.mark.parametrize(
    ("count", "device", "wanted", "message"),
    [
        (0, "auto", "onyx", "runtime onyx: must be one of auto, onnx, torch; did you mean onnx?"),
        (0, "auto", "x", "runtime x: must be one of auto, onnx, torch"),
        (0, "gpu", "auto", "device gpu: must be auto, cpu, cuda or cuda:N; did you mean cpu?"),
        (0, "coda", "auto", "device coda: must be auto, cpu, cuda or cuda:N; did you mean cuda?"),
        (0, "cpu:1", "auto", "device cpu:1: must be auto, cpu, cuda or cuda:N; did you mean cpu?"),
        (2, "cuda:", "auto", "device cuda:: must be auto, cpu, cuda or cuda:N; did you mean cuda?"),
        (2, "cuda:one", "auto", "device cuda:one: must be auto, cpu, cuda or cuda:N; did you mean cuda?"),
        (2, "cuda:-1", "auto", "device cuda:-1: must be auto, cpu, cuda or cuda:N; did you mean cuda?"),
        (2, "cuda:²", "auto", "device cuda:²: must be auto, cpu, cuda or cuda:N; did you mean cuda?"),
        (0, "", "auto", "device : must be auto, cpu, cuda or cuda:N"),
        (2, "cuda", "onnx", "runtime onnx runs on the CPU only, device cuda needs runtime torch"),
        (0, "cuda", "auto", "device cuda: this machine has no CUDA device; use device cpu"),
        (0, "cuda:0", "torch", "device cuda:0: this machine has no CUDA device; use device cpu"),
        (0, "0", "auto", "device cuda:0: this machine has no CUDA device; use device cpu"),
        (2, "1", "onnx", "runtime onnx runs on the CPU only, device cuda:1 needs runtime torch"),
        (2, "cuda:2", "auto", "device cuda:2: this machine has 2 CUDA devices; use device cpu"),
    ],
)
def test_wrong_devices_and_runtimes_are_refused(gpus, count, device, wanted, message):
    gpus(count)
    with pytest.raises(UsageError) as error:
        Execution(device, wanted).resolved()
    assert str(error.value) == message


def test_a_model_without_an_onnx_file_runs_on_torch_with_its_threads(monkeypatch, gpus):
    given = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    gpus(0)
    assert Execution(threads=3).on_torch("rcnn") == Execution("cpu", "torch", 3)
    assert Execution("cpu").on_torch("rcnn") == Execution("cpu", "torch")
    gpus(2)
    assert Execution(threads=3).on_torch("rcnn") == Execution("cuda", "torch", 3)
    assert Execution("0").on_torch("rcnn").device == "cuda:0"
    assert given == [3]  # a GPU needs none
    with pytest.raises(UsageError, match="runtime onnx: model 'rcnn' runs on torch only; leave it at auto"):
        Execution(runtime="onnx").on_torch("rcnn")


def test_a_driver_is_looked_for_before_torch_is_imported(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/proc/driver/nvidia/version")
    assert execution._has_nvidia_driver()
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert execution._has_nvidia_driver() == (os.name == "nt")
