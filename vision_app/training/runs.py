"""The folder of a run: what it is made from, its metrics, its model folders, and the checkpoint to resume from."""

import csv
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import Tensor

from vision_app.core.errors import DataError, UsageError
from vision_app.core.files import atomic_write, read_text
from vision_app.core.flags import flag
from vision_app.core.tensors import load_tensors, save_tensors, with_prefix
from vision_app.training.config import RENAMED

CHECKPOINT, METRICS, SETTINGS = "last.safetensors", "metrics.csv", "config.json"


@dataclass
class RunState:
    """How far a run has come; all that a resumed run needs to know beside tensors.

    Attributes:
        epoch: Whole epochs done.
        step: Steps done of the next one.
        sums: Of the epoch's losses.
        measured: (epoch, decisive metric) of each validation.
        best: All metrics of the best validation.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    measured: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)

    @property
    def metrics(self) -> list[float]:
        """The decisive metric of each validation."""
        return [metric for _, metric in self.measured]


def check_run_folder(folder: Path, resume: bool, mark: str = SETTINGS) -> None:
    """Check, before anything is read, that a run may be written to a folder.

    Args:
        folder: Need not exist yet.
        resume: Whether a run in it is to be resumed.
        mark: A file that every such folder has from its start, see `check_folder`.

    Raises:
        UsageError: A run lies there and `resume` is False, or see `check_folder`.
    """
    if os.path.lexists(folder / CHECKPOINT) and not resume:
        raise UsageError(f"--output {folder}: contains a run already; --resume continues it")
    rank_zero_only(check_folder)(folder, mark)  # other processes may come when the first one has begun to write


def check_folder(folder: Path, mark: str) -> None:
    """Check that a folder, which need not exist yet, can be written to; nothing is left there.

    Args:
        folder: The folder.
        mark: A file that each folder of this kind has.

    Raises:
        UsageError: It cannot be made or written to, or is not empty and has no such file.
    """
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each))
    try:
        with tempfile.TemporaryDirectory(dir=place):
            pass
        strange = folder.exists() and not (folder / mark).exists() and next(folder.iterdir(), None)
    except OSError as error:
        raise UsageError(f"--output {folder}: cannot be written ({place}: {error.strerror})") from error
    if strange:
        raise UsageError(f"--output {folder}: is not empty (contains {strange.name}); choose a new folder")


def save(folder: Path, state: RunState, tensors: Mapping[str, Mapping[str, Tensor]], **more: Any) -> None:
    """Write the checkpoint of a run.

    Args:
        folder: Of the run.
        state: How far it has come.
        tensors: Several state dictionaries, by a name each.
        **more: JSON values.
    """
    flat = {name: t for prefix, group in tensors.items() for name, t in with_prefix(prefix, group).items()}
    save_tensors(folder / CHECKPOINT, flat, {**asdict(state), **more})


def load(folder: Path, settings: Mapping[str, Any]) -> tuple[RunState, dict[str, Tensor], dict[str, Any]]:
    """Read the checkpoint of a run that was made from the same settings: its state, tensors and all JSON values.

    More epochs than before prolong the run; they are the one setting that may differ.

    Raises:
        UsageError: The run was made from other settings, or from more epochs.
        DataError: The file is not such a checkpoint.
    """
    tensors, saved = load_tensors(folder / CHECKPOINT)
    before = {RENAMED.get(key, key): value for key, value in saved.get("settings", {}).items()}
    for key, value in settings.items():
        was = before.get(key)
        if was == value or (key == "epochs" and isinstance(was, int) and value > was):
            continue
        if _names(was) == _names(value):
            found = f"the content of {_names(value)} has changed since the run was started; restore it"
            raise UsageError(f"{flag(key)}: {found} or choose another {flag('output')}")
        advice = "give more, leave it out" if key == "epochs" else "leave it out"
        raise UsageError(
            f"{flag(key)} {value}: the run to resume was started with {was}; {advice} or choose "
            f"another {flag('output')}"
        )
    try:
        return RunState(**{key: saved[key] for key in RunState.__dataclass_fields__}), tensors, saved
    except KeyError as error:
        raise DataError(f"{folder / CHECKPOINT}: has no {error}; it cannot be resumed by this version") from error


def _names(value: Any) -> Any:
    """Return a setting without the digests in it."""
    return re.sub(r" [0-9a-f]{12}\b", "", value) if isinstance(value, str) else value


def append_metrics(folder: Path, row: Mapping[str, float]) -> None:
    """Add a row to metrics.csv, whose header grows with new columns, and drop the rows of later epochs."""
    rows: list[dict[str, Any]] = [r for r in read_metrics(folder) if int(r["epoch"]) < row["epoch"]]
    rows.append(dict(row))
    columns = list(dict.fromkeys(key for r in rows for key in r))
    with atomic_write(folder / METRICS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv, none where there is no such file."""
    path = folder / METRICS
    return list(csv.DictReader(read_text(path).splitlines())) if path.exists() else []


def keep_models(folder: Path, measured: Sequence[tuple[int, float]], count: int) -> None:
    """Copy last/ to best/ if it is the best so far, and to top/epoch-N if it is among the `count` best."""
    ranking = [f"epoch-{epoch:04}" for epoch, _ in sorted(measured, key=lambda pair: -pair[1])]  # equals in order
    newest, names = f"epoch-{measured[-1][0]:04}", ranking[:count]
    if newest == ranking[0]:
        _replace_folder(folder / "best", folder / "last")
    if newest in names:
        (folder / "top").mkdir(exist_ok=True)
        _replace_folder(folder / "top" / newest, folder / "last")
    for old in (folder / "top").glob("epoch-*"):
        if old.name not in names:
            shutil.rmtree(old)


def _replace_folder(folder: Path, source: Path) -> None:
    """Make `folder` a copy of `source`, never a mixture of old and new files."""
    temporary, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, temporary)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
