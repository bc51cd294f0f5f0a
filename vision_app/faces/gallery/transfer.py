"""A gallery's people as one file of JSON lines: to keep, to move, or to hand to a person who asks what is known.

The first line says what the file is: `format`, `version`, `contract` (the model id). Each of the others is one photo:
`name`, `source` (SHA-256, hexadecimal), `box`, `landmarks`, `quality`, `consent`, `added`, and in base64 the
`embedding` (float32, little-endian) and the `crop` (PNG, or null).
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from vision_app.core.errors import DataError, GalleryError, ImageError, ModelError, UsageError
from vision_app.core.files import OWNER_ONLY, atomic_write, refuse_existing
from vision_app.core.images import read_image
from vision_app.faces.align import SIDE
from vision_app.faces.gallery.audit import AuditLog
from vision_app.faces.gallery.database import LOCK
from vision_app.faces.gallery.matching import Matcher
from vision_app.faces.gallery.results import (
    ACCEPTED,
    DAMAGED,
    DIFFERENT_PERSON,
    EnrolledPhoto,
    Enrollment,
    check_places,
    checked_name,
)
from vision_app.faces.gallery.store import EMBEDDING, Store, to_blob

FORMAT, VERSION = "vision-app gallery", 1
ENDS = LOCK, ".index", ".audit.jsonl"  # of the files beside a gallery's database


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
        with path.open(encoding="utf-8-sig") as file, store.change() as change:
            lines = enumerate(_read(file, path, store.embedding_size()), start=2)
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
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not an export of a gallery") from error
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


def _read(lines: Iterator[str], path: Path, size: int | None) -> Iterator[tuple[str, EnrolledPhoto]]:
    """Yield the name and the sample of each line after the first, all checked.

    Args:
        lines: Of the file.
        path: Its name, for errors.
        size: How many numbers each embedding must have; None: as many as the first one has.

    Raises:
        DataError: This is not an export, or a line is damaged; names it.
    """
    try:
        header = json.loads(next(lines, ""))
        form, version, model_id = header["format"], header["version"], header["contract"]
    except DAMAGED:
        form = None
    if form != FORMAT:
        raise DataError(f"{path}: not an export of a gallery")
    if version != VERSION:
        raise DataError(f"{path}: of version {version!r}, which this version of Vision App does not know")
    for place, line in enumerate(lines, start=2):
        try:
            name, sample = _from_row(json.loads(line), model_id)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            OverflowError,
            RecursionError,
            ImageError,
            UsageError,
        ) as error:
            raise DataError(f"{path}: line {place} is damaged ({error}); nothing was imported") from error
        size = size or sample.embedding.size
        if sample.embedding.size != size:
            raise DataError(f"{path}: line {place} has an embedding of another size; nothing was imported")
        yield name, sample


def _from_row(row: dict[str, Any], model_id: str) -> tuple[str, EnrolledPhoto]:
    crop = None if row["crop"] is None else b64decode(row["crop"], validate=True)
    if crop is not None and read_image(crop, name="crop").pixels.shape != (SIDE, SIDE, 3):
        raise ValueError(f"crop: expected {SIDE} x {SIDE} pixels")
    embedding = np.frombuffer(b64decode(row["embedding"], validate=True), EMBEDDING)
    if not abs(np.linalg.norm(embedding) - 1) < 1e-3:  # not a number is no length either
        raise ValueError("embedding: expected a unit vector")
    source = bytes.fromhex(row["source"])
    if len(source) != 32:
        raise ValueError("source: expected a SHA-256 digest")
    check_places(row["box"], row["landmarks"], row["quality"])
    about = {"model_id": model_id, "consent": row["consent"], "added": row["added"]}
    if not all(isinstance(text, str) for text in about.values()):
        raise ValueError("contract, consent and added: expected text")
    box, landmarks = (np.array(row[key], np.float64).tolist() for key in ("box", "landmarks"))
    photo = EnrolledPhoto(0, source, box, landmarks, row["quality"], embedding=embedding, crop=crop, **about)
    return checked_name(row["name"]), photo
