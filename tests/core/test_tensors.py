"""A checkpoint comes back bit by bit, or not at all; batch norm takes any batch."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vision_app.core.errors import DataError
from vision_app.core.tensors import BatchNorm, load_tensors, save_tensors, with_prefix, without_prefix

pytestmark = pytest.mark.slow

STATE = {"epoch": 3, "best": {"AP": 0.25}, "name": "Köln"}


def test_tensors_and_state_come_back(tmp_path):
    tensors = {
        "a/weight": torch.randn(2, 3, 5, 4).contiguous(memory_format=torch.channels_last),
        "a/half": torch.tensor([1.5, float("inf")], dtype=torch.bfloat16),
        "a/transposed": torch.arange(6).reshape(2, 3).T,
        "count": torch.tensor(7),
        "learned": nn.Parameter(torch.randn(3)),
    }
    save_tensors(tmp_path / "a.safetensors", tensors, STATE)
    found, state = load_tensors(tmp_path / "a.safetensors")
    assert state == STATE
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_new_checkpoint_replaces_the_old_one(tmp_path):
    path = tmp_path / "a.safetensors"
    for number in (1, 2):
        save_tensors(path, {"x": torch.tensor(number)}, {"epoch": number})
    tensors, state = load_tensors(path)
    assert (tensors["x"].item(), state["epoch"]) == (2, 2)


def test_a_kill_before_the_move_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": torch.tensor(1)}, {"epoch": 1})
    program = (
        "import os, signal, sys, torch\nfrom pathlib import Path\nfrom vision_app.core.tensors import save_tensors\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "save_tensors(Path(sys.argv[1]), {'x': torch.tensor(2)}, {'epoch': 2})"
    )
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    assert load_tensors(path)[1] == {"epoch": 1}
    save_tensors(path, {"x": torch.tensor(3)}, {"epoch": 3})  # what the kill left behind is in nobody's way
    assert load_tensors(path)[1] == {"epoch": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_files_that_are_not_checkpoints_are_named(tmp_path):
    torch.save({"x": torch.ones(2)}, tmp_path / "pickled")
    save_file({"x": torch.ones(2)}, tmp_path / "without state")
    save_file({"x": torch.ones(2)}, tmp_path / "torn state", metadata={"state": "{"})
    save_tensors(tmp_path / "whole", {"x": torch.ones(100)}, STATE)
    (tmp_path / "cut short").write_bytes((tmp_path / "whole").read_bytes()[:-50])
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    for name in ("pickled", "without state", "torn state", "cut short", "empty", "folder", "missing"):
        with pytest.raises(DataError) as error:
            load_tensors(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: not a checkpoint of this program")


def test_prefixes_come_off_again():
    tensors = {"a.b": torch.zeros(1), "c": torch.ones(1)}
    both = with_prefix("net", tensors) | with_prefix("network", {"c": torch.zeros(1)})
    assert list(both) == ["net/a.b", "net/c", "network/c"]
    assert without_prefix("net", both) == tensors


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 1, 1), (1, 3, 2, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_a_single_value_a_channel_is_normalized_by_the_running_statistics(shape, training):
    own, of_torch, x = BatchNorm(3), nn.BatchNorm2d(3), torch.randn(shape)
    for norm in (own, of_torch):
        norm.running_mean += 0.5
        norm.train(training and not (norm is of_torch and x.numel() == 3))
    torch.testing.assert_close(own(x), of_torch(x), rtol=0, atol=0)
    torch.testing.assert_close(own.state_dict(), of_torch.state_dict(), rtol=0, atol=0)
