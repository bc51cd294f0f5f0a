"""Files that only their owner may read."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

OWNER_ONLY = 0o600


@contextmanager
def write_private(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing under a temporary name, and moves it into place when the block is done.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_private(path: Path) -> None:
    """Deletes such a file, and what a kill left unfinished of it."""
    for leftover in [path, *path.parent.glob(f".{path.name}.*.part")]:
        leftover.unlink(missing_ok=True)
