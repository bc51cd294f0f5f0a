"""A gallery's people as one file of JSON lines: to keep, to move, or to hand to a person who asks what is known.

The first line says what the file is: `format`, `version`, `contract` (the model id). Each of the others is one photo:
`name`, `source` (SHA-256, hexadecimal), `box`, `landmarks`, `quality`, `consent`, `added`, and in base64 the
`embedding` (float32, little-endian) and the `crop` (PNG, or null).
"""

import json
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import numpy as np

from vision_app.core.errors import DataError, GalleryError, ImageError, ModelError, UsageError, unknown
from vision_app.core.files import OWNER_ONLY, atomic_write, open_regular, parse_json, refuse_existing
from vision_app.core.images import read_image
from vision_app.core.text import amount
from vision_app.faces.align import SIDE
from vision_app.faces.gallery.audit import AuditLog
from vision_app.faces.gallery.database import LOCK
from vision_app.faces.gallery.fields import check_places
from vision_app.faces.gallery.matching import Matcher
from vision_app.faces.gallery.results import (
    ACCEPTED,
    DIFFERENT_PERSON,
    EnrolledPhoto,
    Enrollment,
    checked_name,
)
from vision_app.faces.gallery.store import EMBEDDING, Store, size_of, to_blob
from vision_app.faces.reasons import CODES

FORMAT, VERSION = "vision-app gallery", 1
ENDS = LOCK, ".index", ".audit.jsonl"  # of the files beside a gallery's database
LONGEST = 1 << 24  # bytes of a line; an ordinary one has 100,000
_DIGEST = re.compile("[0-9a-fA-F]{64}")


def export(store: Store, audit: AuditLog, path: Path, names: Iterable[str] | None, overwrite: bool) -> int:
    """Write people to a file that only its owner may read; see `Gallery.export`."""
    refuse_existing([path], overwrite, [*store.files, *(store.path.with_name(store.path.name + end) for end in ENDS)])
    photos = 0
    try:
        with store.snapshot():  # the photos are of the model that the first line names
            people = store.people() if names is None else list(dict.fromkeys(store.person(name) for name in names))
            if len(models := store.model_ids) > 1:
                raise GalleryError(f"{store.path}: embeddings of several models; `vision-app faces check` tells more")
            audit.write("export", (person.id for person in people))
            with atomic_write(path, OWNER_ONLY) as temporary, temporary.open("wb") as file:
                file.write(_line({"format": FORMAT, "version": VERSION, "contract": next(iter(models), None)}))
                for person in people:
                    for sample in store.samples(person.id):
                        row = {key: getattr(sample, key) for key in ("box", "landmarks", "quality", "consent", "added")}
                        row["embedding"] = b64encode(to_blob(sample.embedding)).decode()
                        row["crop"] = None if sample.crop is None else b64encode(sample.crop).decode()
                        file.write(_line({"name": person.name, "source": sample.source.hex(), **row}))
                        photos += 1
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error
    return photos


def import_file(matcher: Matcher, audit: AuditLog, path: Path, allow_different: bool) -> list[Enrollment]:
    """Add what `export` wrote, in one transaction; see `Gallery.import_file`."""
    store, answers, people = matcher.store, [], {}
    known: dict[str, tuple[np.ndarray, int] | None] = {}  # people of the gallery before
    try:
        with open_regular(path, sys.maxsize) as file, store.change() as change:
            read = _read(iter(partial(file.readline, LONGEST + 1), b""), path, store.embedding_size())
            lines = enumerate(read, start=2)
            for name, group in groupby(lines, lambda line: line[1][0]):
                photos = [(f"{path} line {place}", sample) for place, (_, sample) in group]
                if name not in known:
                    known[name] = _known(store, name)
                code, why = ACCEPTED, ""
                if not allow_different and (person := known[name]):
                    code, why = _judged(matcher, name, [sample for _, sample in photos], *person)
                for line, sample in photos:
                    if owner := store.require(sample.model_id, sample.source):
                        answers.append(Enrollment.already(line, name, owner))
                    else:
                        if code == ACCEPTED:
                            people[store.add(name, sample)[0]] = name
                        answers.append(Enrollment(line, name, code, why))
            audit.write("import", people)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    matcher.index.follow(change)
    return answers


def _known(store: Store, name: str) -> tuple[np.ndarray, int] | None:
    """Return the centroid and the number of photos of the person of a name; None where there is none."""
    person = store.find(name)
    centroid = store.centroid(person.id) if person else None
    return None if person is None or centroid is None else (centroid, person.photos)


def _judged(
    matcher: Matcher, name: str, samples: Sequence[EnrolledPhoto], centroid: np.ndarray, photos: int
) -> tuple[str, str]:
    """Return whether photos of a person whom the gallery knows are accepted, as an `Enrollment`'s code and reason."""
    require = matcher.store.require
    new = [sample.embedding for sample in samples if not require(sample.model_id, sample.source)]
    if not new:
        return ACCEPTED, ""
    try:
        require(matcher.recognizer.model_id)
        why = matcher.unlike(name, np.stack(new), centroid, photos)
    except ModelError as error:
        return ACCEPTED, f"not compared with {name}, who is enrolled already ({error})"
    return (DIFFERENT_PERSON, why) if why else (ACCEPTED, "")


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()


