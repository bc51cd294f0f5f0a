"""One writer at a time, whatever process it is in."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vision_app.core.errors import GalleryError, UsageError
from vision_app.core.files import OWNER_ONLY

if sys.platform != "win32":  # where SQLite alone keeps two writers apart, a transaction at a time
    from fcntl import LOCK_EX, LOCK_NB, flock


@contextmanager
def writer_lock(gallery: Path) -> Iterator[None]:
    """Lock a gallery for its writer. The system releases the lock when the process ends, however it ends.

    It is on a file of its own: SQLite's locks on the database are lost when a process closes any handle of that.

    Raises:
        UsageError: There is no folder to make it in.
        GalleryError: Another process, or another `Gallery` of this one, has it.
    """
    path = gallery.with_name(f"{gallery.name}.lock")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, OWNER_ONLY)
    except OSError as error:
        raise UsageError(f"--gallery {gallery}: {path.name} cannot be made beside it ({error.strerror})") from error
    try:
        try:
            if sys.platform != "win32":
                flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 20).decode(errors="replace").strip()
            who = f"process {holder}" if holder else "another process"
            raise GalleryError(f"{gallery}: {who} is writing to this gallery; try again when it is done") from None
        except OSError as error:
            raise GalleryError(f"{path}: cannot be locked ({error.strerror})") from error
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(file)
