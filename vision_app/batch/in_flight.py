"""Which inputs a run handles at the moment, in a file beside its journal: one of them killed it if it was killed."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from vision_app.batch.sources import Input
from vision_app.core.files import atomic_write, parse_json, read_bytes, remove_with_leftovers

_MAX_BYTES = 2**20  # of the file, from which on it is written anew


@dataclass(frozen=True)
class Begun:
    """What the file tells of an input.

    Attributes:
        file: The input's file.
        alone: Set while the input is retried in a process of its own and has no row yet: how many times it was the
            first input of such a process, 0 if others came before it.
        row: Its row, which the journal does not have yet.
    """

    file: str
    alone: int | None = None
    row: dict[str, Any] | None = None


class InFlight:
    """A file with lines for each input that was begun, by its place among all inputs; the last of each kind counts.

    Args:
        path: The file. It is there from the first input until the end of the run, and after a kill.
        permissions: Of a new file.
    """

    def __init__(self, path: Path, permissions: int):
        self.path, self.permissions = path, permissions
        self._lock = Lock()

    def begin(self, start: int, batch: Sequence[Input], rows: int) -> None:
        """Note that a batch begins.

        Args:
            start: Place of its first input.
            batch: Its inputs.
            rows: Number of inputs that have a row in the journal.
        """
        with self._lock:
            size = self._append({start + i: {"file": item.file} for i, item in enumerate(batch)})
            if size > _MAX_BYTES:
                self._keep(place for place in self.read() if place >= rows)

    def note(self, place: int, file: str, **found: Any) -> None:
        """Note something of an input that is retried alone, see `Begun`."""
        with self._lock:
            self._append({place: {"file": file, **found}})

    def _append(self, entries: Mapping[int, dict[str, Any]]) -> int:
        """Append lines, and return the size of the file in bytes."""
        lines = "".join(json.dumps({"place": place, **entry}) + "\n" for place, entry in entries.items())
        with open(self.path, "ab", opener=lambda path, flags: os.open(path, flags, self.permissions)) as stream:
            stream.write(lines.encode())
            return stream.tell()

    def read(self) -> dict[int, Begun]:
        """Return what was begun by its places; a line that a kill tore is left out."""
        found: dict[int, dict[str, Any]] = {}
        try:
            lines = read_bytes(self.path).decode(errors="replace").splitlines()
        except OSError:
            return {}
        for line in lines:
            try:
                entry = parse_json(line)
                place, file = int(entry["place"]), str(entry["file"])
                before = found.get(place, {})
                found[place] = (before if before.get("file") == file else {}) | entry
            except (ValueError, TypeError, KeyError):
                continue
        return {place: _begun(entry) for place, entry in found.items()}

    def keep(self, places: Iterable[int], *, only_names: bool = False) -> None:
        """Forget all inputs but those at some places; without any, the file is deleted.

        Args:
            places: Places of the inputs.
            only_names: Whether to forget all that was noted of these, too.
        """
        with self._lock:
            self._keep(places, only_names)

    def _keep(self, places: Iterable[int], only_names: bool = False) -> None:
        begun, wanted = self.read(), set(places)
        entries = {place: {"file": each.file} if only_names else vars(each) for place, each in begun.items()}
        if kept := [{"place": place, **entry} for place, entry in entries.items() if place in wanted]:
            with atomic_write(self.path, self.permissions) as temporary:
                temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
        else:
            remove_with_leftovers(self.path)


def _begun(entry: dict[str, Any]) -> Begun:
    row, alone = entry.get("row"), entry.get("alone")
    is_row = isinstance(row, dict) and row.get("file") == entry["file"] and "status" in row
    return Begun(str(entry["file"]), alone if isinstance(alone, int) else None, row if is_row else None)
