"""Checkpoints: tensors and JSON in one safetensors file, written beside the old one and moved into its place."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vision_app.core.errors import DataError
from vision_app.core.files import atomic_write, remove_leftovers


def save(path: Path, tensors: dict[str, Tensor], state: dict) -> None:
    """Write a checkpoint; a kill at any moment leaves either the old file or the new one."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    remove_leftovers(path)  # a checkpoint is large
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={"state": json.dumps(state)})


def load(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Reads what `save` wrote.

    Raises:
        DataError: the file is no checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, json.loads(file.metadata()["state"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a checkpoint of this program ({error})") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory as flat tensors, `index.name`."""
    entries = optimizer.state_dict()["state"].items()
    return {f"{i}.{name}": value for i, entry in entries for name, value in entry.items() if value is not None}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts back what `optimizer_tensors` gave; learning rates stay those of `optimizer`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, entry in optimizer.state.items():
        for name, value in entry.items():
            if value.shape == parameter.shape:  # laid out as its weight, or a GPU cannot step all at once
                entry[name] = torch.empty_like(parameter).copy_(value)


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
