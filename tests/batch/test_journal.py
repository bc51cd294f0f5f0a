"""The journal of a run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vision_app.batch.journal import Journal, read_rows
from vision_app.batch.sources import Input
from vision_app.core.errors import UsageError

SETTINGS = {"--model": "yolo", "--confidence": 0.3, "--classes": ("dog",), "--iou": None}


def row(file, status="ok"):
    return {"file": file, "status": status, "error": None}


def open_journal(path, files, *, settings=SETTINGS, batch_size=2, resume=True, **more):
    inputs = [Input(file, file) for file in files]
    return Journal(path, settings=settings, inputs=inputs, batch_size=batch_size, resume=resume, **more)


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
    with pytest.raises(
        UsageError, match=r"rows\.jsonl: exists already; continue it with --resume, replace it with --over"
    ):
        open_journal(path, "abcde", resume=False)
    assert path.read_bytes() == before


def test_what_a_new_run_would_write_over_is_named_and_stays(tmp_path):
    path, mine = tmp_path / "out" / "rows.jsonl", tmp_path / "out" / "table.csv"
    mine.parent.mkdir()
    mine.write_text("mine")
    for resume in (False, True):  # there is no run to resume
        with pytest.raises(UsageError) as error:
            open_journal(path, "ab", resume=resume, others=[tmp_path / "out" / "none", mine])
        assert str(error.value) == f"{mine}: exists already; write elsewhere or replace it with overwrite"
        assert [file.name for file in mine.parent.iterdir()] == ["table.csv"]
    with open_journal(path, "ab", resume=False, overwrite=True, others=[mine]):
        pass
    with open_journal(path, "ab", resume=True, others=[mine]) as journal:  # now it belongs to the run
        assert journal.rows == 0


@pytest.mark.parametrize("read", ["input", "source"])
@pytest.mark.parametrize("written", ["rows.jsonl", "rows.settings.json", "images/a.jpg"])
def test_what_a_run_reads_is_never_written_over(tmp_path, read, written):
    mine, link = tmp_path / "out" / written, tmp_path / "link"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    link.symlink_to(mine)
    inputs, sources = [Input(str(link if read == "input" else tmp_path / "b.jpg"), "a")], [link] * (read == "source")
    with pytest.raises(UsageError) as error:
        Journal(
            tmp_path / "out" / "rows.jsonl", settings={}, inputs=inputs, batch_size=1, resume=False, overwrite=True,
            others=[tmp_path / "out" / "images" / "a.jpg"], sources=sources,
        )  # fmt: skip
    assert str(error.value) == f"{mine}: is read by this command and would be replaced; write elsewhere"
    assert mine.read_text() == "mine"


def test_overwrite_starts_a_journal_anew(path):
    with open_journal(path, "xy", resume=False, overwrite=True, settings={"new": 1}, permissions=0o600) as journal:
        assert journal.rows == 0
        journal.write([row("x")])
    assert [json.loads(line)["file"] for line in path.read_text().splitlines()] == ["x"]
    assert json.loads(path.with_suffix(".settings.json").read_text()) == {"new": 1}
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="--overwrite: not together with --resume"):
        open_journal(path, "xy", resume=True, overwrite=True)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below"):
        with pytest.raises(UsageError) as error:
            open_journal(folder / "rows.jsonl", "ab", resume=False)
        assert str(error.value) == f"--output {folder}: {file} is a file; choose a folder"


@pytest.mark.parametrize(
    ("files", "batch_size", "kept", "failed"),
    [("abcde", 2, 5, 2), ("abcdef", 2, 4, 1), ("abcdefgh", 3, 3, 1), ("abcdefgh", 5, 5, 2), ("abcdefgh", 6, 0, 0)],
)
def test_resume_keeps_whole_batches(path, files, batch_size, kept, failed):
    before = path.read_bytes().splitlines(keepends=True)
    with open_journal(path, files, batch_size=batch_size) as journal:
        assert (journal.rows, journal.failed) == (kept, failed)
    assert path.read_bytes() == b"".join(before[:kept])


@pytest.mark.parametrize("tail", [b"{", b'{"file": "c', b'{"file": "c", "status": "ok"}', b"\0\0\0", b'{"fil\0\0'])
def test_resume_cuts_off_a_torn_last_line(path, tail):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + tail)
    with open_journal(path, "abcde") as journal:
        assert journal.rows == 2
    assert path.read_bytes() == b"".join(lines[:2])


@pytest.mark.parametrize(
    "damage", [b"Dear diary\n", b'{"file": "c"}\n', b"\0\0\n", b"null\n", b"\xff\n", b"\n", b"[" * 50_000 + b"\n"]
)
@pytest.mark.parametrize("before", [0, 2, 4])
def test_resume_refuses_a_line_that_no_run_wrote_and_changes_nothing(path, damage, before):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:before]) + damage + b"".join(lines[before + 1 :]))
    content = path.read_bytes()
    with pytest.raises(UsageError, match=rf"rows\.jsonl: line {before + 1} is not a valid row"):
        open_journal(path, "abcde")
    assert path.read_bytes() == content


def test_resume_refuses_a_file_of_one_line_that_no_run_wrote(tmp_path):
    (tmp_path / "rows.jsonl").write_text("Dear diary")
    with pytest.raises(UsageError, match=r"rows\.jsonl: line 1 is not a valid row"):
        open_journal(tmp_path / "rows.jsonl", "abcde")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("rows.jsonl", "Dear diary")]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
@pytest.mark.parametrize("place", ["rows.jsonl", "rows.settings.json"])
def test_what_is_no_regular_file_is_refused_without_waiting_for_it(path, make, place):
    (path.parent / place).unlink()
    make(path.parent / place)
    reason = "missing beside it or damaged" if "settings" in place else r"rows\.jsonl: is not a regular file; choose"
    with pytest.raises(UsageError, match=reason):
        open_journal(path, "abcde")


def test_a_line_without_an_end_is_not_read_whole(path, monkeypatch):
    monkeypatch.setattr("vision_app.batch.journal._MAX_LINE", 200)
    with path.open("r+b") as file:
        file.truncate(1_000_000_000_000)
    with pytest.raises(UsageError, match=r"rows\.jsonl: line 6 is not a valid row"):
        open_journal(path, "abcde")


def test_a_journal_takes_one_run_at_a_time(path):
    content = path.read_bytes()
    with open_journal(path, "abcdefgh"):
        kept = path.read_bytes()
        for resume, message in {True: "another run is writing here", False: "exists already"}.items():
            with pytest.raises(UsageError, match=rf"rows\.jsonl:? {message}"):
                open_journal(path, "abcde", resume=resume)
        assert path.read_bytes() == kept == content[: len(kept)]
    with pytest.raises(UsageError, match="its row 1"):
        open_journal(path, "X")
    with open_journal(path, "abcdefgh") as journal:  # neither a closed journal nor a refused one keeps the lock
        assert journal.rows == 4


def test_of_two_new_journals_one_is_refused(tmp_path, monkeypatch):
    """The other run makes the file just after this one has looked."""
    monkeypatch.setattr(Path, "exists", lambda path: False)
    with open_journal(tmp_path / "rows.jsonl", "a", resume=False) as journal:
        with pytest.raises(UsageError, match="exists already"):
            open_journal(tmp_path / "rows.jsonl", "a", resume=False)
        journal.write([row("a")])
    assert list(read_rows(tmp_path / "rows.jsonl")) == [row("a")]


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
        "from vision_app.batch.journal import Journal\nfrom vision_app.batch.sinks import OutputError\n"
        "from vision_app.batch.sources import Input\n"
        "inputs = [Input(f'file {number}', '') for number in range(100)]\n"
        "journal = Journal(Path(sys.argv[1]), settings={}, inputs=inputs, batch_size=1, resume=True)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"  # the system then refuses to grow the file
        "try:\n"
        "    for item in inputs: journal.write([{'file': item.file, 'status': 'ok'}])\n"
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
