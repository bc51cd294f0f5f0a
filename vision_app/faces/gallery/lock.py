"""One writer at a time, whatever process it is in."""

import os
from pathlib import Path

from vision_app.core.errors import GalleryError, UsageError
from vision_app.core.files import OWNER_ONLY

try:
    import fcntl
except ImportError:  # not on this system: SQLite alone keeps two writers apart, a transaction at a time
    fcntl = None  # type: ignore[assignment]


class WriterLock:
    """A lock on a gallery that the system releases when its process ends, however it ends.

    It is on a file of its own: SQLite's locks on the database are lost when a process closes any handle of that.
    """

    def __init__(self, gallery: Path):
        """Take the lock.

        Raises:
            UsageError: There is no folder to make it in.
            GalleryError: Another process, or another `Gallery` of this one, has it.
        """
        path = gallery.with_name(f"{gallery.name}.lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, OWNER_ONLY)
        except OSError as error:
            raise UsageError(f"--gallery {gallery}: {path.name} cannot be made beside it ({error.strerror})") from error
        try:
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._file, 20).decode(errors="replace").strip()
            os.close(self._file)
            if not isinstance(error, BlockingIOError):
                raise GalleryError(f"{path}: cannot be locked ({error.strerror})") from error
            who = f"process {holder}" if holder else "another process"
            raise GalleryError(f"{gallery}: {who} is writing to this gallery; try again when it is done") from None
        os.ftruncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Release the lock."""
        os.close(self._file)
