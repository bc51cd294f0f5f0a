"""A checkpoint comes back bit by bit, or not at all."""

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
from vision_app.training import checkpoints

STATE = {"epoch": 3, "best": {"AP": 0.25}, "name": "Köln"}


def test_tensors_and_state_come_back(tmp_path):
    tensors = {
        "a/weight": torch.randn(2, 3, 5, 4).contiguous(memory_format=torch.channels_last),
        "a/half": torch.tensor([1.5, float("inf")], dtype=torch.bfloat16),
        "a/transposed": torch.arange(6).reshape(2, 3).T,
        "count": torch.tensor(7),
        "learned": nn.Parameter(torch.randn(3)),
    }
    checkpoints.save(tmp_path / "a.safetensors", tensors, STATE)
    found, state = checkpoints.load(tmp_path / "a.safetensors")
    assert state == STATE
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_new_checkpoint_replaces_the_old_one(tmp_path):
    path = tmp_path / "a.safetensors"
    for number in (1, 2):
        checkpoints.save(path, {"x": torch.tensor(number)}, {"epoch": number})
    tensors, state = checkpoints.load(path)
    assert (tensors["x"].item(), state["epoch"]) == (2, 2)


def test_a_kill_before_the_move_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoints.save(path, {"x": torch.tensor(1)}, {"epoch": 1})
    program = (
        "import os, signal, sys, torch\nfrom pathlib import Path\nfrom vision_app.training import checkpoints\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "checkpoints.save(Path(sys.argv[1]), {'x': torch.tensor(2)}, {'epoch': 2})"
    )
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    assert checkpoints.load(path)[1] == {"epoch": 1}
    checkpoints.save(path, {"x": torch.tensor(3)}, {"epoch": 3})  # what the kill left behind is in nobody's way
    assert checkpoints.load(path)[1] == {"epoch": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_files_that_are_no_checkpoints_are_named(tmp_path):
    torch.save({"x": torch.ones(2)}, tmp_path / "pickled")
    save_file({"x": torch.ones(2)}, tmp_path / "without state")
    save_file({"x": torch.ones(2)}, tmp_path / "torn state", metadata={"state": "{"})
    checkpoints.save(tmp_path / "whole", {"x": torch.ones(100)}, STATE)
    (tmp_path / "cut short").write_bytes((tmp_path / "whole").read_bytes()[:-50])
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    for name in ("pickled", "without state", "torn state", "cut short", "empty", "folder", "missing"):
        with pytest.raises(DataError) as error:
            checkpoints.load(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: not a checkpoint of this program")


def steps(network, optimizer, count, seed):
    torch.manual_seed(seed)
    for _ in range(count):
        optimizer.zero_grad()
        network(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()


def test_an_optimizer_goes_on_as_if_it_had_not_stopped():
    def fresh():
        torch.manual_seed(0)
        network = nn.Linear(3, 2)
        return network, torch.optim.AdamW([{"params": [network.weight]}, {"params": [network.bias]}], lr=0.1)

    one, through = fresh()
    steps(one, through, 3, seed=1)
    other, resumed = fresh()
    other.load_state_dict(one.state_dict())
    memory = {name: tensor.clone() for name, tensor in checkpoints.optimizer_tensors(through).items()}
    checkpoints.restore_optimizer(resumed, memory)
    for group in resumed.param_groups:
        assert group["lr"] == 0.1
    steps(one, through, 3, seed=2)
    steps(other, resumed, 3, seed=2)
    assert torch.equal(one.weight, other.weight) and torch.equal(one.bias, other.bias)


def test_an_optimizers_memory_lies_as_its_weights_do():
    """Torch steps many tensors in one go on a GPU only where they do."""
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.rand(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    memory = {name: tensor.contiguous() for name, tensor in checkpoints.optimizer_tensors(optimizer).items()}
    checkpoints.restore_optimizer(optimizer, memory)
    entry = optimizer.state[network.weight]
    assert entry["exp_avg"].stride() == entry["exp_avg_sq"].stride() == network.weight.stride() == (27, 1, 9, 3)


def test_prefixes_come_off_again():
    tensors = {"a.b": torch.zeros(1), "c": torch.ones(1)}
    both = checkpoints.with_prefix("net", tensors) | checkpoints.with_prefix("network", {"c": torch.zeros(1)})
    assert list(both) == ["net/a.b", "net/c", "network/c"]
    assert checkpoints.without_prefix("net", both) == tensors
