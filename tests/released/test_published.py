"""Published weights in a folder that cannot be written; what else holds of them is tested where they are used."""

import errno
import hashlib

import pytest

from vision_app.core.errors import ModelError
from vision_app.released import published
from vision_app.released.published import check_published


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_weights_in_a_cache_that_cannot_be_written_are_used_and_checked(tmp_path, monkeypatch, number):
    """Such as that of a container image, or one that others own."""

    def refuse(path):
        raise OSError(number, "not here", str(path))

    monkeypatch.setattr(published, "atomic_write", refuse)
    digest = hashlib.sha256(b"weights").hexdigest()
    path = tmp_path / f"network-{digest[:8]}.pth"
    path.write_bytes(b"weights")
    check_published(path)
    assert [*tmp_path.iterdir()] == [path]
    path.write_bytes(b"others")
    with pytest.raises(ModelError, match=f"its digest does not begin with {digest[:8]}"):
        check_published(path)
    path.write_bytes(b"weights")
    path.with_name(f"{path.name}.sha256").write_text(f"{'0' * 64}  {path.name}\n")  # by who made the cache
    with pytest.raises(ModelError, match=r"its digest is not the one in network-.*\.sha256"):
        check_published(path)
