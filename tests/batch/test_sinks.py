"""The journal, its table and pictures."""

import csv
import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from vision_app.batch.sinks import Journal, OutputError, Pictures, read_rows, write_csv
from vision_app.errors import ImageError, UsageError
from vision_app.images import read_image

SETTINGS = {"--model": "yolo", "--confidence": 0.3, "--classes": ("dog",), "--iou": None}


def row(file, status="ok"):
    return {"file": file, "status": status, "error": None}


def open_journal(path, files, *, settings=SETTINGS, batch_size=2, resume=True):
    return Journal(path, settings=settings, files=files, batch_size=batch_size, resume=resume)


@pytest.fixture
def path(tmp_path):
    """A journal of five rows, the last batch of two not full."""
    path = tmp_path / "made" / "rows.jsonl"
    with open_journal(path, "abcde", resume=False) as journal:
        journal.write([row("a"), row("b")])
        journal.write([row("c", "failed"), row("d")])
        journal.write([row("e", "failed")])
        assert (journal.rows, journal.failed) == (5, 2)
    return path


def test_resume_without_a_journal_is_a_plain_start(tmp_path):
    with open_journal(tmp_path / "a.jsonl", "a", resume=True) as journal:
        journal.write([row("ä")])
    with open_journal(tmp_path / "b.jsonl", "a", resume=False) as journal:
        journal.write([row("ä")])
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == '{"file": "ä", "status": "ok", "error": null}\n'


def test_a_journal_is_never_overwritten(path):
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"rows\.jsonl exists already; continue it with --resume or choose another"):
        open_journal(path, "abcde", resume=False)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("files", "batch_size", "kept", "failed"),
    [("abcde", 2, 5, 2), ("abcdef", 2, 4, 1), ("abcdefgh", 3, 3, 1), ("abcdefgh", 5, 5, 2), ("abcdefgh", 6, 0, 0)],
)
def test_resume_keeps_whole_batches(path, files, batch_size, kept, failed):
    before = path.read_bytes().splitlines(keepends=True)
    with open_journal(path, files, batch_size=batch_size) as journal:
        assert (journal.rows, journal.failed) == (kept, failed)
    assert path.read_bytes() == b"".join(before[:kept])


@pytest.mark.parametrize("damage", [b'{"file": "x', b'{"file": "c"}\n', b"\0\0\0\0\n", b"null\n", b"\xff\n"])
def test_resume_cuts_off_what_is_no_row(path, damage):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + damage + b"".join(lines[3:]))
    with open_journal(path, "abcde") as journal:
        assert journal.rows == 2
    assert path.read_bytes() == b"".join(lines[:2])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("abXde", "its row 3 is for 'c', but the sources now have 'X' there"),
        ("abc", "its row 4 is for 'd', but the sources now have no more inputs there"),
    ],
)
def test_resume_with_other_sources_is_refused_and_changes_nothing(path, files, message):
    before = path.read_bytes()
    with pytest.raises(UsageError) as caught:
        open_journal(path, files)
    assert message in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--confidence": 0.4}, "--confidence was 0.3 and is now 0.4"),
        ({"--classes": None}, '--classes was ["dog"] and is now null'),
        ({"--new": 1}, "--new was null and is now 1"),
    ],
)
def test_resume_with_other_settings_is_refused_and_changes_nothing(path, change, message):
    before = path.read_bytes()
    with pytest.raises(UsageError) as caught:
        open_journal(path, "abcde", settings=SETTINGS | change)
    assert message in str(caught.value)
    assert path.read_bytes() == before


def test_resume_takes_other_settings_while_no_row_is_kept(path):
    change = SETTINGS | {"--confidence": 0.4}
    with open_journal(path, "abcdefgh", settings=change, batch_size=6) as journal:
        assert journal.rows == 0
        journal.write([row(file) for file in "abcdef"])
    with open_journal(path, "abcdefgh", settings=change, batch_size=6) as journal:
        assert journal.rows == 6


