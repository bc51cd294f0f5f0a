"""Images in memory."""

from types import SimpleNamespace

from vision_app.ui.image_files import from_uploads


def test_uploads_of_one_name_are_told_apart():
    uploads = [SimpleNamespace(name=name, getvalue=lambda: b"") for name in ("a.jpg", "a.jpg", "a (2).jpg", "a.jpg")]
    names = [image.name for image in from_uploads(uploads)]
    assert names == ["a.jpg", "a (2).jpg", "a (2) (2).jpg", "a (3).jpg"]
