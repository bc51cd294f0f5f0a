"""Weights that others publish: their names begin their digest, and the first use remembers all of it."""

import hashlib
from pathlib import Path

from vision_app.core.errors import ModelError
from vision_app.core.files import atomic_write, read_bytes, read_text


def check_published(path: Path) -> None:
    """Check a file of published weights against its name and, from the second use on, against what it was at the first.

    Args:
        path: Such as `ssd300_vgg16_coco-b556d3b4.pth`. Its digest is kept beside it, in a file with `.sha256` appended.

    Raises:
        ModelError: It is not the file that was published, or not the one that was used first.
    """
    prefix, kept = path.stem.rpartition("-")[2], path.with_name(f"{path.name}.sha256")
    try:
        digest = hashlib.sha256(read_bytes(path)).hexdigest()
        if not digest.startswith(prefix):
            raise ModelError(f"{path}: damaged or changed, its digest does not begin with {prefix}; delete it")
        if not kept.exists():
            with atomic_write(kept) as temporary:
                temporary.write_text(f"{digest}  {path.name}\n", encoding="utf-8")  # as sha256sum --check reads it
        elif read_text(kept, 1000).split()[:1] != [digest]:
            advice = "delete both if it was replaced on purpose"
            raise ModelError(f"{path}: damaged or changed, its digest is not the one in {kept.name}; {advice}")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: its digest cannot be checked ({getattr(error, 'strerror', None) or error})"
        ) from error
