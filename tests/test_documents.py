"""The documents of the repository are finished, their links lead somewhere and their commands exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from vision_app.cli.app import app

CHECKOUT = Path(__file__).parent.parent
DOCUMENTS = [CHECKOUT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md")]
DOCUMENTS += sorted([*CHECKOUT.glob("docs/*.md"), *CHECKOUT.glob("models/*.md"), *CHECKOUT.glob("models/*/CARD.md")])


def commands(text):
    """Yield the words of every `vision-app ...` in a code block, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        if match := re.match(r"    .*?vision-app ([a-z].*)", line):
            yield shlex.split(match[1].replace("...", ""), comments=True)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_document_is_finished_and_its_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"@\w+@", text) == []
    links = re.findall(r"\]\(([^)#\s]+)", text)  # [text](target) and ![text](target), without the #heading
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_the_commands_of_a_document_exist_with_their_flags(path):
    for words in commands(path.read_text(encoding="utf-8")):
        command = get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands"), words
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert flags - known == set(), words


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_files_that_a_document_names_exist(path):
    named = re.findall(
        r"`((?:vision_app|tests|tools|benchmarks|docs|models)/[\w./-]+\.\w+)`", path.read_text(encoding="utf-8")
    )
    assert [name for name in named if "NAME" not in name and not (CHECKOUT / name).exists()] == []


def test_commands_are_found_in_code_blocks():
    assert list(commands("text vision-app x\n    vision-app detect a \\\n      --csv   # why\n")) == [
        ["detect", "a", "--csv"]
    ]
