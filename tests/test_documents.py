"""The documents of the repository are finished, their links lead somewhere and their commands exist."""

import re
import shlex
from functools import partial
from pathlib import Path

import pytest
from drawn_sets import yolo
from typer.main import get_command

from vision_app.cli import main
from vision_app.cli.app import app
from vision_app.detection.train import checks
from vision_app.training import learning_rate
from vision_app.training.runs import read_metrics

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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_lines_fit_on_a_screen(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


def test_commands_are_found_in_code_blocks():
    assert list(commands("text vision-app x\n    vision-app detect a \\\n      --csv   # why\n")) == [
        ["detect", "a", "--csv"]
    ]


@pytest.mark.training
def test_the_commands_of_the_readme_train_on_own_data_in_their_order(tmp_path, monkeypatch, capsys):
    """On the data.yaml of the README itself, with small images and few epochs."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    part = text[text.index("## Training on your own data") : text.index("**Landmarks.**")]
    yolo(tmp_path / "screws", [("train", 3), ("val", 1)], names=("screw", "nut")).unlink()
    (tmp_path / "data.yaml").write_text(part.split("```yaml\n")[1].split("```")[0])
    (tmp_path / "photos").symlink_to(tmp_path / "screws" / "images" / "val")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(learning_rate, "STEPS", 4)
    monkeypatch.setattr(checks, "check_overfit", partial(checks.check_overfit, steps=2))
    small = {"check": ["--size", "64"], "train": ["--size", "64", "--batch-size", "2", "--precision", "fp32"]}
    ran = []
    for words in commands(re.sub("(?m)^    torchrun.*", "", part)):
        words = [{"30": "1", "60": "2"}.get(word, word) for word in words]
        if not {"--resume", "--config"} & set(words):
            words += small.get(words[0], [])
        code = main(words)
        said = capsys.readouterr()
        assert code == 0 or words[0] == "check", (words, said.err)  # two steps learn nothing
        ran.append(words[0])
    assert ran == ["train", "detect", "evaluate", "train", "check", "train", "train"]
    assert len(read_metrics(tmp_path / "RUN")) == 2  # prolonged
    assert (tmp_path / "RATES" / "learning_rates.png").exists() and (tmp_path / "rate.png").exists()