def _read(lines: Iterator[bytes], path: Path, size: int | None) -> Iterator[tuple[str, EnrolledPhoto]]:
    """Yield the name and the sample of each line after the first, all checked.

    Args:
        lines: Of the file, none longer than `LONGEST`.
        path: Its name, for errors.
        size: How many numbers each embedding must have; None: as many as the first one has.

    Raises:
        DataError: This is not an export, or a line is damaged; names it and its field.
    """
    try:
        header = _parsed(next(lines, b""))
        form, version, model_id = (_field(header, key) for key in ("format", "version", "contract"))
    except ValueError:
        form = None
    if form != FORMAT:
        raise DataError(f"{path}: not an export of a gallery")
    if version != VERSION:
        raise DataError(f"{path}: of version {shortened(version)}, which this version of Vision App does not know")
    for place, line in enumerate(lines, start=2):
        try:
            name, sample = _from_row(_parsed(line), model_id, size)
        except (ValueError, UsageError) as error:
            raise DataError(f"{path}: line {place} is damaged: {error}; nothing was imported") from error
        size = sample.embedding.size
        yield name, sample


def _parsed(line: bytes) -> dict[str, Any]:
    """Return the object of a line of JSON; raises ValueError where it is none."""
    if len(line) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST:,} bytes")
    try:
        row = parse_json(line.decode("utf-8-sig"))
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    return row


def _from_row(row: dict[str, Any], model_id: Any, size: int | None) -> tuple[str, EnrolledPhoto]:
    """Return the name and the sample of a line; raises ValueError or UsageError, which names the field."""
    if not _is_text(model_id):
        raise ValueError(f"'contract' in line 1 is {shortened(model_id)}, not text")
    source = _text(row, "source")
    if not _DIGEST.fullmatch(source):
        raise ValueError(f"'source' is {shortened(source)}, not a SHA-256 digest of 64 hexadecimal digits")
    box, landmarks, quality = (_field(row, key) for key in ("box", "landmarks", "quality"))
    check_places(box, landmarks, quality)
    if strange := next((code for code in quality["reasons"] if code not in CODES), None):
        raise ValueError(f"'quality' has {unknown('reason', strange, CODES)}")
    about = {key: _text(row, key) for key in ("consent", "added")}
    crop = None if _field(row, "crop") is None else _bytes(row, "crop")
    if crop is not None:
        _check_crop(crop)
    box, landmarks = (np.array(value, np.float64).tolist() for value in (box, landmarks))
    photo = EnrolledPhoto(
        0, bytes.fromhex(source), box, landmarks, quality, _embedding(row, size), model_id, crop=crop, **about
    )
    return checked_name(_field(row, "name")), photo


def _embedding(row: dict[str, Any], size: int | None) -> np.ndarray:
    """Return the (D,) embedding of a line; raises ValueError where it is none or not of a size."""
    content = _bytes(row, "embedding")
    numbers = size_of(content)
    if not numbers or numbers != (size or numbers):
        found = amount(numbers, "number") if numbers else amount(len(content), "byte")
        wanted = f"{size}" if size and numbers else f"numbers of {EMBEDDING.itemsize} bytes each"
        raise ValueError(f"'embedding' has {found}, not {wanted}")
    embedding = np.frombuffer(content, EMBEDDING)
    with np.errstate(over="ignore"):
        length = float(np.linalg.norm(embedding))
    if not abs(length - 1) < 1e-3:  # not a number is no length either
        raise ValueError(f"'embedding' has a length of {length:.3g}, not 1")
    return embedding


def _check_crop(crop: bytes) -> None:
    wanted = f"an image of {SIDE} x {SIDE} pixels"
    try:
        pixels = read_image(crop, name="crop", max_pixels=SIDE * SIDE).pixels
    except ImageError as error:
        raise ValueError(f"'crop' is not {wanted}: {error.reason}") from error
    if pixels.shape != (SIDE, SIDE, 3):
        raise ValueError(f"'crop' has {pixels.shape[1]} x {pixels.shape[0]} pixels, it is not {wanted}")


def _field(row: dict[str, Any], key: str) -> Any:
    if key not in row:
        raise ValueError(f"it has no '{key}'")
    return row[key]


def _text(row: dict[str, Any], key: str) -> str:
    """Return a text; raises ValueError where it is none."""
    value = _field(row, key)
    if not _is_text(value):
        raise ValueError(f"'{key}' is {shortened(value)}, not text")
    return str(value)


def _is_text(value: object) -> bool:
    """Return whether this is a text that can be written as UTF-8: JSON may have halves of characters."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _bytes(row: dict[str, Any], key: str) -> bytes:
    """Return bytes that are written in base64; raises ValueError where they are not."""
    text = _text(row, key)
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f"'{key}' is {shortened(text)}, not bytes in base64") from None
