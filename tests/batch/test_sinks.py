"""Tables and images of a run."""

import csv
import errno
import os

import numpy as np
import pytest

from vision_app.batch.sinks import ImageFolder, OutputError, write_csv
from vision_app.core.errors import ImageError
from vision_app.core.images import read_image


def test_csv_is_made_from_rows_and_comes_back_whole(tmp_path):
    rows = [{"file": 'a,"b"\n.jpg', "found": [1, 2.5]}, {"file": "c.jpg", "found": []}, {"file": "ä.jpg", "found": [3]}]
    path = tmp_path / "table.csv"
    path.write_text("old")
    write_csv(path, ("file", "n"), [(row["file"], n) for row in rows for n in row["found"]])
    with path.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    assert lines == [["file", "n"], ['a,"b"\n.jpg', "1"], ['a,"b"\n.jpg', "2.5"], ["ä.jpg", "3"]]
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_csv_that_fails_leaves_the_old_table(tmp_path):
    path = tmp_path / "no folder" / "table.csv"
    with pytest.raises(OutputError, match=r"cannot write .*table\.csv: No such file or directory"):
        write_csv(path, ("file",), [])


def test_written_images_lie_in_the_folders_of_their_inputs(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    ImageFolder(tmp_path / "images", ".png").write("sub/a.png", pixels)
    assert (read_image(tmp_path / "images/sub/a.png.png").pixels == pixels).all()
    assert [entry.name for entry in (tmp_path / "images/sub").iterdir()] == ["a.png.png"]


BLACK = np.zeros((1, 1, 3), np.uint8)


def test_unfinished_images_of_a_killed_run_are_deleted(tmp_path):
    (tmp_path / "sub").mkdir()
    leftover, other = tmp_path / "sub" / ".0123456789abcdef.part", tmp_path / ".mine.part"
    leftover.touch()
    other.touch()
    ImageFolder(tmp_path)
    assert not leftover.exists() and other.exists()


def test_an_image_that_cannot_be_written_fails_only_itself(tmp_path):
    images = ImageFolder(tmp_path / "images")
    images.write("a.jpg", BLACK)
    failures = {
        "wide.png": (np.zeros((1, 70_000, 3), np.uint8), ""),  # JPEG ends at 65,535 pixels
        "x" * 252: (BLACK, "File name too long"),
        "a.jpg.jpg/b.jpg": (BLACK, "File exists"),  # its folder has the name of a.jpg's copy
        "a.jpg.jpg/c/b.jpg": (BLACK, "Not a directory"),
    }
    for name, (pixels, reason) in failures.items():
        with pytest.raises(ImageError) as caught:
            images.write(name, pixels)
        assert caught.value.reason.startswith(f"the copy cannot be written: {reason}")
        assert "images" not in caught.value.reason  # rows do not depend on the folder of the output
    assert [entry.name for entry in (tmp_path / "images").rglob("*")] == ["a.jpg.jpg"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM])
def test_a_disk_that_takes_no_image_stops_the_run(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("PIL.Image.Image.save", refuse)
    with pytest.raises(OutputError) as caught:
        ImageFolder(tmp_path / "images").write("a.png", BLACK)
    assert str(caught.value) == f"cannot write {tmp_path / 'images/a.png.jpg'}: {os.strerror(number)}"


@pytest.mark.parametrize("folder", ["gone/images", "file"])
def test_a_folder_that_is_gone_stops_the_run(tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=rf"cannot write .*/{folder}: "):
        ImageFolder(tmp_path / folder).write("a.png", BLACK)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
