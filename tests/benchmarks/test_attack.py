"""The script that counts which attacks held."""

import math
import re
import sys
from pathlib import Path

import attack
import attacks
import pytest
from attacks import Trial

from vision_app.core import limits, memory, yaml_file
from vision_app.core.decode import MAX_TILE
from vision_app.core.guarded_file import MAX_PIECES, MAX_SCANS, ORDINARY_SCANS
from vision_app.faces.tiling import MAX_TILES
from vision_app.released import schema
from vision_app.ui import images, server


def held_and_broken(folder):
    """What is tried here."""
    yield Trial("first", True)
    yield Trial("second", False)
    raise ValueError("the program broke")


def test_what_an_attack_raises_counts_as_not_held():
    assert attack.run(held_and_broken) == [
        Trial("first", True),
        Trial("second", False),
        Trial("after 2 trials: ValueError: the program broke", False),
    ]


def test_the_table_counts_trials_and_what_did_not_hold_is_named(monkeypatch, capsys):
    monkeypatch.setattr(attack, "attacks_of", lambda area: [held_and_broken])
    monkeypatch.setattr(sys, "argv", ["attack.py", "gallery"])
    assert attack.main() == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[2] == "| What is tried here | 3 | 1 |"
    assert printed.err.splitlines()[0] == "What is tried here: second"


def test_every_attack_says_what_it_tries():
    attacks = [each for area in attack.AREAS for each in attack.attacks_of(area)]
    assert [each.__name__ for each in attacks if not each.__doc__] == []
    assert "embeddings_of_another_length" in [each.__name__ for each in attacks]


def test_the_table_of_the_document_has_the_rows_and_columns_that_the_script_prints(monkeypatch, capsys):
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    table = re.findall(r"^\|.*\|$", text.partition("## Tried and held")[2], re.MULTILINE)
    titles = [attack.title(each) for area in attack.AREAS for each in attack.attacks_of(area)]
    assert [row.split("|")[1].strip() for row in table[2:]] == titles
    for row in table[2:]:
        tried, held = map(int, row.split("|")[2:4])
        assert tried == held > 0
    monkeypatch.setattr(attack, "attacks_of", lambda area: [])
    monkeypatch.setattr(sys, "argv", ["attack.py"])
    assert attack.main() == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == table[:2] and printed.err == ""


def test_an_area_that_does_not_exist_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["attack.py", "galery"])
    with pytest.raises(SystemExit):
        attack.main()
    assert "galery: no such area; choose from files, gallery" in capsys.readouterr().err


def test_what_a_command_raises_is_no_answer_of_it(monkeypatch):
    def broken(words):
        print("half of")
        raise ValueError("an answer")

    monkeypatch.setattr(attacks, "main", broken)
    assert attacks.vision_app("faces", "list") == (None, "half of\nValueError: an answer")


def test_the_document_names_the_limits_of_the_program():
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    for limit in (
        f"{limits.MAX_PIXELS // 10**6} megapixels (`--max-megapixels`) and {limits.MAX_IMAGE_BYTES // 10**6} MB",
        f"{MAX_SCANS} scans of a JPEG, {MAX_PIECES:,} pieces",
        f"{limits.DECODE_SECONDS} seconds of processor time",
        f"JPEGs of more than {ORDINARY_SCANS} scans",
        f"| {math.isqrt(MAX_TILE):,} x {math.isqrt(MAX_TILE):,} pixels",
        f"| {MAX_TILES}; photos of more than {memory.FREE // 10**6} megapixels take turns",
        f"| {limits.MAX_SETTINGS_BYTES // 10**6} MB; in YAML {yaml_file.MAX_VALUES:,} values",
        f"{yaml_file.MAX_DEPTH} levels and {yaml_file.MAX_NUMBER} characters of a number",
        f"in `model.json` {schema.MOST:,} classes",
        f"| {limits.MAX_BYTES // 10**9} GB |",
        f"| {images.MAX_MEGAPIXELS:.0f} megapixels (`{images.MEGAPIXELS}`), 20 MB a file",
        f"{images.SESSION_QUOTA} MB per visit, {server.TOTAL_QUOTA // 1000} GB in all",
        f"a break of less than {server.SESSION_GRACE:.0f} seconds",
    ):
        assert limit in text
