"""Write files so that they are there whole or not at all, keep some to their owner, and read people's files.

What is read is a regular file, for others may never end, and no larger than a limit.
"""

import codecs
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO

from vision_app.core.errors import UsageError
from vision_app.core.flags import flag
from vision_app.core.limits import MAX_BYTES

OWNER_ONLY = 0o600
PUBLIC = 0o666  # without what the system's umask takes away
_STEP = 2**16  # bytes
_PART = "[0-9a-f]" * 16 + ".part"  # what ends the name of an unfinished file


class UnreadableFileError(OSError):
    """A file that is not read for what it is; `strerror` says why, without its name."""

    def __str__(self) -> str:
        return str(self.strerror)


def open_regular(path: Path, limit: int = MAX_BYTES) -> BinaryIO:
    """Open a file to read its bytes, if it is a regular one: reading a device or a pipe may never end.

    Args:
        path: The file.
        limit: Most bytes that it may have.

    Raises:
        OSError: It cannot be opened, is of another kind or has more bytes; `strerror` says which.
    """
    _check_regular(path, path.stat(), limit)
    stream = open(path, "rb", opener=_open_at_once)  # noqa: SIM115
    try:
        _check_regular(path, os.fstat(stream.fileno()), limit)  # what is there now may be something else
    except BaseException:
        stream.close()
        raise
    return stream


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting, as a pipe does until somebody writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(path: Path, found: os.stat_result, limit: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableFileError(errno.EINVAL, "not a regular file", str(path))
    if found.st_size > limit:
        reason = f"too large: {found.st_size:,} bytes are over the limit of {limit:,}"
        raise UnreadableFileError(errno.EFBIG, reason, str(path))


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file; errors are those of `open_regular`."""
    with open_regular(path, limit) as file:
        content = file.read(os.fstat(file.fileno()).st_size)
        while more := file.read(_STEP):  # it has grown, or its size is not told, as in /proc
            content += more
            if len(content) > limit:
                reason = f"too large: over the limit of {limit:,} bytes"
                raise UnreadableFileError(errno.EFBIG, reason, str(path))
        return content


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """Return the text of a file as people's editors save it: UTF-8, or UTF-16, with or without a byte order mark.

    UTF-16 is told by its byte order mark. Line ends stay as they are.

    Raises:
        OSError: The file cannot be read, see `open_regular`.
        UnicodeDecodeError: It is neither.
    """
    content = read_bytes(path, limit)
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf16 else "utf-8-sig")


def parse_json(content: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: It is none, or nested too deeply or too large to be read.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except MemoryError:
        raise ValueError("not enough memory to read it") from None


@contextmanager
def atomic_write(path: Path, permissions: int = PUBLIC) -> Iterator[Path]:
    """Create a file under a temporary name beside `path` and move it into place when the block is done.

    A kill at any moment leaves the old file or the new one, and at most a hidden `.part` file beside it. When the
    block raises, the old file stays.

    >>> with atomic_write(path) as temporary:
    ...     temporary.write_text("whole or not at all")

    Args:
        path: The file to write or replace.
        permissions: Of the new file, from its first byte on.

    Yields:
        The temporary path; the file is there, empty.

    Raises:
        OSError: The file cannot be written, or there is a device, a pipe or a folder in its place.
    """
    if path.exists() and not path.is_file():  # to replace /dev/null would be a mistake
        raise OSError(errno.EEXIST, "not a regular file", str(path))
    temporary = path.with_name(f"{_prefix(path)}{secrets.token_hex(8)}.part")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, permissions))
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(paths: Iterable[Path], overwrite: bool, sources: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Refuse to write over what is there, unless the user asked for that, and always over what is read.

    Args:
        paths: What is to be written.
        overwrite: Whether it may replace what is there.
        sources: The files that are read.

    Raises:
        UsageError: One of the paths exists, or is one of the sources under whatever name.
    """
    refuse_sources(paths := list(paths), sources)
    if not overwrite and (found := next(filter(os.path.lexists, paths), None)):
        raise UsageError(f"{found}: exists already; write elsewhere or replace it with {flag('overwrite')}")


def refuse_sources(paths: Iterable[Path], sources: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse to write over what is read.

    Args:
        paths: What is to be written.
        sources: The files that are read.

    Raises:
        UsageError: One of the paths is one of the sources, under whatever name.
    """
    read = {_identity(source) for source in sources}
    if read and (found := next((path for path in paths if _identity(path) in read), None)):
        raise UsageError(f"{found}: is read by this command and would be replaced; write elsewhere")


def _identity(path: str | os.PathLike[str]) -> tuple[int, int] | str:
    """Return what tells a file from all others whatever its names are, also a file that is not there yet."""
    try:
        found = Path(path).stat()
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


def make_folder(folder: Path) -> None:
    """Make the folder that an --output names, and those above it.

    Raises:
        UsageError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        raise UsageError(f"--output {folder}: {file} is a file; choose a folder") from None
    except OSError as error:
        raise UsageError(f"--output {folder}: {error.strerror or error}") from error


def remove_leftovers(path: Path) -> None:
    """Delete what kills left unfinished of a file."""
    for leftover in path.parent.glob(escape(_prefix(path)) + _PART):
        leftover.unlink(missing_ok=True)


def remove_all_leftovers(folder: Path) -> None:
    """Delete what kills left unfinished in a folder and all below it."""
    for leftover in folder.rglob(".*" + _PART):
        leftover.unlink(missing_ok=True)


def remove_with_leftovers(path: Path) -> None:
    """Delete a file if it is there, and what kills left unfinished of it."""
    path.unlink(missing_ok=True)
    remove_leftovers(path)


def _prefix(path: Path) -> str:
    """Return how the names of unfinished files begin: short, since the name itself may be as long as names get."""
    return f".{path.name[:40]}."
