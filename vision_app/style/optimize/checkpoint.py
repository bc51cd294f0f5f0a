"""The state of an optimization as a file, from which it goes on exactly where it was. Needs torch."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vision_app.core.errors import DataError, UsageError
from vision_app.core.tensors import load_tensors, save_tensors, with_prefix, without_prefix

SAVE_SECONDS = 20.0  # between two writings
LISTS = ("old_dirs", "old_stps", "ro")  # in the memory of L-BFGS: a tensor for each remembered step
WORKSPACE = "al"  # in the memory of L-BFGS, worked out anew in each step


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds.

    Attributes:
        picture: (H, W, 3) in 0..1.
        rows: the costs of each iteration that was taken.
        memory: of the optimizer.
    """

    picture: Tensor
    rows: list[tuple[float, float, float]]
    memory: dict[str, Tensor]


class Checkpoint:
    """The file of one run, which is known by its fingerprint."""

    def __init__(self, path: Path, run: str):
        self._path, self._run = path, run
        self._written = time.monotonic()

    def read(self, device: torch.device) -> Saved:
        """What was written last.

        Raises:
            DataError: the file is no checkpoint.
            UsageError: it is of another run.
        """
        tensors, state = load_tensors(self._path)
        if state.get("run") != self._run:
            raise UsageError(f"{self._path}: of other pictures or options than these; remove it to begin anew")
        try:
            picture = _fresh(tensors["picture"], device)
            rows = [tuple(row) for row in state["costs"]]
        except (KeyError, TypeError) as error:
            raise DataError(f"{self._path}: not a checkpoint of this program ({error})") from error
        memory = without_prefix("optimizer", tensors)
        return Saved(picture, rows, {name: _fresh(tensor, device) for name, tensor in memory.items()})

    def due(self) -> bool:
        """Whether the last writing is long enough ago."""
        return time.monotonic() - self._written >= SAVE_SECONDS

    def write(self, picture: Tensor, optimizer: Optimizer, rows: Sequence[tuple[float, float, float]]) -> None:
        """Writes the state after an iteration; a kill meanwhile leaves the old one."""
        tensors = {"picture": picture} | with_prefix("optimizer", _memory(optimizer, picture))
        save_tensors(self._path, tensors, {"run": self._run, "costs": list(rows)})
        self._written = time.monotonic()

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def fingerprint(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    weights: Sequence[float],
    start: np.ndarray | None,
    encoder: nn.Module,
    config: object,
) -> str:
    """64 hexadecimal digits that change with anything that the result depends on.

    Args:
        content, styles, start: pictures, (H, W, 3) uint8.
        weights: of the styles.
        encoder: its weights count.
        config: a dataclass.
    """
    pictures = [content, *styles] if start is None else [content, *styles, start]
    arrays = pictures + [tensor.cpu().contiguous().numpy() for tensor in encoder.state_dict().values()]
    digest = hashlib.sha256(json.dumps([list(weights), asdict(config)]).encode())
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def restore(optimizer: Optimizer, picture: Tensor, memory: dict[str, Tensor]) -> None:
    """Gives a new optimizer the memory of another one, as `Checkpoint` has kept it."""
    values = {name: _value(name, tensor, optimizer) for name, tensor in memory.items()}
    if isinstance(optimizer, torch.optim.LBFGS):
        values = {name: [] for name in LISTS} | values
    optimizer.state[picture] = values


def _memory(optimizer: Optimizer, picture: Tensor) -> dict[str, Tensor]:
    """The memory as tensors; empty lists are left out."""
    memory = {}
    for name, value in optimizer.state[picture].items():
        if isinstance(value, list):
            if value and name != WORKSPACE:
                memory[name] = torch.stack(value)
        elif value is not None:
            memory[name] = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    return memory


def _value(name: str, tensor: Tensor, optimizer: Optimizer) -> object:
    if name in LISTS:
        return [part.clone() for part in tensor]  # see `_fresh`
    if isinstance(optimizer, torch.optim.LBFGS) and tensor.ndim == 0:
        return tensor.item()
    return tensor


def _fresh(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy in memory of its own: where a tensor lies decides how sums are rounded."""
    return tensor.to(device, copy=True)
