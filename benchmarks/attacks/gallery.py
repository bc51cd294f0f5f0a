"""Attacks on galleries: damaged files, files of others, names and exports."""

import hashlib
import json
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from attacks import Trial, vision_app

PEOPLE = ["Ada", "Bob", "Cleo", "Dan"]


def embeddings_of_another_length(folder: Path) -> Iterator[Trial]:
    """Import embeddings of another length than the model gives."""
    known = row("Ada", 128)
    for size in (1, 64, 127, 129, 256, 4096):
        for name, later in (("a new gallery", []), ("a gallery with people", [known])):
            gallery = folder / f"{size} {len(later)}.db"
            if later:
                import_rows(gallery, later)
            code, _ = import_rows(gallery, [row("Bob", size), *([] if later else [known])])
            answers = vision_app("faces", "check", "--gallery", gallery)
            yield Trial(f"{size} numbers into {name}", code == 1 and answers[0] == 0)


def damaged_files(folder: Path) -> Iterator[Trial]:
    """Damage a gallery's file at random places, then list, check, show and forget."""
    whole = folder / "whole.db"
    import_rows(whole, [row(name, 128) for name in PEOPLE])
    rng = np.random.default_rng(0)
    for number in range(150):
        content = bytearray(whole.read_bytes())
        for place in rng.integers(100, len(content), 20 * 4 ** (number % 4)):
            content[place] = rng.integers(256)
        (gallery := folder / f"{number}.db").write_bytes(content)
        for words in (["list"], ["check"], ["show", "Ada"], ["forget", "Ada", "--yes"]):
            code, printed = vision_app("faces", *words, "--gallery", gallery)
            yield Trial(f"{words[0]}, damage {number}: {printed[-200:]!r}", code in (0, 1, 2))


def damaged_rows(folder: Path) -> Iterator[Trial]:
    """Damage single values of a gallery, then forget."""
    columns = {"sample": ["embedding", "box", "landmarks", "quality"], "centroid": ["embedding"]}
    values = ["x''", "x'00'", "zeroblob(508)", "'['", "'{}'", "'null'", "replace(hex(zeroblob(99999)), '0', '[')"]
    for table, names in columns.items():
        for column in names:
            for number, value in enumerate(values):
                gallery = folder / f"{table} {column} {number}.db"
                import_rows(gallery, [row(name, 128) for name in PEOPLE])
                with sqlite3.connect(gallery) as connection, suppress(sqlite3.IntegrityError):  # of the wrong type
                    connection.execute(f"UPDATE {table} SET {column} = {value}")
                code, _ = vision_app("faces", "forget", "Ada", "--yes", "--gallery", gallery)
                yield Trial(f"{table}.{column} = {value}", code == 0)


def files_of_others(folder: Path) -> Iterator[Trial]:
    """Name a gallery such that its files are those of other programs, also behind links."""
    for end in (".lock", ".writer.lock", ".index", ""):
        for link in (False, True):
            place = folder / f"{end} {link}"
            place.mkdir()
            file = place / f"poetry{end}"
            target = place / "target" if link else file
            target.write_text("[[package]]\n")
            if link:
                file.symlink_to(target)
            import_rows(place / "poetry", [row("Ada", 128)])
            yield Trial(f"poetry{end}, link {link}", target.read_text() == "[[package]]\n" and file.exists())


def escape_sequences(folder: Path) -> Iterator[Trial]:
    """Store control characters in every text of a gallery, then print them."""
    gallery = folder / "people.db"
    import_rows(gallery, [row("Ada", 128)])
    texts = {"person": ["name", "added"], "sample": ["consent", "added"], "model": ["contract"]}
    with sqlite3.connect(gallery) as connection:
        for table, columns in texts.items():
            for column in columns:
                connection.execute(f"UPDATE {table} SET {column} = 'Ada' || char(27) || ']0;x' || char(7, 155, 8238)")
    name = "Ada\x1b]0;x\x07\x9b\u202e"
    for words in (["list"], ["show", name], ["check"], ["rename", name, "Bob"], ["forget", "Bob", "--yes"]):
        code, printed = vision_app("faces", *words, "--gallery", gallery)
        yield Trial(words[0], code is not None and not set(printed) & {"\x1b", "\x07", "\x9b", "\u202e"})


def import_rows(gallery: Path, rows: list[dict[str, Any]]) -> tuple[int | None, str]:
    """Import these people into a gallery; return the exit code and what was printed."""
    file = gallery.with_suffix(".jsonl")
    header = {"format": "vision-app gallery", "version": 1, "contract": "0123456789abcdef"}
    file.write_text("".join(json.dumps(row) + "\n" for row in [header, *rows]), encoding="utf-8")
    return vision_app("faces", "import", file, "--gallery", gallery)


def row(name: str, size: int) -> dict[str, Any]:
    """Return the line of an export for a photo of a person, with an embedding of some size."""
    quality = dict.fromkeys(("size", "blur", "yaw", "pitch", "roll", "exposure", "score"), 0.5)
    numbers = np.random.default_rng(list(name.encode())).standard_normal(size)
    embedding = (numbers / np.linalg.norm(numbers)).astype("<f4").tobytes()
    source = hashlib.sha256(f"{name} {size}".encode())
    return {
        "name": name,
        "source": source.hexdigest(),
        "box": [0, 0, 9, 9],
        "landmarks": [[1, 1]] * 5,
        "quality": quality | {"reasons": []},
        "consent": "",
        "added": "2026-01-01T00:00:00Z",
        "embedding": b64encode(embedding).decode(),
        "crop": None,
    }
