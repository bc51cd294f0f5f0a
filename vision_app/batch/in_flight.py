"""Which inputs a run handles at the moment, in a file beside its journal: one of them killed it if it was killed."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock

from vision_app.batch.sources import Input
from vision_app.core.files import atomic_write, parse_json, read_bytes, remove_with_leftovers

_MAX_BYTES = 2**20  # of the file, from which on it is written anew


class InFlight:
    """A file with a line for each input that was begun, by its place among all inputs.

    Args:
        path: The file. It is there from the first input until the end of the run, and after a kill.
        permissions: Of a new file.
    """

    def __init__(self, path: Path, permissions: int):
        self.path, self._permissions = path, permissions
        self._lock = Lock()

    def begin(self, start: int, batch: Sequence[Input], rows: int) -> None:
        """Note that a batch begins.

        Args:
            start: Place of its first input.
            batch: Its inputs.
            rows: Number of inputs that have a row in the journal.
        """
        lines = "".join(json.dumps({"place": start + i, "file": item.file}) + "\n" for i, item in enumerate(batch))
        with self._lock:
            new = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, self._permissions)
            try:
                os.write(new, lines.encode())
                is_large = os.fstat(new).st_size > _MAX_BYTES
            finally:
                os.close(new)
            if is_large:
                self._keep(place for place in self.places() if place >= rows)

    def places(self) -> dict[int, str]:
        """Return the files that were begun by their places; a line that a kill tore is left out."""
        found: dict[int, str] = {}
        try:
            lines = read_bytes(self.path).decode(errors="replace").splitlines()
        except OSError:
            return {}
        for line in lines:
            try:
                entry = parse_json(line)
                found[int(entry["place"])] = str(entry["file"])
            except (ValueError, TypeError, KeyError):
                continue
        return found

    def keep(self, places: Iterable[int]) -> None:
        """Forget all inputs but those at some places; without any, the file is deleted."""
        with self._lock:
            self._keep(places)

    def _keep(self, places: Iterable[int]) -> None:
        begun, wanted = self.places(), set(places)
        if kept := [{"place": place, "file": file} for place, file in begun.items() if place in wanted]:
            with atomic_write(self.path, self._permissions) as temporary:
                temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
        else:
            remove_with_leftovers(self.path)