def test_resume_without_the_settings_is_refused(path):
    path.with_name("rows.settings.json").unlink()
    with pytest.raises(UsageError, match=r"rows\.settings\.json is missing"):
        open_journal(path, "abcde")


def test_a_folder_that_cannot_be_made_is_wrong_usage(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--output .*file: "):
        open_journal(tmp_path / "file" / "rows.jsonl", "a")


def test_names_that_are_no_text_come_back_whole(tmp_path):
    names = [os.fsdecode(b"caf\xe9.jpg"), "new\nline", "\u2028", 'quote"', "雪.png", "\\udce9"]
    with open_journal(tmp_path / "rows.jsonl", names) as journal:
        journal.write([row(name) for name in names])
    (tmp_path / "rows.jsonl").read_text(encoding="utf-8")  # the file is plain UTF-8
    assert [entry["file"] for entry in read_rows(tmp_path / "rows.jsonl")] == names
    with open_journal(tmp_path / "rows.jsonl", names) as journal:
        assert journal.rows == len(names)


def test_a_full_disk_stops_with_a_clear_error_and_resume_repairs(tmp_path):
    path = tmp_path / "rows.jsonl"
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from vision_app.batch.sinks import Journal, OutputError\n"
        "files = [f'file {number}' for number in range(100)]\n"
        "journal = Journal(Path(sys.argv[1]), settings={}, files=files, batch_size=1, resume=True)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"  # the system then refuses to grow the file
        "try:\n"
        "    for file in files: journal.write([{'file': file, 'status': 'ok'}])\n"
        "except OutputError as error:\n"
        "    print(journal.rows, error)\n"
    )
    result = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    rows, message = result.stdout.split(" ", 1)
    assert message == f"cannot write {path}: File too large\n"
    assert path.stat().st_size == 1000  # the last row is torn
    files = [f"file {number}" for number in range(100)]
    with open_journal(path, files, settings={}, batch_size=1) as journal:
        assert journal.rows == int(rows) == len(list(read_rows(path)))


def test_csv_is_made_from_rows_and_comes_back_whole(tmp_path):
    rows = [{"file": 'a,"b"\n.jpg', "found": [1, 2.5]}, {"file": "c.jpg", "found": []}, {"file": "ä.jpg", "found": [3]}]
    path = tmp_path / "table.csv"
    path.write_text("old")
    write_csv(path, ("file", "n"), rows, lambda row: [(row["file"], n) for n in row["found"]])
    with path.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    assert lines == [["file", "n"], ['a,"b"\n.jpg', "1"], ['a,"b"\n.jpg', "2.5"], ["ä.jpg", "3"]]
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_csv_that_fails_leaves_the_old_table(tmp_path):
    path = tmp_path / "no folder" / "table.csv"
    with pytest.raises(OutputError, match=r"cannot write .*table\.csv: No such file or directory"):
        write_csv(path, ("file",), [], lambda row: [])


def test_pictures_mirror_folders(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    Pictures(tmp_path / "images", ".png").write("sub/a.png", pixels)
    assert (read_image(tmp_path / "images/sub/a.png.png").pixels == pixels).all()
    assert [entry.name for entry in (tmp_path / "images/sub").iterdir()] == ["a.png.png"]


def test_pictures_tell_a_bad_picture_from_a_bad_disk(tmp_path, monkeypatch):
    pictures = Pictures(tmp_path / "images")
    with pytest.raises(ImageError, match="the copy cannot be written"):
        pictures.write("wide.png", np.zeros((1, 70_000, 3), np.uint8))  # JPEG ends at 65,535 pixels
    with pytest.raises(ImageError, match="File name too long"):
        pictures.write("x" * 252, np.zeros((1, 1, 3), np.uint8))
    (tmp_path / "images" / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/a\.png\.jpg"):
        pictures.write("file/a.png", np.zeros((1, 1, 3), np.uint8))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    with pytest.raises(OutputError, match="No space left on device"):
        pictures.write("a.png", np.zeros((1, 1, 3), np.uint8))
