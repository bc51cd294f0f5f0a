"""The state of an optimization as a file, from which it resumes exactly where it was. Needs torch."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from vision_app.core.errors import DataError, UsageError
from vision_app.core.tensors import load_tensors, save_tensors, with_prefix, without_prefix
from vision_app.style.options import OptimizeConfig
from vision_app.style.results import CostRow

SAVE_SECONDS = 20.0  # between two checkpoints
LISTS = ("old_dirs", "old_stps", "ro")  # in the memory of L-BFGS: a tensor for each remembered step
WORKSPACE = "al"  # in the memory of L-BFGS, recomputed in each step


class Checkpoint:
    """The file of one run, which is identified by its fingerprint."""

    def __init__(self, path: Path, run: str):
        self._path, self._run = path, run
        self._written = time.monotonic()

    def read(self, device: torch.device) -> tuple[Tensor, list[CostRow], dict[str, Tensor]] | None:
        """Return the image, (H, W, 3) in 0..1, all rows and the optimizer's memory, or None where there is no file.

        Raises:
            DataError: The file is not a checkpoint.
            UsageError: It belongs to another run.
        """
        if not self._path.exists():
            return None
        tensors, state = load_tensors(self._path)
        if state.get("run") != self._run:
            raise UsageError(f"{self._path}: of other images or options than these; remove it to start again")
        try:
            image = _copied(tensors["picture"], device)
            rows = [(total, content, style) for total, content, style in state["costs"]]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self._path}: not a checkpoint of this program ({error})") from error
        memory = without_prefix("optimizer", tensors)
        return image, rows, {name: _copied(tensor, device) for name, tensor in memory.items()}

    def due(self) -> bool:
        """Return whether the last checkpoint is old enough for the next."""
        return time.monotonic() - self._written >= SAVE_SECONDS

    def write(self, image: Tensor, optimizer: Optimizer, rows: Sequence[CostRow]) -> None:
        """Write the state after an iteration; a kill meanwhile leaves the old one."""
        tensors = {"picture": image} | with_prefix("optimizer", _memory(optimizer, image))
        save_tensors(self._path, tensors, {"run": self._run, "costs": list(rows)})
        self._written = time.monotonic()

    def remove(self) -> None:
        """Delete the file if it is there."""
        self._path.unlink(missing_ok=True)


def fingerprint(
    images: Sequence[np.ndarray], shares: Sequence[float], encoder: nn.Module, config: OptimizeConfig
) -> str:
    """Return 64 hexadecimal digits that change with everything that the result depends on.

    Args:
        images: Content, styles and, where there is one, the initial image, (H, W, 3) uint8 each.
        shares: Normalized weights of the styles.
        encoder: Its weights count.
        config: All settings count.
    """
    arrays = [*images, *(tensor.cpu().contiguous().numpy() for tensor in encoder.state_dict().values())]
    digest = hashlib.sha256(json.dumps([list(shares), asdict(config)]).encode())
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def restore(optimizer: Optimizer, image: Tensor, memory: dict[str, Tensor]) -> None:
    """Give a new optimizer the memory of another one, as `Checkpoint` has kept it."""
    if not isinstance(optimizer, LBFGS):
        optimizer.state[image] = dict(memory)
        return
    state: dict[str, Any] = {name: [] for name in LISTS}
    for name, tensor in memory.items():
        if name in LISTS:
            state[name] = [part.clone() for part in tensor]  # see `_copied`
        else:
            state[name] = tensor.item() if tensor.ndim == 0 else tensor
    optimizer.state[image] = state


def _memory(optimizer: Optimizer, image: Tensor) -> dict[str, Tensor]:
    """Return the optimizer's memory as tensors; empty lists are left out."""
    memory = {}
    for name, value in optimizer.state[image].items():
        if isinstance(value, list):
            if value and name != WORKSPACE:
                memory[name] = torch.stack(value)
        elif value is not None:
            memory[name] = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    return memory


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a copy in memory of its own: the alignment of a tensor decides how sums are rounded."""
    return tensor.to(device, copy=True)
