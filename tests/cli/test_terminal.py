"""Text of files, models and galleries never controls the terminal."""

import ast
import json
import shutil
from pathlib import Path

import pytest
from painted_people import open_writer, paint, run_sql

import vision_app.cli
from vision_app.cli import main
from vision_app.cli.terminal import say
from vision_app.released.find import find

EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e\r\x00"
SHOWN = r"\x1b]0;title\x07\x1b[2J\x9b31m\u202e\r\x00"
CONTROLS = {*"\x1b\x07\x9b\u202e\r\0"}


def test_control_characters_are_escaped_and_lines_stay(capsys):
    say(f"a{EVIL}b", "second\n\nand \u00e9 \u4e2d", 3)
    assert capsys.readouterr().out == f"a{SHOWN}b\nsecond\n\nand \u00e9 \u4e2d\n3\n"
    say("gone", err=True)
    assert capsys.readouterr().err == "gone\n"


def test_all_commands_print_through_one_function():
    """Help excepted, which is our own text."""
    printing = {}
    for path in Path(vision_app.cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo", "sys.stdout.write"):
                printing[path.name] = True
    assert {*printing} == {"terminal.py", "commands.py"}


def test_what_a_gallery_holds_is_shown_escaped(tmp_path, capsys):
    path = tmp_path / "people.db"
    with open_writer(path) as gallery:
        gallery.enroll("Ada", [paint((1, 1))])
    quoted = "'x' || " + " || ".join(f"char({ord(c)})" for c in EVIL.rstrip("\0"))
    run_sql(path, f"UPDATE person SET name = {quoted}, added = {quoted}; UPDATE sample SET consent = {quoted}, "
            f"added = {quoted}; UPDATE model SET contract = {quoted}")  # fmt: skip
    for words in (["list"], ["show", "x" + EVIL.rstrip("\0")], ["show", EVIL], ["check"]):
        main(["faces", *words, "--gallery", str(path)])
        printed = "".join(capsys.readouterr())
        assert SHOWN[:-4] in printed or words == ["check"]
        assert not {*printed} & CONTROLS


@pytest.mark.parametrize("words", [["models", "info"], ["models", "verify"], ["models", "summary"]])
def test_what_a_model_says_is_shown_escaped(tmp_path, capsys, words):
    folder = tmp_path / f"model{EVIL[:8]}"
    shutil.copytree(find("yolo").folder, folder)
    info = json.loads((folder / "model.json").read_text())
    info |= {"license": EVIL, "learned_from": [EVIL], "measured": {EVIL: {"AP": 1}}}
    (folder / "model.json").write_text(json.dumps(info))
    main([*words, str(folder)])
    printed = "".join(capsys.readouterr())
    assert r"\x1b" in printed and not {*printed} & CONTROLS


LONG = "x" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ["models", "info", LONG],
        ["models", LONG],
        ["faces", "forget", LONG, "--yes", "--gallery", "people.db"],
        ["faces", "list", "--gallery", LONG],
        ["detect", "photo.jpg", "--model", LONG, "--output", "out"],
        ["detect", LONG, "--output", "out"],
        ["style", "photo.jpg", "--style", "a.jpg", "--method", LONG, "--output", "out"],
    ],
)
def test_names_of_thousands_of_characters_are_shortened_in_what_is_wrong(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    open_writer(tmp_path / "people.db").close()
    assert main(words) in (1, 2)
    said = capsys.readouterr().err
    assert "xxx..." in said and len(said) < 1000


def test_long_lines_of_results_stay_whole_and_those_of_problems_do_not(capsys):
    say(LONG)
    say("first", LONG, err=True)
    printed = capsys.readouterr()
    assert printed.out == f"{LONG}\n" and printed.err == f"first\n{'x' * 40}...{'x' * 40}\n"
