"""One writer at a time."""

import pytest

from vision_app import Gallery
from vision_app.core.errors import GalleryError


def test_only_one_writer_at_a_time(gallery, path, recognizer):
    with pytest.raises(GalleryError, match=r"process \d+ is writing to this gallery; try again when it is done"):
        Gallery.open(path)
    gallery.close()
    Gallery.open(path).close()
