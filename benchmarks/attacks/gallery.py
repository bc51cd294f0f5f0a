"""Attacks on galleries: damaged files, files of others, names and exports."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from attacks import Trial, vision_app


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


def import_rows(gallery: Path, rows: list[dict[str, Any]]) -> tuple[int, str]:
    """Import these people into a gallery; return the exit code and what was printed."""
    file = gallery.with_suffix(".jsonl")
    header = {"format": "vision-app gallery", "version": 1, "contract": "0123456789abcdef"}
    file.write_text("".join(json.dumps(row) + "\n" for row in [header, *rows]), encoding="utf-8")
    return vision_app("faces", "import", file, "--gallery", gallery)


def row(name: str, size: int) -> dict[str, Any]:
    """Return the line of an export for a photo of a person, with an embedding of some size."""
    quality = dict.fromkeys(("size", "blur", "yaw", "pitch", "roll", "exposure", "score"), 0.5)
    embedding = np.full(size, size**-0.5, "<f4").tobytes()
    return {
        "name": name,
        "source": f"{size:064x}",
        "box": [0, 0, 9, 9],
        "landmarks": [[1, 1]] * 5,
        "quality": quality | {"reasons": []},
        "consent": "",
        "added": "2026-01-01T00:00:00Z",
        "embedding": b64encode(embedding).decode(),
        "crop": None,
    }
