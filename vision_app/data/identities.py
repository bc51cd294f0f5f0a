"""Photos of people with their identities: a folder with a sub-folder per person, or a CSV file."""

import csv
import os
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from vision_app.core.errors import DataError
from vision_app.core.files import read_text
from vision_app.core.images import SUFFIXES
from vision_app.data.layout import files_below, is_leftover

COLUMNS = ("file", "identity")


@dataclass(frozen=True)
class Portrait:
    """A photo of one person.

    Attributes:
        file: What the set calls it: its path inside the set's folder, or beside the CSV file.
        path: The file.
        identity: The person's name, "" where it is not known.
        split: Train, val or test, "" where the set does not say.
    """

    file: str
    path: Path
    identity: str
    split: str = ""


def load_identities(path: str | Path) -> list[Portrait]:
    """Read a set of portraits.

    Args:
        path: A folder, in which every sub-folder is a person with all images below it, in the byte order of their
            paths; or a CSV file with the columns `file` (paths beside it), `identity` (may be empty) and, if wanted,
            `split`. Other columns are ignored.

    Raises:
        DataError: It is neither, cannot be read, or lists no photo.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() != ".csv":
        raise DataError(f"{path}: not a set of people; give a folder with a sub-folder per person, or a CSV file")
    rows = read_table(path, COLUMNS)
    return [Portrait(row["file"], path.parent / row["file"], row["identity"], row.get("split") or "") for row in rows]


def _folder(path: Path) -> list[Portrait]:
    portraits = []
    for file in sorted(files_below(path, SUFFIXES), key=os.fsencode):
        inside = file.relative_to(path)
        if len(inside.parts) > 1:
            portraits.append(Portrait(str(inside), file, inside.parts[0]))
    if not portraits:
        raise DataError(f"{path}: has no photos of people; put each person's into a sub-folder with the name")
    return portraits


def read_header(path: Path) -> list[str]:
    """Return the column names of a CSV file, none if it cannot be read."""
    try:
        return next(csv.reader(StringIO(read_text(path), newline="")), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a CSV file that must have some columns and at least one row, all of its columns filled.

    Raises:
        DataError: It has not, or cannot be read.
    """
    try:
        reader = csv.DictReader(StringIO(read_text(path), newline=""))
        names, rows = reader.fieldnames or (), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({getattr(error, 'strerror', None) or error})") from error
    for name in columns:
        if name not in names:
            raise DataError(f"{path}: has no column '{name}'; its first line must name {', '.join(columns)}")
    for number, row in enumerate(rows, start=2):
        if any(row[name] is None for name in columns) or not row[columns[0]]:
            raise DataError(f"{path}: row {number} is incomplete")
    rows = [row for row in rows if not is_leftover(row[columns[0]])]
    if not rows:
        raise DataError(f"{path}: lists nothing")
    return rows
