"""The journal of a run: its rows, in the order of the inputs, by which it is continued."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Any

from vision_app.batch.in_flight import InFlight
from vision_app.batch.sinks import write_text, writing
from vision_app.batch.sources import Input
from vision_app.core.errors import UsageError
from vision_app.core.files import (
    OWNER_ONLY,
    PUBLIC,
    make_folder,
    open_regular,
    parse_json,
    read_bytes,
    refuse_existing,
    refuse_sources,
    remove_leftovers,
)
from vision_app.core.limits import MAX_SETTINGS_BYTES

if sys.platform != "win32":  # where two runs on one output are the user's to avoid
    from fcntl import LOCK_EX, LOCK_NB, flock

_MAX_BYTES = 2**63 - 1  # of a journal, which is read row by row
_MAX_LINE = 100_000_000
_START_OF_ROW = b'{"file": "'


class Journal:
    """The JSONL file of a run: one row an input, in input order, flushed at every `write`.

    A kill can tear the last line only; opening the journal with `resume` cuts it off. The settings on which the rows
    depend are beside it in `<stem>.settings.json`, so that a run is not resumed with others. The file is locked while
    it is open, so that no two runs write to it. Another file beside it, `<stem>.inflight`, names the inputs that are
    being handled; it stays there after a kill alone.

    Attributes:
        path: The file.
        inputs: All inputs of the run, those with a row included.
        batch_size: Inputs a batch; rows are kept in whole batches.
        rows: Number of rows in it.
        failed: Number of those with the status "failed".
        in_flight: What is being handled.
        suspects: Places of the inputs at which the run that is continued was killed, as one of them may kill this one.
        known: Rows of inputs, by their places, that were handled in another process and are not written yet.
    """

    def __init__(
        self,
        path: Path,
        *,
        settings: dict[str, Any],
        inputs: Sequence[Input],
        batch_size: int,
        resume: bool,
        overwrite: bool = False,
        others: Iterable[Path] = (),
        sources: Iterable[str | os.PathLike[str]] = (),
        permissions: int = PUBLIC,
    ):
        """Start the journal or, with `resume`, continue the one that is there.

        Args:
            path: The file; its folder is made when missing.
            settings: JSON values on which the rows depend, by the name of their flag.
            inputs: All inputs of this run. A continued journal must hold the first of them; new ones may follow.
            batch_size: Rows are kept in whole batches, so that every batch holds what it would hold without a break.
            resume: Continue a journal that exists instead of refusing to touch it.
            overwrite: Replace a journal that exists, and `others`.
            others: What the run writes beside the journal. None of it may be there when a journal is started.
            sources: What the run reads besides the inputs; it never writes there.
            permissions: Of a new file, without those that the system's umask takes away.

        Raises:
            UsageError: The folder cannot be written; another run writes there; the journal or one of the others exists,
                or the journal is not one, or belongs to other settings or inputs; or the run would replace what it
                reads. What is there stays as it is.
        """
        if resume and overwrite:
            raise UsageError("--overwrite: not together with --resume, which continues a run; leave one of them out")
        self.path, self.inputs, self.batch_size, others = path, inputs, batch_size, list(others)
        self._resume = resume
        self.in_flight = InFlight(path.with_suffix(".inflight"), permissions)
        self.known: dict[int, dict[str, Any]] = {}
        refuse_sources(
            [path, self._settings_path, self.in_flight.path, *others], chain(sources, (item.file for item in inputs))
        )
        if not path.exists():  # beside a journal, they are of its run
            refuse_existing(others, overwrite)
        self.rows = self.failed = 0
        make_folder(path.parent)
        try:
            self._stream = _open_alone(path, "ab" if resume or overwrite else "xb", permissions)
            try:
                if overwrite:
                    self._stream.truncate(0)
                    if permissions == OWNER_ONLY:
                        path.chmod(OWNER_ONLY)
                self._start(settings)
            except BaseException:
                self._stream.close()
                raise
        except OSError as error:
            raise UsageError(f"--output {path.parent}: {error.strerror or error}") from error

    def _start(self, settings: dict[str, Any]) -> None:
        remove_leftovers(self._settings_path)
        end = self._keep_whole_batches()
        has_same_settings = True
        try:
            self._check_settings(settings)
        except UsageError:
            if end:
                raise
            has_same_settings = False
        self._stream.truncate(end)
        begun = self.in_flight.read() if self._resume else {}
        kept = [
            place for place in sorted(begun)
            if self.rows <= place < len(self.inputs) and self.inputs[place].file == begun[place].file
        ]  # fmt: skip
        self.in_flight.keep(kept, only_names=not has_same_settings)
        if has_same_settings:
            self.known = {place: row for place in kept if (row := begun[place].row)}
        self.suspects = [place for place in kept if place not in self.known]
        if not end:  # after the cut: no row is ever beside settings that it was not made with
            write_text(self._settings_path, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        left = {*self.suspects, *self.known}
        with suppress(OSError):
            self.in_flight.keep(place for place in left if place >= self.rows)
        self._stream.close()

    def begin(self, start: int, batch: Sequence[Input]) -> None:
        """Note that a batch of inputs, the first of them at a place, is being handled from now on.

        Raises:
            OutputError: It could not be written.
        """
        with writing(self.in_flight.path):
            self.in_flight.begin(start, batch, self.rows)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows.

        Raises:
            OutputError: They could not be written, or not whole.
        """
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        # A file name that is not UTF-8 has lone surrogates, and backslashreplace writes those as JSON escapes.
        left = memoryview(lines.encode(errors="backslashreplace"))
        with writing(self.path):
            while left:
                left = left[self._stream.write(left) :]
        self._count(rows)

    @property
    def written(self) -> int:
        """Number of lines of the file: an interrupt can come after a row was written and before it was counted."""
        with self.path.open("rb") as file:
            return sum(line.endswith(b"\n") for line in file)

    def _count(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            self.rows += 1
            self.failed += row["status"] != "ok"

    def _keep_whole_batches(self) -> int:
        """Count the rows to keep and return where in the file they end, in bytes."""
        position = end = 0
        batch: list[dict[str, Any]] = []
        for line, row in _whole_lines(self.path, "move the file away or choose another --output"):
            place = self.rows + len(batch)
            wanted = self.inputs[place].file if place < len(self.inputs) else None
            if row["file"] != wanted:
                there = "no more inputs" if wanted is None else repr(wanted)
                raise UsageError(
                    f"cannot resume {self.path}: its row {place + 1} is for {row['file']!r}, but the sources now have "
                    f"{there} there; give the same sources or another --output"
                )
            batch.append(row)
            position += len(line)
            if len(batch) == self.batch_size or place + 1 == len(self.inputs):
                self._count(batch)
                batch, end = [], position
        return end

    @property
    def _settings_path(self) -> Path:
        return self.path.with_suffix(".settings.json")

    def _check_settings(self, settings: dict[str, Any]) -> None:
        """Refuse settings unlike those that the rows were made with."""
        try:
            before = parse_json(read_bytes(self._settings_path, MAX_SETTINGS_BYTES))
            if not isinstance(before, dict):
                raise ValueError
        except (OSError, ValueError):
            raise UsageError(
                f"cannot resume {self.path}: {self._settings_path.name} is missing beside it or damaged; "
                "choose another --output"
            ) from None
        now = json.loads(json.dumps(settings))
        for name in [*now, *before]:
            if now.get(name) != before.get(name):
                raise UsageError(
                    f"cannot resume {self.path}: {name} was {json.dumps(before.get(name))} and is now "
                    f"{json.dumps(now.get(name))}; give the same settings or another --output"
                )


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a journal, one at a time; errors are those of `_whole_lines`."""
    return (row for _, row in _whole_lines(path, "give the detections.jsonl of a run as it was written"))


def _open_alone(path: Path, mode: str, permissions: int) -> FileIO:
    """Open a journal for this process alone.

    Raises:
        UsageError: It exists and must not ("xb"), or another process has it open.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: is not a regular file; choose another --output")
    try:
        stream = FileIO(path, mode, opener=lambda file, flags: os.open(file, flags, permissions))
    except FileExistsError:
        found = f"{path}: exists already; continue it with --resume, replace it with --overwrite"
        raise UsageError(f"{found} or choose another --output") from None
    try:
        if sys.platform != "win32":
            flock(stream, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise UsageError(f"{path}: another run is writing here; choose another --output") from None
    except OSError:
        pass  # a file system without locks
    return stream


def _whole_lines(path: Path, advice: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield each line of a journal and its row, without the torn last line that a kill or a power cut leaves.

    Args:
        path: The journal.
        advice: What to do when a line is not a row.

    Raises:
        UsageError: A line is not a row: the file is not a journal, or was changed.
        OSError: It cannot be read, or is no regular file.
    """
    with open_regular(path, _MAX_BYTES) as stream:
        for number, line in enumerate(iter(partial(stream.readline, _MAX_LINE), b""), start=1):
            try:
                row = parse_json(line)
            except ValueError:
                row = None
            if line.endswith(b"\n") and isinstance(row, dict) and {"file", "status"} <= row.keys():
                yield line, row
            elif (
                line.endswith(b"\n")
                or len(line) == _MAX_LINE
                or not _START_OF_ROW.startswith(line.rstrip(b"\0")[: len(_START_OF_ROW)])
            ):
                raise UsageError(f"{path}: line {number} is not a valid row; {advice}")
