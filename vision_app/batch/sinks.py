"""What a command writes beside its journal: tables and texts, and images."""

import csv
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from vision_app.core.errors import ImageError, VisionAppError
from vision_app.core.files import PUBLIC, atomic_write, remove_all_leftovers
from vision_app.core.images import write_image

# What fails every image of a folder, not one alone.
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}


class OutputError(VisionAppError):
    """Something could not be written. A run stops here, and the rows written so far stay."""

    def __init__(self, path: str | os.PathLike[str], error: OSError):
        super().__init__(path, error)

    def __str__(self) -> str:
        path, error = self.args
        return f"cannot write {os.fspath(path)}: {error.strerror or error}"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into an OutputError that names the path."""
    try:
        yield
    except OSError as error:
        raise OutputError(path, error) from error


def write_table(stream: TextIO, columns: Sequence[str], lines: Iterable[Iterable[object]]) -> None:
    """Write a table as CSV: the names of its columns, then its lines."""
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(columns)
    table.writerows(lines)


def write_csv(path: Path, columns: Sequence[str], lines: Iterable[Iterable[object]]) -> None:
    """Write a table to a file, whole or not at all; see `write_table`.

    Raises:
        OutputError: It could not be written.
    """
    with (
        writing(path),
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        write_table(stream, columns, lines)


def write_text(path: Path, text: str, permissions: int = PUBLIC) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        OutputError: It could not be written.
    """
    with writing(path), atomic_write(path, permissions) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def remove(path: Path) -> None:
    """Delete a file if it is there.

    Raises:
        OutputError: It cannot be deleted.
    """
    with writing(path):
        path.unlink(missing_ok=True)


def image_path(folder: Path, name: str, suffix: str = ".jpg") -> Path:
    """Return the file that an `ImageFolder` makes of an input."""
    return folder / (name + suffix)


class ImageFolder:
    """A folder of images named after the inputs that they show, in the same sub-folders."""

    def __init__(self, folder: Path, suffix: str = ".jpg"):
        self.folder = folder
        self.suffix = suffix
        remove_all_leftovers(folder)

    def try_to_write(self, name: str, draw: Callable[[], np.ndarray]) -> str | None:
        """Write a copy that the row can do without; see `write`.

        Args:
            name: See `write`.
            draw: Returns the pixels.

        Returns:
            Why there is none, or None.

        Raises:
            OutputError: The folder or the disk takes no image.
        """
        try:
            self.write(name, draw())
        except ImageError as error:
            return error.reason
        except MemoryError:
            return "the copy cannot be written: not enough memory"
        return None

    def write(self, name: str, pixels: np.ndarray) -> None:
        """Write `pixels`, (H, W, 3) or (H, W, 4) uint8, to `<folder>/<name><suffix>`; the whole file appears at once.

        Raises:
            OutputError: The folder or the disk takes no image.
            ImageError: This image alone cannot be written, for example one too wide for the format.
        """
        path = image_path(self.folder, name, self.suffix)
        with writing(self.folder):
            self.folder.mkdir(exist_ok=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, pixels)
        except (ImageError, OSError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, OSError) and cause.errno in _FATAL:
                raise OutputError(path, cause) from error
            reason = getattr(cause, "strerror", None) or cause
            raise ImageError(os.fspath(path), f"the copy cannot be written: {reason}") from error
