"""The audit log: what was done with the people of a gallery, and when. It never says who they are.

One JSON object a line: `time`, `action`, `people` and what else the action counts. People stand there as random ids,
which lead to a name only as long as the gallery holds that person; never names, digests or images.
"""

import json
import os
import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from vision_app.core.errors import GalleryError
from vision_app.core.files import OWNER_ONLY


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class AuditLog:
    """The file beside a gallery that gets a line before anything is done."""

    def __init__(self, gallery: Path):
        self.path = gallery.with_name(f"{gallery.name}.audit.jsonl")

    def write(self, action: str, people: Iterable[int], **counts: int) -> None:
        """Add a line, whole or not at all as far as other processes can see.

        Args:
            action: "enroll", "identify", "verify", "export", "import", "rename", "merge", "reembed" or "forget".
            people: Ids of the people concerned.
            counts: What else is to be counted.

        Raises:
            GalleryError: The line cannot be written; then nothing is to be done either.
        """
        row = {"time": now(), "action": action, "people": [f"{key:016x}" for key in people], **counts}
        line = (json.dumps(row) + "\n").encode()
        try:
            at_once = getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for somebody who reads it
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | at_once, OWNER_ONLY)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise OSError(None, "not a regular file")
                if os.write(file, line) != len(line):
                    raise OSError(None, "no space left")
            finally:
                os.close(file)
        except OSError as error:
            raise GalleryError(f"{self.path}: the audit log cannot be written ({error.strerror})") from error
