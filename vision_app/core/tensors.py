"""What networks and trainings of all subjects share. Needs torch.

Checkpoint files, which the classic style method writes too, have tensors and JSON in one file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from vision_app.core.errors import DataError
from vision_app.core.files import atomic_write, parse_json, remove_leftovers


def save_tensors(path: Path, tensors: Mapping[str, Tensor], state: dict[str, Any]) -> None:
    """Write a checkpoint; a kill at any moment leaves either the old file or the new one.

    Args:
        path: The file to write or replace.
        tensors: By name.
        state: JSON values, stored in the metadata of the safetensors file.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    remove_leftovers(path)  # a checkpoint is large
    with atomic_write(path) as temporary:
        save_file(contiguous, temporary, metadata={"state": json.dumps(state)})


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the state that `save_tensors` wrote.

    Raises:
        DataError: The file is not a checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, parse_json(file.metadata()["state"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a checkpoint of this program ({error})") from error


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the names `prefix/name`."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors named `prefix/name` under their bare names, and no others."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class BatchNorm(nn.BatchNorm2d):
    """Batch norm by its running statistics where a channel has a single value, as at the end of small images.

    A single value has no variance, and PyTorch raises an error.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        normalized: Tensor = super().forward(x)
        return normalized
