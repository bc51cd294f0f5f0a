"""Files are whole or not there at all, and nothing is left of unfinished ones."""

import os
import threading
from pathlib import Path

import pytest

from vision_app.core.errors import UsageError
from vision_app.core.files import (
    OWNER_ONLY,
    PUBLIC,
    atomic_write,
    open_regular,
    parse_json,
    read_bytes,
    read_text,
    refuse_existing,
    remove_all_leftovers,
    remove_leftovers,
    remove_with_leftovers,
)


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def leave_unfinished(path):
    """Do as a kill does: leave the temporary file."""
    with atomic_write(path) as temporary:
        temporary.write_text("torn")
        os.link(temporary, temporary.with_name(temporary.name[:-21] + "0" * 16 + ".part"))
    path.unlink()


def test_a_file_replaces_the_old_one_when_the_block_is_done(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.parent == tmp_path and temporary.name.startswith(".a.txt.")
    assert path.read_text() == "new" and names(tmp_path) == ["a.txt"]


def test_a_file_that_is_read_is_refused_under_every_name_and_also_to_overwrite(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "link").symlink_to("a")
    os.link(tmp_path / "a", tmp_path / "hard")
    (tmp_path / "sub").mkdir()
    for name in ("a", "link", "hard", "sub/../a"):
        for overwrite in (False, True):
            with pytest.raises(UsageError, match="is read by this command and would be replaced; write elsewhere"):
                refuse_existing([tmp_path / "new", tmp_path / name], overwrite, [tmp_path / "a"])
    with pytest.raises(UsageError, match="is read by this command"):  # a file that is made later
        refuse_existing([tmp_path / "sub/../later"], True, [tmp_path / "later"])
    refuse_existing([tmp_path / "new", tmp_path / "a"], True, [tmp_path / "sub", tmp_path / "other"])
    with pytest.raises(UsageError, match="exists already"):
        refuse_existing([tmp_path / "a"], False, [tmp_path / "other"])


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("permissions", [OWNER_ONLY, PUBLIC])
def test_permissions_hold_from_the_first_byte(tmp_path, permissions):
    umask = os.umask(0)
    try:
        with atomic_write(tmp_path / "a", permissions) as temporary:
            assert temporary.stat().st_mode & 0o777 == permissions
    finally:
        os.umask(umask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == permissions


def test_names_of_any_length_can_be_written(tmp_path):
    with atomic_write(tmp_path / ("x" * 255)) as temporary:
        temporary.write_text("")
    assert names(tmp_path) == ["x" * 255]


def test_leftovers_of_a_kill_are_removed(tmp_path):
    (tmp_path / "sub").mkdir()
    others = tmp_path / "[a].txt", tmp_path / "b.txt", tmp_path / "sub" / "c.txt"
    for path in others:
        leave_unfinished(path)
    (tmp_path / ".b.txt.mine.part").touch()  # not one of ours
    assert len(names(tmp_path)) == 4
    remove_leftovers(others[0])
    assert len(names(tmp_path)) == 3
    others[1].touch()
    remove_with_leftovers(others[1])
    remove_with_leftovers(others[1])  # which is not there any more
    assert len(names(tmp_path)) == 2
    remove_all_leftovers(tmp_path)
    assert names(tmp_path) == [".b.txt.mine.part"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_with_and_without_a_byte_order_mark(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("Zoë\r\nb\n".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "Zoë\r\nb\n"


def test_what_is_no_text_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\xff")
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "a.txt")


def test_only_regular_files_within_the_limit_are_read(tmp_path):
    """A pipe without a writer, or a device without an end, would never be read."""
    (tmp_path / "five").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("five")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(3_000_000_000)
    assert read_bytes(tmp_path / "link", 5) == b"12345"
    for name, reason in {
        "pipe": "not a regular file", "/dev/zero": "not a regular file", ".": "Is a directory",
        "none": "No such file or directory", "a" * 5000: "File name too long", "five/": "Not a directory",
        "sparse": "too large: 3,000,000,000 bytes are over the limit of 2,000,000,000",
    }.items():  # fmt: skip
        for read in (open_regular, read_bytes, read_text):
            with pytest.raises(OSError) as refused:
                read(tmp_path / name if name != "five/" else tmp_path / "five" / "more")
            assert refused.value.strerror == reason
    with pytest.raises(OSError, match=r"^too large: 5 bytes are over the limit of 4$"):
        read_text(tmp_path / "five", 4)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs files whose size is not told")
def test_the_limit_holds_for_a_file_whose_size_is_not_told():
    file = Path("/proc/self/maps")
    assert file.stat().st_size == 0 and len(read_bytes(file)) > 1000
    with pytest.raises(OSError, match=r"^too large: over the limit of 999 bytes$"):
        read_bytes(file, 999)


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    before = (tmp_path / "file").stat()
    monkeypatch.setattr(Path, "stat", lambda self, **_: before)
    refused = []

    def read():
        with pytest.raises(OSError, match="not a regular file"):
            read_bytes(tmp_path / "pipe")
        refused.append(True)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert refused == [True]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 500_000, "nested too deeply"),
        ('{"a":' * 500_000, "nested too deeply"),
        ("1" * 5000, "4300"),
        ("", "char 0"),
    ],
)
def test_json_that_cannot_be_read_is_a_value_error(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)
    assert parse_json('{"a": [1, null]}') == parse_json(b'{"a": [1, null]}') == {"a": [1, None]}


def test_what_is_no_regular_file_is_never_replaced(tmp_path):
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (pipe, folder):
        with pytest.raises(OSError, match="not a regular file"), atomic_write(path):
            pass
    assert pipe.is_fifo() and folder.is_dir() and sorted(tmp_path.iterdir()) == [folder, pipe]
