"""Weights that others publish: their names begin their digest, and the first use remembers all of it."""

import hashlib
import sys
from contextlib import suppress
from pathlib import Path

from vision_app.core.errors import ModelError
from vision_app.core.files import atomic_write, read_text


def cached(url: str) -> Path:
    """Return where torch keeps a file that it fetched from an address."""
    import torch

    return Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])


def fetch(name: str, url: str, megabytes: float) -> Path:
    """Return the file of published weights, see `cached`, fetched if it is not there.

    Args:
        name: What the user called the model.
        url: Ends in a name such as `check_published` takes.
        megabytes: To be told before it is fetched.

    Raises:
        ModelError: It cannot be fetched, which says where to put it; or see `check_published`.
    """
    import torch

    path = cached(url)
    if not path.is_file():
        print(f"{name}: fetching {url} ({megabytes:.0f} MB) to {path.parent}", file=sys.stderr)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2])
        except (OSError, RuntimeError) as error:  # no network, no room on the disk; a wrong digest
            raise ModelError(f"{name}: cannot fetch its weights ({error}); put {url} at {path} by hand") from error
    check_published(path)
    return path


def check_published(path: Path) -> None:
    """Check a file of published weights against its name and, from the second use on, against what it was at the first.

    Args:
        path: Such as `ssd300_vgg16_coco-b556d3b4.pth`. Its digest is kept beside it, in a file with `.sha256` appended;
            not where the folder cannot be written.

    Raises:
        ModelError: It is not the file that was published, or not the one that was used first.
    """
    prefix, kept = path.stem.rpartition("-")[2], path.with_name(f"{path.name}.sha256")
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if not digest.startswith(prefix):
            raise ModelError(f"{path}: damaged or changed, its digest does not begin with {prefix}; delete it")
        if not kept.exists():
            with suppress(OSError), atomic_write(kept) as temporary:  # others' folders may be read-only
                temporary.write_text(f"{digest}  {path.name}\n", encoding="utf-8")  # as sha256sum --check reads it
        elif read_text(kept, 1000).split()[:1] != [digest]:
            advice = "delete both if it was replaced on purpose"
            raise ModelError(f"{path}: damaged or changed, its digest is not the one in {kept.name}; {advice}")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: its digest cannot be checked ({getattr(error, 'strerror', None) or error})"
        ) from error
