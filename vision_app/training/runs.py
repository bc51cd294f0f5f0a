"""The folder of a run: what it is made from, its metrics, its model folders, and the checkpoint to go on from."""

import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vision_app.core.errors import DataError, UsageError
from vision_app.core.files import atomic_write
from vision_app.core.flags import flag
from vision_app.core.tensors import load_tensors, save_tensors, with_prefix

CHECKPOINT, METRICS, SETTINGS = "last.safetensors", "metrics.csv", "config.json"


@dataclass
class Progress:
    """How far a run has come; all that a resumed run needs to know beside tensors.

    Attributes:
        epoch: whole epochs done.
        step: steps done of the next one.
        sums: of the epoch's losses.
        measured: (epoch, decisive metric) of each measurement.
        best: all metrics of the best measurement.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    measured: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)


def check_run_folder(folder: Path, resume: bool) -> None:
    """Raises UsageError if a run lies in `folder` that is not to be resumed; worth knowing before anything is read."""
    if os.path.lexists(folder / CHECKPOINT) and not resume:
        raise UsageError(f"--output {folder}: holds a run already; --resume continues it")


def check_folder(folder: Path, mark: str) -> None:
    """Tries whether a folder, which need not be there yet, can be written to; nothing is left of that.

    Args:
        mark: a file that each folder of this kind holds.

    Raises:
        UsageError: it cannot be made or written to, or holds other things.
    """
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each))
    try:
        with tempfile.TemporaryDirectory(dir=place):
            pass
        strange = folder.exists() and not (folder / mark).exists() and next(folder.iterdir(), None)
    except OSError as error:
        raise UsageError(f"--output {folder}: cannot be written ({place}: {error.strerror})") from error
    if strange:
        raise UsageError(f"--output {folder}: holds other things ({strange.name}); choose a new folder")


def save(folder: Path, progress: Progress, tensors: Mapping[str, Mapping[str, Tensor]], **state) -> None:
    """Writes the checkpoint of a run.

    Args:
        tensors: by a name each, several state dictionaries.
        state: more that goes into JSON.
    """
    flat = {name: t for prefix, group in tensors.items() for name, t in with_prefix(prefix, group).items()}
    save_tensors(folder / CHECKPOINT, flat, {**asdict(progress), **state})


def load(folder: Path, settings: Mapping) -> tuple[Progress, dict[str, Tensor], dict]:
    """Reads the checkpoint of a run that was made from the same settings: its progress, tensors and whole state.

    Raises:
        UsageError: the run was made from other settings.
        DataError: the file is no such checkpoint.
    """
    tensors, state = load_tensors(folder / CHECKPOINT)
    for key, value in settings.items():
        was = state.get("settings", {}).get(key)
        if was != value and _names(was) == _names(value):
            raise UsageError(f"{flag(key)}: the content of {_names(value)} has changed since the run was started")
        if was != value:
            raise UsageError(f"{flag(key)} {value}: the run to resume was started with {was}")
    try:
        progress = Progress(**{key: state[key] for key in Progress.__dataclass_fields__})
    except KeyError as error:
        raise DataError(f"{folder / CHECKPOINT}: has no {error}; it cannot be resumed by this version") from error
    return progress, tensors, state


def _names(value: Any) -> Any:
    """A setting without the digests in it."""
    return re.sub(r" [0-9a-f]{12}\b", "", value) if isinstance(value, str) else value


def write_settings(folder: Path, settings: Mapping) -> None:
    """Writes config.json."""
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def append_metrics(folder: Path, row: Mapping[str, float]) -> None:
    """Adds a row to metrics.csv, whose header grows with new columns, and drops what is there of later epochs."""
    rows = [r for r in read_metrics(folder) if int(r["epoch"]) < row["epoch"]] + [dict(row)]
    columns = list(dict.fromkeys(key for r in rows for key in r))
    with atomic_write(folder / METRICS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, none where there is no such file."""
    path = folder / METRICS
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []


def keep_models(folder: Path, measured: Sequence[tuple[int, float]], count: int) -> None:
    """Copies last/ to best/ if it is the best so far, and to top/epoch-N if it is among the `count` best."""
    ranking = [f"epoch-{epoch:04}" for epoch, _ in sorted(measured, key=lambda pair: -pair[1])]  # equals in order
    newest, names = f"epoch-{measured[-1][0]:04}", ranking[:count]
    if newest == ranking[0]:
        replace_folder(folder / "best", folder / "last")
    if newest in names:
        (folder / "top").mkdir(exist_ok=True)
        replace_folder(folder / "top" / newest, folder / "last")
    for old in (folder / "top").glob("epoch-*"):
        if old.name not in names:
            shutil.rmtree(old)


def replace_folder(folder: Path, source: Path) -> None:
    """Makes `folder` a copy of `source`, never a mixture of old and new files."""
    temporary, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, temporary)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
